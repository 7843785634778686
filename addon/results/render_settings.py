"""The scene's render settings with which a render shows the splats as they were fitted."""

from __future__ import annotations

import re

import bpy

from .. import rig
from ..backend import job_folders

TRANSPARENT_BOUNCES = 256
"""How many splats a ray may pass. If paths end earlier, or at random, the noise costs 15 to 25 dB."""

SAMPLES = {"CYCLES": 16, "EEVEE": 64}
"""Samples per pixel that suffice, since splats emit their light."""

PASS_ALPHA = 0.2
"""Alpha from which a splat counts for the passes depth, normal and index. With a larger value soft regions have no
depth; with a smaller one the faint rims of splats in front of the surface count (median error of a level's depth: 0.6 %
at 0.2, 0.9 % at 0).
"""

FRAMES, FILM = "flight_", "flight.mp4"
DEFAULT_PATHS = ("", "/tmp/", "/tmp\\", "//")
"""Output paths that the artist did not choose."""

OURS = r"(^//render|[\\/]Dreamzoom[\\/]unsaved [-\d ]+)[\\/]flight(_|\.mp4)$"
"""Output paths that `set_up` chose before."""


def set_up(
    scene: bpy.types.Scene,
    engine: str = "CYCLES",
    samples: int = 16,
    output: str = "KEEP",
    transparent: bool = False,
) -> None:
    """Set the engine, let rays pass all splats, keep colours unchanged, and set the output.

    Args:
        engine: "CYCLES" or "EEVEE".
        samples: Samples per pixel of the render.
        output: "PNG" or "EXR" pictures, "LAYERS" for compositing, a "VIDEO", or "KEEP" the present output.
        transparent: Whether regions without splats are transparent instead of black.
    """
    scene.render.engine = "CYCLES" if engine == "CYCLES" else eevee_id()
    scene.render.film_transparent = transparent
    scene.render.use_persistent_data = True
    _set_colours(scene)
    _set_cycles(scene.cycles, samples)
    scene.eevee.taa_render_samples = samples if engine == "EEVEE" else scene.eevee.taa_render_samples
    if scene.world is None or _is_untouched(scene.world):
        scene.world = _black_world()
    if output != "KEEP":
        _set_output(scene.render, output, transparent)
    if output == "LAYERS":
        for layer in scene.view_layers:
            _set_passes(layer)


def show_splats(scene: bpy.types.Scene) -> None:
    """Set only what splats need to look right: rays pass all of them, and colours are unchanged."""
    _let_rays_pass(scene.cycles)
    _set_colours(scene)


def use_flight(root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Use the rig's camera and the frame range of its flight."""
    frames = rig.frame_range(root)
    if frames is not None:
        scene.frame_start, scene.frame_end = frames
    if root.dreamzoom.camera is not None:
        scene.camera = root.dreamzoom.camera


def eevee_id() -> str:
    """EEVEE's identifier in this Blender."""
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"


def _set_colours(scene: bpy.types.Scene) -> None:
    view = scene.view_settings
    view.view_transform = "Standard"
    view.look = "None"
    view.exposure, view.gamma = 0.0, 1.0
    scene.display_settings.display_device = "sRGB"


def _set_cycles(cycles, samples: int) -> None:
    cycles.samples = cycles.preview_samples = samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    _let_rays_pass(cycles)


def _let_rays_pass(cycles) -> None:
    cycles.transparent_max_bounces = max(cycles.transparent_max_bounces, TRANSPARENT_BOUNCES)
    cycles.min_transparent_bounces = max(cycles.min_transparent_bounces, TRANSPARENT_BOUNCES)


def _set_output(render: bpy.types.RenderSettings, output: str, transparent: bool) -> None:
    """Set what is written, into the folder of `job_folders.for_renders` unless the artist has chosen another path."""
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # Blender 5.0 and later
        settings.media_type = {"VIDEO": "VIDEO", "LAYERS": "MULTI_LAYER_IMAGE"}.get(output, "IMAGE")
    if output == "VIDEO":
        settings.file_format, settings.color_mode = "FFMPEG", "RGB"
        film = render.ffmpeg
        film.format, film.codec, film.constant_rate_factor = "MPEG4", "H264", "HIGH"
        film.gopsize, film.audio_codec = 12, "NONE"
    else:
        settings.file_format = {"EXR": "OPEN_EXR", "LAYERS": "OPEN_EXR_MULTILAYER"}.get(output, "PNG")
        settings.color_mode = "RGBA" if transparent or output == "LAYERS" else "RGB"
        settings.color_depth = {"EXR": "16", "LAYERS": "32"}.get(output, "8")
    if render.filepath in DEFAULT_PATHS or re.search(OURS, render.filepath):
        render.filepath = job_folders.for_renders() + (FILM if output == "VIDEO" else FRAMES)


def _set_passes(layer: bpy.types.ViewLayer) -> None:
    """Enable the passes that compositing needs."""
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
    layer.use_pass_cryptomatte_object = True
    layer.pass_alpha_threshold = PASS_ALPHA


def _is_untouched(world: bpy.types.World) -> bool:
    """Whether this is the grey world of a new file."""
    return world.name.startswith("World") and all(abs(channel - 0.05) < 0.01 for channel in _background(world)[:3])


def _background(world: bpy.types.World):
    nodes = world.node_tree.nodes if world.node_tree else ()
    node = next((node for node in nodes if node.type == "BACKGROUND"), None)
    return node.inputs["Color"].default_value if node else world.color


def _black_world() -> bpy.types.World:
    """A world without light: regions without splats stay black, as in the dreamed pictures."""
    world = bpy.data.worlds.get("Dreamzoom Black")
    if world is None:
        world = bpy.data.worlds.new("Dreamzoom Black")
        if bpy.app.version < (5, 0):
            world.use_nodes = True
        _background(world)[:3] = (0.0, 0.0, 0.0)
    return world

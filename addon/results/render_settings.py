"""The scene's render settings with which a render shows the splats as they were fitted."""

from __future__ import annotations

import re

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import rig
from ..backend import job_folders
from ..core.errors import DreamzoomError
from ..rig.camera_paths import markers
from ..scene import occluders
from ..splats import holds_splats

TRANSPARENT_BOUNCES = 256
"""How many splats a ray may pass. If paths end earlier, or at random, the noise costs 15 to 25 dB."""

READY = "dreamzoom_ready"
"""Custom property of a scene that `make_ready` has been used on."""

DEFAULT_VIEWS, DEFAULT_SAMPLES = ("AgX", "Filmic"), 4096
"""Blender's view transforms and Cycles' samples in a new file."""

SAMPLES = {"CYCLES": 16, "EEVEE": 64}
"""Samples per pixel that suffice, since splats emit their light."""

DRAFT_SAMPLES = 4
"""The same of a draft in Cycles: a quarter of the time. Frames are 36 to 39 dB from those of 16 samples, and the
difference is another one in each, so that edges shimmer a little. Lit objects would be noisy.
"""

CHOSEN = {"samples": "dreamzoom_samples", "percent": "dreamzoom_percent"}
"""Custom properties of a scene: the values that were chosen here, which follow what is imported until somebody changes
them.
"""

DENOISING_PASSES = "RGB"
"""Where there are lit objects, by colours alone: a denoised picture of 16 samples is nearer to one of many samples than
without, in splats (37.4 dB against 37.1) and in those objects (44.3 against 36.3). With albedo and normals, which are
noisy in splats, objects gain another decibel and splats lose one.
"""

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
    follows: bool = False,
) -> None:
    """Set the engine, let rays pass all splats, keep colours unchanged, and set the output. Viewports stand still while
    a render runs: without a graphics card, drawing each frame's splats there takes twice as long as rendering them.

    Args:
        engine: "CYCLES" or "EEVEE".
        samples: Samples per pixel of the render.
        output: "PNG" or "EXR" pictures, "LAYERS" for compositing, a "VIDEO", or "KEEP" the present output.
        transparent: Whether regions without splats are transparent instead of black.
        follows: Whether the samples may follow the quality of later imports (see `make_ready`).

    Raises:
        DreamzoomError: Cycles is not switched on.
    """
    if engine == "CYCLES" and not hasattr(scene, "cycles"):
        raise DreamzoomError("Blender's add-on Cycles is off", "Switch on “Cycles Render Engine” in the preferences")
    scene.render.engine = "CYCLES" if engine == "CYCLES" else eevee_id()
    scene.render.film_transparent = transparent
    scene.render.use_persistent_data = True
    scene.render.use_lock_interface = True
    _set_colours(scene)
    if hasattr(scene, "cycles"):
        _set_cycles(scene.cycles, samples, _has_lit_objects(scene))
        scene[CHOSEN["samples"]] = samples if follows else 0
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
    if hasattr(scene, "cycles"):
        _let_rays_pass(scene.cycles)
    _set_colours(scene)


def make_ready(scene: bpy.types.Scene, root: bpy.types.Object) -> list[str]:
    """Make a scene ready to render what was imported: F12 then shows what was dreamed. Only settings that nobody has
    changed since the scene was made are touched, once; what an artist sets later stays. Samples and resolution follow
    the quality and size of what is imported, and the output path the file, for as long as they are those chosen here.

    Returns:
        What was changed, in words for the panel.
    """
    if not hasattr(scene, "cycles"):  # the add-on Cycles is off
        return []
    _let_rays_pass(scene.cycles)
    told = _follow(scene, root)
    if scene.get(READY):
        return told
    scene[READY] = True
    view = scene.view_settings
    untouched = view.look == "None" and (view.exposure, view.gamma) == (0.0, 1.0)
    if view.view_transform in DEFAULT_VIEWS and untouched:
        _set_colours(scene)
        told.append("view transform Standard")
    if scene.world is None or _is_untouched(scene.world):
        scene.world = _black_world()
        told.append("a black world")
    if scene.camera is None and root.dreamzoom.camera is not None:
        scene.camera = root.dreamzoom.camera
        told.append("the rig's camera")
    return told


def samples_for(scene: bpy.types.Scene, root: bpy.types.Object, engine: str) -> int:
    """Samples per pixel that suffice for what a rig shows.

    Args:
        engine: "CYCLES" or "EEVEE".
    """
    draft = engine == "CYCLES" and root.dreamzoom.quality == "draft" and not _has_lit_objects(scene)
    return DRAFT_SAMPLES if draft else SAMPLES[engine]


def fit_resolution(scene: bpy.types.Scene, root: bpy.types.Object) -> str:
    """Make the renders of a new file twice the size of the dreamed pictures, beyond which they show nothing more and
    take up to 16 times as long.

    Returns:
        What was changed, in words for the panel; empty if nothing was.
    """
    render, chosen = scene.render, scene.get(CHOSEN["percent"])
    percent, whole = render.resolution_percentage, max(render.resolution_x, render.resolution_y)
    if percent != chosen and (chosen is not None or (whole, percent) != (1920, 100)):
        return ""
    wanted = min(round(200 * root.dreamzoom.size / whole), 100)
    scene[CHOSEN["percent"]] = render.resolution_percentage = wanted
    text = "{percent} % of the resolution, which is all that the pictures fill"
    return iface_(text).format(percent=wanted) if wanted != percent else ""


def use_flight(root: bpy.types.Object, scene: bpy.types.Scene) -> str:
    """Use the rig's camera and the frame range of its flight, also where timeline markers bind other cameras.

    Returns:
        What was done to markers, as a part of a report; empty if none was in the way.
    """
    frames = rig.frame_range(root)
    if frames is not None:
        scene.frame_start, scene.frame_end = frames
    if root.dreamzoom.camera is None:
        return ""
    return markers.show(scene, root.dreamzoom.camera, scene.frame_start, scene.frame_end)


def eevee_id() -> str:
    """EEVEE's identifier in this Blender."""
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"


def _follow(scene: bpy.types.Scene, root: bpy.types.Object) -> list[str]:
    """Choose samples, resolution and output path for what a rig shows, where they were chosen here or by nobody."""
    told = []
    if scene.get(CHOSEN["percent"]) is not None and (text := fit_resolution(scene, root)):
        told.append(text)
    cycles, key = scene.cycles, CHOSEN["samples"]
    if text := _keep_frames(scene):
        told.append(text)
    wanted = samples_for(scene, root, "CYCLES")
    if cycles.samples == scene.get(key, DEFAULT_SAMPLES) != wanted:
        _set_cycles(cycles, wanted, _has_lit_objects(scene))
        scene[key] = wanted
        text = "{count} samples in Cycles, denoised" if cycles.use_denoising else "{count} samples in Cycles"
        told.append(iface_(text).format(count=wanted))
    return told


def _has_lit_objects(scene: bpy.types.Scene) -> bool:
    """Whether a render shows objects that need light. Splats do not: without such objects nothing is denoised, and a
    render shows exactly what was fitted.
    """
    return any(obj.type in occluders.KINDS and not obj.hide_render and not _glows(obj) for obj in scene.objects)


def _glows(obj: bpy.types.Object) -> bool:
    """Whether an object was imported: splats, points, or pictures of a zoom stack."""
    return rig.CONTENT in obj or rig.KEPT in obj or holds_splats(obj)


def _set_colours(scene: bpy.types.Scene) -> None:
    view = scene.view_settings
    view.view_transform = "Standard"
    view.look = "None"
    view.exposure, view.gamma = 0.0, 1.0
    scene.display_settings.display_device = "sRGB"


def _set_cycles(cycles, samples: int, denoise: bool) -> None:
    cycles.samples = cycles.preview_samples = samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = denoise and _choose_denoiser(cycles)
    _let_rays_pass(cycles)


def _choose_denoiser(cycles) -> bool:
    """Choose Open Image Denoise, by colours; whether this Blender has it, since some are built without."""
    try:
        cycles.denoiser = "OPENIMAGEDENOISE"
    except TypeError:
        return False
    cycles.denoising_input_passes = DENOISING_PASSES
    return True


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


def _keep_frames(scene: bpy.types.Scene) -> str:
    """Let frames go where they are found again, where no path was chosen: not into a temporary folder, nor, in a file
    that is not saved, into the folder in which Blender happens to work.

    Returns:
        What was changed, in words for the panel; empty if nothing was.
    """
    path, saved = scene.render.filepath, bool(bpy.data.filepath)
    chosen_before_saving = saved and re.search(OURS, path) and not path.startswith("//")
    chosen_by_nobody = path in DEFAULT_PATHS and not (saved and path == "//") and not scene.get(READY)
    if not chosen_before_saving and not chosen_by_nobody:
        return ""
    scene.render.filepath = job_folders.for_renders() + (FILM if path.endswith(FILM) else FRAMES)
    return iface_("frames go to “{path}”").format(path=scene.render.filepath)


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

"""What is stored in the .blend: the settings of each rig, and those of the rig that is created next."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup

from .. import rig
from ..backend import model_library
from .diffusion_properties import CLASSES as DIFFUSION_CLASSES
from .diffusion_properties import DiffusionSettings

ENGINES = (
    (
        "procedural",
        "Procedural",
        "A world made of formulas and steered by the words of the prompts: quick on any machine",
    ),
    (
        "spectral",
        "Spectral",
        "Soft textures in the colours of the prompts, sampled on all levels together: needs no model",
    ),
    (
        "diffusion",
        "Diffusion",
        "The best diffusion model on this machine, and a depth model: the real thing, quick on a graphics card",
    ),
)
QUALITIES = (
    ("draft", "Draft", "Coarse and quick, to try prompts and the camera's path"),
    ("preview", "Preview", "Good enough to judge the light and the motion"),
    ("final", "Final", "The finest, for the render"),
)
FACTOR = {
    "name": "Zoom Factor",
    "description": "How many times larger the world appears from one level to the next",
    "default": 2.0,
    "min": 1.25,
    "max": 16.0,
    "soft_max": 4.0,
}
SPEED = {
    "name": "Frames per Level",
    "description": "Frames from one level to the next: fewer fly faster",
    "default": 48,
    "min": 1,
    "soft_max": 240,
}


RENDER_ENGINE = {
    "name": "Engine",
    "description": "What renders",
    "items": (
        ("CYCLES", "Cycles", "The exact picture, on any machine"),
        ("EEVEE", "EEVEE", "Quick on a graphics card"),
    ),
}
RENDER_SAMPLES = {
    "name": "Samples",
    "description": "Samples per pixel. 0: what is enough for splats, 16 in Cycles and 64 in EEVEE",
    "default": 0,
    "min": 0,
    "soft_max": 256,
}
RENDER_OUTPUT = {
    "name": "Output",
    "description": "What is written",
    "items": (
        ("KEEP", "As It Is", "Leave the output as it is set up"),
        ("PNG", "Pictures", "A sequence of PNG pictures, as they are seen"),
        ("EXR", "OpenEXR", "A sequence of pictures in linear light, for compositing"),
        (
            "LAYERS",
            "Layers",
            "A sequence of multilayer OpenEXR with depth, normals, object index (the level, counted from 1) and "
            "cryptomatte, for compositing",
        ),
        ("VIDEO", "Video", "One MPEG-4 film (H.264)"),
    ),
}
RENDER_TRANSPARENT = {
    "name": "Transparent",
    "description": "Let what was never dreamed be see-through instead of black",
}


def _layout_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.sync_levels(settings.id_data)


def _engine_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if settings.engine == "diffusion" and model_library.library.entries is None:
        model_library.refresh()


def _focus_changed(level: LevelSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(level.id_data):
        rig.sync_levels(level.id_data)


def _loop_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.sync_levels(settings.id_data)
        rig.stretch_flight(settings.id_data, context.scene)


def _showing_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.sync_showing(settings.id_data)


def _speed_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.stretch_flight(settings.id_data, context.scene)


def _is_camera(settings: RigSettings, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


class LevelSettings(PropertyGroup):
    """One power of the zoom, as the artist writes it."""

    prompt: StringProperty(name="Prompt", description="What is to be seen at this level, in plain words", maxlen=4000)
    negative_prompt: StringProperty(
        name="Avoid", description="What must not be seen at this level, in plain words", maxlen=4000
    )
    image: StringProperty(
        name="Picture",
        description="A picture to be used for this level instead of a dreamed one",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    use_seed: BoolProperty(
        name="Own Seed", description="Give this level a seed of its own, so that it can be varied alone"
    )
    seed: IntProperty(name="Seed", description="Another number, another picture of the same prompt", min=0)
    guidance: FloatProperty(
        name="Guidance",
        description="How closely the diffusion engine follows this level's prompt. 0: as at all levels",
        min=0.0,
        max=50.0,
        soft_max=15.0,
        step=50,
    )
    focus: FloatVectorProperty(
        name="Next Level At",
        description=(
            "Where the next level lies in this one, seen from its middle: the picture spans about -1 to 1. "
            "Zero is a straight zoom"
        ),
        size=3,
        subtype="XYZ",
        min=-1.0,
        max=1.0,
        step=1,
        precision=3,
        update=_focus_changed,
    )


class RigSettings(PropertyGroup):
    """All that a rig's job needs; lives on the rig's root object."""

    levels: CollectionProperty(type=LevelSettings, name="Levels", description="The levels, from far to near")
    active_level: IntProperty(name="Active Level", description="The level whose details are shown", min=0)
    zoom_factor: FloatProperty(**FACTOR, update=_layout_changed)
    frames_per_level: IntProperty(**SPEED, update=_speed_changed)
    loop: BoolProperty(
        name="Loop",
        description=(
            "After the last level comes the first again, without end: the flight's last frame leads into its first. "
            "Takes two levels or more"
        ),
        update=_loop_changed,
    )
    camera: PointerProperty(
        name="Camera",
        description="The camera whose path is dreamed along",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    engine: EnumProperty(name="Engine", description="What imagines the pictures", items=ENGINES, update=_engine_changed)
    quality: EnumProperty(name="Quality", description="How much work goes into it", items=QUALITIES, default="preview")
    size: IntProperty(
        name="Size",
        description="Longest side of the dreamed pictures in pixels; the proportions are those of the render",
        default=640,
        min=64,
        max=4096,
        soft_max=2048,
        step=64,
        subtype="PIXEL",
    )
    seed: IntProperty(name="Seed", description="Another number, another world from the same prompts", min=0)
    second_pass: EnumProperty(
        name="Second Pass",
        description="Dream the levels and side views once more when their depth is known, so that they agree where "
        "they show the same: sharper from all sides, and about twice the time",
        items=(
            ("AUTO", "By Quality", "With Preview and Final"),
            ("ON", "Always", "Whatever the quality"),
            ("OFF", "Never", "Whatever the quality"),
        ),
    )
    diffusion: PointerProperty(
        name="Diffusion", description="What the diffusion engine is told", type=DiffusionSettings
    )
    see_assets: BoolProperty(
        name="See My Objects",
        description=(
            "Let the dream see the objects that you hang under the levels, in the colours of their materials: it goes "
            "around them, and adds nothing where they are"
        ),
        default=True,
    )
    let_stand: BoolProperty(
        name="Let Objects Stand",
        description="Say nothing of objects that stand in the middle of the flight and belong to no level",
    )
    import_when_done: BoolProperty(
        name="Import When Done",
        description="Bring the result into the scene as soon as it is ready",
        default=True,
    )
    cast_shadows: BoolProperty(
        name="Cast Shadows",
        description="Let the dream throw shadows on your objects. It takes none itself: its light is painted in",
        update=_showing_changed,
    )
    holdout: BoolProperty(
        name="Holdout",
        description="Let the dream cut a hole of its shape into the picture, to lay something else there: what is "
        "rendered is what stands before it. Wants a transparent film",
        update=_showing_changed,
    )
    dreamed: StringProperty(
        name="Dreamed", description="The words of the levels of the last finished job", options={"HIDDEN"}
    )
    job_folder: StringProperty(
        name="Job Folder",
        description="Where this rig's pictures, points and splats are kept. Empty: a folder beside the .blend file",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    collection: PointerProperty(
        name="Collection", description="The collection of the rig's objects", type=bpy.types.Collection
    )
    points_collection: PointerProperty(
        name="Points", description="The collection of the imported points", type=bpy.types.Collection
    )
    splats_collection: PointerProperty(
        name="Splats", description="The collection of the imported splats", type=bpy.types.Collection
    )


class SceneSettings(PropertyGroup):
    """The rig in use, and what a new rig is to be."""

    rig: PointerProperty(name="Rig", description="The rig that was used last", type=bpy.types.Object)
    target: PointerProperty(
        name="Focus",
        description="The object to zoom into. Empty: the 3D cursor",
        type=bpy.types.Object,
    )
    levels: IntProperty(
        name="Levels", description="How many powers of the zoom, each with its own prompt", default=6, min=1, max=64
    )
    zoom_factor: FloatProperty(**FACTOR)
    frames_per_level: IntProperty(**SPEED)
    render_engine: EnumProperty(**RENDER_ENGINE)
    render_samples: IntProperty(**RENDER_SAMPLES)
    render_output: EnumProperty(**RENDER_OUTPUT, default="PNG")
    render_transparent: BoolProperty(**RENDER_TRANSPARENT)


CLASSES = (*DIFFUSION_CLASSES, LevelSettings, RigSettings, SceneSettings)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Object.dreamzoom = PointerProperty(
        type=RigSettings, name="Dreamzoom", description="Settings of the zoom rig that this object is the root of"
    )
    bpy.types.Scene.dreamzoom = PointerProperty(
        type=SceneSettings, name="Dreamzoom", description="The zoom rig in use in this scene"
    )


def unregister() -> None:
    del bpy.types.Scene.dreamzoom
    del bpy.types.Object.dreamzoom
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)

"""The properties that are stored in the .blend with each rig: its settings, and those of its levels."""

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

from .. import rig, splats
from ..backend import model_library
from ..core import prompt_words
from .diffusion_properties import CLASSES as DIFFUSION_CLASSES
from .diffusion_properties import DiffusionSettings
from .flight_properties import FACTOR, FlightSettings
from .scene_properties import CLASSES as SCENE_CLASSES
from .scene_properties import SceneSettings

ENGINES = (
    (
        "procedural",
        "Procedural",
        "A landscape computed from formulas and guided by words in the prompts: fast on any machine",
    ),
    (
        "spectral",
        "Spectral",
        "Soft textures in the colours of the prompts, sampled on all levels together: needs no model",
    ),
    (
        "diffusion",
        "Diffusion",
        "Pictures by a diffusion model, and depth by a depth model: needs models and a graphics card",
    ),
)
QUALITIES = (
    ("draft", "Draft", "Coarse and fast, to try prompts and the camera's path"),
    ("preview", "Preview", "Good enough to judge the light and the motion"),
    ("final", "Final", "The finest detail, for the final render"),
)


def _layout_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.sync_levels(settings.id_data)


def _engine_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if settings.engine == "diffusion" and model_library.library.entries is None:
        model_library.refresh()


def _focus_changed(level: LevelSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(level.id_data):
        rig.sync_levels(level.id_data)


def _completions(level: LevelSettings, context: bpy.types.Context, edit_text: str) -> list[tuple[str, str]]:
    """Words that the procedural engine knows and that begin as the last word of the prompt does."""
    if level.id_data.dreamzoom.engine != "procedural":
        return []
    return prompt_words.completions(edit_text)


def _eye_changed(level: LevelSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(level.id_data):
        rig.sync_levels(level.id_data)


def _showing_changed(settings: RigSettings, context: bpy.types.Context) -> None:
    if rig.is_rig(settings.id_data):
        rig.sync_showing(settings.id_data)


def _folder_chosen(settings: RigSettings, context: bpy.types.Context) -> None:
    settings.folder_origin = "OWN"


def _is_camera(settings: RigSettings, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


def _shows_splats(settings: RigSettings, obj: bpy.types.Object) -> bool:
    return splats.holds_splats(obj)


class LevelSettings(PropertyGroup):
    """One level of the zoom: its prompt and options."""

    prompt: StringProperty(
        name="Prompt",
        description="What is to be seen at this level, in plain words",
        maxlen=4000,
        search=_completions,
        search_options={"SUGGESTION"},
    )
    prompt_line: StringProperty(
        name="Prompt",
        description="What is to be seen at this level, in plain words",
        maxlen=4000,
        get=lambda level: level.prompt,
        set=lambda level, text: setattr(level, "prompt", text),
        options={"SKIP_SAVE"},
    )
    """The prompt without completion, whose button takes the room of three letters in a row of the list."""
    negative_prompt: StringProperty(
        name="Avoid", description="What must not be seen at this level, in plain words", maxlen=4000
    )
    image: StringProperty(
        name="Picture",
        description="A picture to use for this level instead of a dreamed one",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    use_seed: BoolProperty(name="Own Seed", description="Give this level its own seed, so that it can be varied alone")
    seed: IntProperty(name="Seed", description="Another number gives another picture of the same prompt", min=0)
    guidance: FloatProperty(
        name="Guidance",
        description="How closely the diffusion engine follows this level's prompt. 0: as for all levels",
        min=0.0,
        max=50.0,
        soft_max=15.0,
        step=50,
    )
    focus: FloatVectorProperty(
        name="Next Level At",
        description=(
            "Position of the next level in this one, relative to its middle: the picture spans about -1 to 1. "
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

    hide: BoolProperty(
        name="Hide",
        description="Hide what was imported for this level, in the viewport and in renders",
        update=_eye_changed,
    )
    lock: BoolProperty(
        name="Lock",
        description=(
            "Keep this level as it is: its prompt can't be changed here, and an import does not replace its objects"
        ),
    )
    key: IntProperty(
        name="Key",
        description="Tells this level from all others of its rig, wherever it stands in the list; 0 before it has one",
        min=0,
        options={"HIDDEN"},
    )
    dreamed_as: IntProperty(
        name="Dreamed As",
        description="Number of this level in the last finished job, -1 if it is new since then",
        default=-1,
        options={"HIDDEN"},
    )
    sent_as: IntProperty(
        name="Sent As",
        description="Number of this level in the job that was sent last, -1 if it is new since then",
        default=-1,
        options={"HIDDEN"},
    )
    dreamed_picture: StringProperty(
        name="Dreamed Picture",
        description="Size and date of this level's picture in the last finished job",
        options={"HIDDEN"},
    )
    sent_picture: StringProperty(
        name="Sent Picture",
        description="Size and date of this level's picture in the job that was sent last",
        options={"HIDDEN"},
    )
    seconds: FloatProperty(
        name="Seconds", description="How long this level took in the last finished job", options={"HIDDEN"}
    )


class RigSettings(FlightSettings, PropertyGroup):
    """The settings of a rig and its job; stored on the rig's root object."""

    levels: CollectionProperty(type=LevelSettings, name="Levels", description="The levels, from far to near")
    active_level: IntProperty(name="Active Level", description="The level that the panel shows in detail", min=0)
    zoom_factor: FloatProperty(**FACTOR, update=_layout_changed)
    camera: PointerProperty(
        name="Camera",
        description="The camera along whose path the scene is dreamed",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    splat_scene: PointerProperty(
        name="Scene of Splats",
        description="The splats that are level 0: they are kept, and the finer levels are dreamed into them",
        type=bpy.types.Object,
        poll=_shows_splats,
    )
    engine: EnumProperty(
        name="Engine", description="What generates the pictures", items=ENGINES, update=_engine_changed
    )
    quality: EnumProperty(
        name="Quality", description="Detail and computing time of the result", items=QUALITIES, default="preview"
    )
    size: IntProperty(
        name="Size",
        description="Longer side of the dreamed pictures in pixels; the aspect ratio is that of the render",
        default=640,
        min=64,
        max=4096,
        soft_max=2048,
        step=64,
        subtype="PIXEL",
    )
    seed: IntProperty(name="Seed", description="Another number gives another world from the same prompts", min=0)
    second_pass: EnumProperty(
        name="Second Pass",
        description="Dream the levels and side views again once their depth is known, so that they agree where they "
        "show the same: sharper from all sides, but takes about twice as long",
        items=(
            ("AUTO", "By Quality", "With Preview and Final"),
            ("ON", "Always", "Whatever the quality"),
            ("OFF", "Never", "Whatever the quality"),
        ),
    )
    diffusion: PointerProperty(name="Diffusion", description="Options of the diffusion engine", type=DiffusionSettings)
    see_assets: BoolProperty(
        name="See My Objects",
        description=(
            "Send the objects that you parent to the levels, in the colours of their materials: the scene is dreamed "
            "around them, and no splats are placed where they are"
        ),
        default=True,
    )
    let_stand: BoolProperty(
        name="Let Objects Stand",
        description="Do not warn of objects that are in the middle of the flight and belong to no level",
    )
    import_when_done: BoolProperty(
        name="Import When Done",
        description="Import the result as soon as it is ready",
        default=True,
    )
    cast_shadows: BoolProperty(
        name="Cast Shadows",
        description="Let the splats cast shadows on your objects. They receive none: light is part of their colours",
        update=_showing_changed,
    )
    holdout: BoolProperty(
        name="Holdout",
        description="Render the splats as a hole in the picture, for compositing: only objects in front of them are "
        "seen. Needs a transparent film",
        update=_showing_changed,
    )
    show_guide: BoolProperty(
        name="Show Guide",
        description="Show in the viewport where the camera flew when the levels were dreamed, and how far it may go",
        default=True,
    )
    outside: StringProperty(name="Outside", description="What Check Flight found", options={"HIDDEN", "SKIP_SAVE"})
    outside_of: StringProperty(
        name="Outside Of", description="The flight that was checked", options={"HIDDEN", "SKIP_SAVE"}
    )
    notes: StringProperty(
        name="Notes", description="What was guessed or changed in your files, as the result says", options={"HIDDEN"}
    )
    dreamed: StringProperty(name="Dreamed", description="What the last finished job was asked for", options={"HIDDEN"})
    job_folder: StringProperty(
        name="Job Folder",
        description="Where this rig's pictures, points and splats are stored. Empty: a folder beside the .blend file",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_folder_chosen,
    )
    folder_origin: EnumProperty(
        name="Origin of the Folder",
        description="Whose job folder this is; Generate uses another one than that of another rig",
        items=(
            ("OWN", "Own", "It is this rig's own"),
            ("COPIED", "Copied", "It is that of the rig from which this one was copied, while that is there"),
            ("APPENDED", "Appended", "It is that of the rig in the file from which this one was appended"),
        ),
        options={"HIDDEN"},
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
    kept_collection: PointerProperty(
        name="Kept",
        description="The collection of imported objects that you had changed when their level was imported again",
        type=bpy.types.Collection,
    )


CLASSES = (*DIFFUSION_CLASSES, LevelSettings, RigSettings, *SCENE_CLASSES)


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

"""The properties that are stored in the .blend with each scene: the rig in use, the next new one, and the render."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty
from bpy.types import PropertyGroup

from .flight_properties import FACTOR, SPEED

RENDER_ENGINE = {
    "name": "Engine",
    "description": "The engine that renders",
    "items": (
        ("CYCLES", "Cycles", "Exact, on any machine"),
        ("EEVEE", "EEVEE", "Fast on a graphics card"),
    ),
}
RENDER_SAMPLES = {
    "name": "Samples",
    "description": "Samples per pixel. 0: as many as splats need, 16 in Cycles (4 for a draft) and 64 in EEVEE",
    "default": 0,
    "min": 0,
    "soft_max": 256,
}
RENDER_OUTPUT = {
    "name": "Output",
    "description": "What a render writes",
    "items": (
        ("KEEP", "As It Is", "Keep the present output settings"),
        ("PNG", "Pictures", "A sequence of PNG pictures for viewing"),
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
    "description": "Make regions that were never dreamed transparent instead of black",
}


class FlightRecipe(PropertyGroup):
    """A ready flight, as an example or a preset."""

    prompts: StringProperty(
        name="Prompts",
        description="One prompt per line, from far to near",
        default="a spiral galaxy among stars\na blue planet with white clouds\nsnowy mountains at sunrise\n"
        "a dense autumn forest\nplant cells under a microscope\nglowing atoms in a cloud of electrons",
    )
    zoom_factor: FloatProperty(**FACTOR | {"default": 2.5})
    frames_per_level: IntProperty(**SPEED | {"default": 24})
    loop: BoolProperty(name="Loop", description="Let the first level follow the last")
    seed: IntProperty(name="Seed", description="Another number gives another world", default=2, min=0)


class SceneSettings(PropertyGroup):
    """The rig in use, and the settings of the next new rig."""

    rig: PointerProperty(name="Rig", description="The rig that was used last", type=bpy.types.Object)
    target: PointerProperty(
        name="Focus",
        description="The object to zoom into. Empty: the 3D cursor",
        type=bpy.types.Object,
    )
    levels: IntProperty(
        name="Levels", description="Count of levels, each with its own prompt", default=6, min=1, max=64
    )
    zoom_factor: FloatProperty(**FACTOR)
    frames_per_level: IntProperty(**SPEED)
    flight: PointerProperty(name="Flight", description="The flight that Example Flight makes", type=FlightRecipe)
    render_engine: EnumProperty(**RENDER_ENGINE)
    render_samples: IntProperty(**RENDER_SAMPLES)
    use_samples: BoolProperty(
        name="Own Samples",
        description=(
            "Choose the samples per pixel. Off: as many as splats need, 16 in Cycles (4 for a draft) and 64 in EEVEE"
        ),
        get=lambda settings: settings.render_samples > 0,
        set=lambda settings, on: setattr(settings, "render_samples", 64 if on else 0),
    )
    render_output: EnumProperty(**RENDER_OUTPUT, default="PNG")
    render_transparent: BoolProperty(**RENDER_TRANSPARENT)


CLASSES = (FlightRecipe, SceneSettings)

"""A ready flight: space to atom."""

import bpy

flight = bpy.context.scene.dreamzoom.flight

flight.prompts = "\n".join(
    (
        "a spiral galaxy among stars",
        "a blue planet with white clouds",
        "snowy mountains at sunrise",
        "a dense autumn forest",
        "plant cells under a microscope",
        "glowing atoms in a cloud of electrons",
    )
)
flight.zoom_factor = 2.5
flight.frames_per_level = 24
flight.loop = False

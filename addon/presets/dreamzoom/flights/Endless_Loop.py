"""A ready flight: endless loop."""

import bpy

flight = bpy.context.scene.dreamzoom.flight

flight.prompts = "\n".join(
    (
        "a spiral galaxy among stars",
        "a blue planet with white clouds",
        "snowy mountains at sunrise",
        "a flowering meadow",
        "a green leaf with fine veins",
        "glowing violet atoms",
    )
)
flight.zoom_factor = 2.5
flight.frames_per_level = 24
flight.loop = True

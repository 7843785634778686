"""A ready flight: city to circuit."""

import bpy

flight = bpy.context.scene.dreamzoom.flight

flight.prompts = "\n".join(
    (
        "a continent at night with glowing cities",
        "a golden city at dusk",
        "streets and buildings of a neon city",
        "a grey stone wall",
        "a copper crystal lattice",
        "glowing atoms, teal and orange",
    )
)
flight.zoom_factor = 2.5
flight.frames_per_level = 24
flight.loop = False

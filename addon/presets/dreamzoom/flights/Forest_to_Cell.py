"""A ready flight: forest to cell."""

import bpy

flight = bpy.context.scene.dreamzoom.flight

flight.prompts = "\n".join(
    (
        "green mountains with misty valleys",
        "a dense autumn forest",
        "moss and ferns on the ground",
        "a green leaf with fine veins",
        "plant cells under a microscope",
        "a violet crystal",
    )
)
flight.zoom_factor = 2.5
flight.frames_per_level = 24
flight.loop = False

"""An example flight: a rig with ready prompts at draft quality, dreamed and shown at once."""

from __future__ import annotations

import bpy

from .. import rig
from ..results import render_settings
from ..scene import occluders

SIZE = 240
"""Longer side of the dreamed pictures: two idle cores need half a minute for six levels."""


def create(scene: bpy.types.Scene, recipe) -> bpy.types.Object:
    """Create the rig of a flight at the 3D cursor, and hide the objects that would stand in its middle.

    Args:
        scene: Gets the rig.
        recipe: A `FlightRecipe`.
    """
    prompts = [line.strip() for line in recipe.prompts.splitlines() if line.strip()] or [""]
    root = rig.create_rig(scene, scene.cursor.location, len(prompts), recipe.zoom_factor, recipe.frames_per_level)
    settings = root.dreamzoom
    for item, prompt in zip(settings.levels, prompts):
        item.prompt = prompt
    settings.engine, settings.quality, settings.size, settings.seed = "procedural", "draft", SIZE, recipe.seed
    settings.import_when_done = True
    settings.loop = recipe.loop
    render_settings.use_flight(root, scene)
    scene.frame_set(scene.frame_start)
    for obj in occluders.find(root, scene):
        rig.hide(obj)
    return root


def remember(root: bpy.types.Object, recipe) -> None:
    """Take a rig's flight as a recipe."""
    settings = root.dreamzoom
    recipe.prompts = "\n".join(" ".join(item.prompt.split()) for item in settings.levels)
    recipe.zoom_factor, recipe.frames_per_level = settings.zoom_factor, settings.frames_per_level
    recipe.loop, recipe.seed = settings.loop, settings.seed


def show(screen: bpy.types.Screen) -> None:
    """Let all 3D viewports of a screen look through the camera, in colour."""
    for area in screen.areas:
        if area.type == "VIEW_3D":
            space = area.spaces.active
            if space.shading.type in ("SOLID", "WIREFRAME"):
                space.shading.type = "MATERIAL"
            space.region_3d.view_perspective = "CAMERA"

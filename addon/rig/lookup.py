"""Finding a rig and its parts: the custom properties that mark them, the level empties, the imported content."""

from __future__ import annotations

import bpy

ZOOM = '["zoom"]'
"""Data path of the root's zoom u."""

ORBIT = '["orbit"]'
"""Data path of the root's orbit, in radians per level."""

LEVEL = "dreamzoom_level"
"""Custom property of a level's empty: which level it is."""

CONTENT = "dreamzoom_content"
"""Custom property of an imported object: "main", or "superseded" where a finer level replaces it."""

PIVOT = "dreamzoom_orbit"
"""Custom property of the empty that the orbit turns."""


def is_rig(obj: bpy.types.Object | None) -> bool:
    """Whether this object is the root of a rig."""
    return obj is not None and "zoom" in obj and len(obj.dreamzoom.levels) > 0


def rig_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The root of the rig that an object belongs to, itself or by its parents; None where it belongs to none."""
    while obj is not None and not is_rig(obj):
        obj = obj.parent
    return obj


def why_locked(root: bpy.types.Object) -> str:
    """Why a rig can't be changed here, as a sentence for the artist; empty where it can."""
    if root.library is not None:
        return f"{root.name} is linked: change it in {bpy.path.basename(root.library.filepath)}, or append it"
    if root.override_library is not None:
        return f"{root.name} is an override: its zoom can be keyed here, all else is changed in its own file"
    return ""


def active_rig(context: bpy.types.Context) -> bpy.types.Object | None:
    """The rig of the active object, else the one that was used last in the scene, else any rig of the scene."""
    scene = context.scene
    found = rig_of(context.view_layer.objects.active) if context.view_layer else None
    if found is None and is_rig(scene.dreamzoom.rig) and scene.dreamzoom.rig.name in scene.objects:
        found = scene.dreamzoom.rig
    return found or next((obj for obj in scene.objects if is_rig(obj)), None)


def level_empties(root: bpy.types.Object) -> list[bpy.types.Object]:
    """The rig's level empties in the order of levels."""
    return sorted((child for child in root.children if LEVEL in child), key=lambda child: child[LEVEL])


def contents(empty: bpy.types.Object) -> list[bpy.types.Object]:
    """The imported objects of a level."""
    return [child for child in empty.children if CONTENT in child]

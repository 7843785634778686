"""What a rig is made of and how it is found: the names of its custom properties, its level empties, its content."""

from __future__ import annotations

import bpy

ZOOM = '["zoom"]'
ORBIT = '["orbit"]'
LEVEL = "dreamzoom_level"
CONTENT = "dreamzoom_content"
PIVOT = "dreamzoom_orbit"


def is_rig(obj: bpy.types.Object | None) -> bool:
    """Whether this object is the root of a rig."""
    return obj is not None and "zoom" in obj and len(obj.dreamzoom.levels) > 0


def rig_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The rig that the object is or hangs under."""
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
    """The rig of the active object, else the scene's last used one, else any of the scene."""
    scene = context.scene
    found = rig_of(context.view_layer.objects.active) if context.view_layer else None
    if found is None and is_rig(scene.dreamzoom.rig) and scene.dreamzoom.rig.name in scene.objects:
        found = scene.dreamzoom.rig
    return found or next((obj for obj in scene.objects if is_rig(obj)), None)


def level_empties(root: bpy.types.Object) -> list[bpy.types.Object]:
    """The rig's level empties in the order of levels."""
    return sorted((child for child in root.children if LEVEL in child), key=lambda child: child[LEVEL])


def contents(empty: bpy.types.Object) -> list[bpy.types.Object]:
    """What was imported under a level."""
    return [child for child in empty.children if CONTENT in child]

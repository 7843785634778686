"""Finding a rig and its parts: the custom properties that mark them, the level empties, the imported content."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

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


def level_empty(root: bpy.types.Object, level: int) -> bpy.types.Object:
    """The empty of a level; the first where the artist has copied it.

    Raises:
        LookupError: It was deleted by hand; `restore_levels` makes it anew.
    """
    found = next((child for child in root.children if child.get(LEVEL) == level), None)
    if found is None:
        raise LookupError(root.name, level)
    return found


def new_key() -> int:
    """A key for a new level of a rig, other than those of `give_keys`."""
    return 1024 + secrets.randbelow(2**31 - 1024)


def give_keys(settings: Any) -> None:
    """Give a key to each level of a rig's `RigSettings` that has none yet, or that of another. The same levels get the
    same keys, so that those of an old file are the same whenever it is opened.
    """
    present, seen = {item.key for item in settings.levels}, set()
    for row, item in enumerate(settings.levels):
        if not item.key or item.key in seen:
            item.key = new_key() if item.key or row + 1 in present else row + 1
        seen.add(item.key)


def rows_of_keys(settings: Any, keys: Sequence[int]) -> dict[int, int]:
    """For each level of a job that the rig still has, which row it is now. Empty where the job does not know keys.

    Args:
        settings: The rig's `RigSettings`.
        keys: Of the job's levels, in order; 0 for one without.
    """
    if not keys or not all(type(key) is int and key > 0 for key in keys):
        return {}
    rows = {item.key: row for row, item in reversed(list(enumerate(settings.levels))) if item.key}
    return {index: rows[key] for index, key in enumerate(keys) if key in rows}


def contents(empty: bpy.types.Object) -> list[bpy.types.Object]:
    """The imported objects of a level."""
    return [child for child in empty.children if CONTENT in child]

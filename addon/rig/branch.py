"""A second flight out of a level of a rig: it shares the levels up to that one, and its finer levels are new."""

from __future__ import annotations

import bpy

from . import edits
from .duplicate import duplicate
from .lookup import LEVEL, level_empties, new_key

BESIDE = 4.0
"""Where a copied rig lies beside the first, in the gauge's units: the camera sees about two."""


def branch(scene: bpy.types.Scene, root: bpy.types.Object, level: int) -> bpy.types.Object:
    """Copy a rig to the same position, with empty levels after `level`.

    Args:
        scene: Which contains the rig.
        root: The rig.
        level: The last level that both flights share.

    Returns:
        The root of the copy.
    """
    made = duplicate(scene, root, own_data=True)
    for empty in level_empties(made):
        if empty[LEVEL] > level:
            edits.remove_content(empty)
            for child in list(empty.children_recursive):
                bpy.data.objects.remove(child)
    for item in made.dreamzoom.levels[level + 1 :]:
        item.prompt = item.negative_prompt = item.image = ""
        item.use_seed = item.lock = item.hide = False
        item.dreamed_as = item.sent_as = -1
        item.key = new_key()
        item.focus = (0.0, 0.0, 0.0)
    return made

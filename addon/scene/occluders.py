"""What stands in the way of a flight: objects in no level stay as large as they are, and hide the dream behind them."""

from __future__ import annotations

from itertools import islice

import bpy
from mathutils import Vector

from .. import rig

REACH = 1.0
"""In the gauge: about half of what the camera sees of the focus's surroundings."""
MOST = 300
"""Objects of a scene that are looked at: this runs whenever the panel is drawn."""
KINDS = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME"}


def in_the_way(root: bpy.types.Object, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects around the rig's focus that a render shows and that belong to no rig."""
    if root.dreamzoom.let_stand:
        return []
    focus = root.matrix_world.translation
    reach = REACH * max(root.matrix_world.to_scale())
    return [obj for obj in islice(scene.objects, MOST) if _is_seen(obj) and _distance(obj, focus) < reach]


def _is_seen(obj: bpy.types.Object) -> bool:
    return obj.type in KINDS and not obj.hide_render and obj.visible_get() and rig.rig_of(obj) is None


def _distance(obj: bpy.types.Object, place: Vector) -> float:
    """From a place in the world to the object's bounding box; 0 inside."""
    local = obj.matrix_world.inverted_safe() @ place
    corners = [Vector(corner) for corner in obj.bound_box]
    nearest = Vector(
        min(max(local[axis], min(corner[axis] for corner in corners)), max(corner[axis] for corner in corners))
        for axis in range(3)
    )
    return (obj.matrix_world @ nearest - place).length

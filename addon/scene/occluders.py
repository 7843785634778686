"""Objects that occlude the flight: they belong to no level, keep their size, and hide the dream behind them."""

from __future__ import annotations

from itertools import islice

import bpy
from mathutils import Vector

from .. import rig

RADIUS = 1.0
"""In the gauge's units, about the focus: about half of what the camera sees there."""

MAX_OBJECTS = 300
"""Only so many objects of a scene are examined, since the panel does it whenever it is drawn."""

KINDS = {"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME"}


def find(root: bpy.types.Object, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects near the rig's focus that a render shows and that belong to no rig."""
    if root.dreamzoom.let_stand:
        return []
    focus = root.matrix_world.translation
    radius = RADIUS * max(root.matrix_world.to_scale())
    return [obj for obj in islice(scene.objects, MAX_OBJECTS) if _is_seen(obj) and _distance(obj, focus) < radius]


def _is_seen(obj: bpy.types.Object) -> bool:
    return obj.type in KINDS and not obj.hide_render and obj.visible_get() and rig.rig_of(obj) is None


def _distance(obj: bpy.types.Object, point: Vector) -> float:
    """Distance in the world from a point in the world to the object's bounding box; 0 inside."""
    local = obj.matrix_world.inverted_safe() @ point
    corners = [Vector(corner) for corner in obj.bound_box]
    nearest = Vector(
        min(max(local[axis], min(corner[axis] for corner in corners)), max(corner[axis] for corner in corners))
        for axis in range(3)
    )
    return (obj.matrix_world @ nearest - point).length

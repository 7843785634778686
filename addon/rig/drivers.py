"""The drivers by which levels and their content follow the zoom.

All are what Blender calls simple expressions: they run without the add-on and with Python auto-execution off, fast.
"""

from __future__ import annotations

import math

import bpy

from ..core import fading
from . import zoom_path
from .flight import loops
from .lookup import CONTENT, ORBIT, PIVOT, ZOOM


def drive_content(root: bpy.types.Object, obj: bpy.types.Object, level: int) -> None:
    """Drive an imported object's opacity (the alpha of its colour) and its visibility."""
    superseded = obj[CONTENT] == "superseded"
    u = _level_zoom(root, level)
    opacity = fading.expression(level, u, superseded, first=level == 0 and not loops(root))
    obj.driver_remove("color", 3)
    if opacity:
        _drive(root, obj, "color", opacity, 3)
    count = len(root.dreamzoom.levels) if loops(root) else None
    first, last = zoom_path.window(root.dreamzoom.zoom_factor, level, superseded, count)
    hidden = ([f"{u} <= {first:g}"] if math.isfinite(first) else []) + [f"{u} >= {last:.6g}"]
    expression = "1" if root.dreamzoom.levels[level].hide else " or ".join(hidden)
    for name in ("hide_viewport", "hide_render"):
        _drive(root, obj, name, expression)


def drive_level(root: bpy.types.Object, empty: bpy.types.Object, level: int) -> None:
    """Drive a level's scale, and its location where a level's focus is not at its origin."""
    settings = root.dreamzoom
    factor = settings.zoom_factor
    size = f"pow({factor:.9g}, {_level_zoom(root, level)} - {level})"
    for axis in range(3):
        _drive(root, empty, "scale", size, axis)
        empty.driver_remove("location", axis)
    empty.location = (0.0, 0.0, 0.0)
    focuses = [tuple(item.focus) for item in settings.levels]
    if not any(any(focus) for focus in focuses):
        return
    count = len(focuses)
    if loops(root):
        keys = zoom_path.origin_keys(factor, 3 * focuses, level + count, count)
    else:
        keys = zoom_path.origin_keys(factor, focuses, level)
    for axis in range(3):
        curve = _drive(root, empty, "location", size, axis)
        curve.keyframe_points.add(len(keys))
        for point, (s, position) in zip(curve.keyframe_points, keys):
            point.co = (s, position[axis])
            point.interpolation = "LINEAR"
        curve.extrapolation = "LINEAR"
        curve.update()


def drive_orbit(root: bpy.types.Object) -> None:
    """Turn the camera with the zoom. In a loop it swings back, with the same speed at both ends, to where it began."""
    pivot = next((child for child in root.children if PIVOT in child), None)
    if pivot is not None:
        count = len(root.dreamzoom.levels)
        swing = f"orbit * {count / math.tau:.9g} * sin(u * {math.tau / count:.9g})"
        _drive(root, pivot, "rotation_euler", swing if loops(root) else "orbit * u", 2, orbit=ORBIT)


def _level_zoom(root: bpy.types.Object, level: int) -> str:
    """The expression for the zoom in a level's drivers. In a loop each level is shown again after as many zooms as
    there are levels: there the zoom is wrapped into a range of that length that begins where the level opens.
    """
    count = len(root.dreamzoom.levels)
    start = level - 1 + fading.OPENS_FROM
    return f"(u - {count} * floor((u - {start:g}) / {count}))" if loops(root) else "u"


def _drive(root, obj: bpy.types.Object, name: str, expression: str, index: int = -1, **others: str):
    """Drive a property by an expression of the zoom `u` and of other properties of the rig.

    Returns:
        The driver's curve.
    """
    obj.driver_remove(name, index)
    curve = obj.driver_add(name, index)
    for modifier in list(curve.modifiers):
        curve.modifiers.remove(modifier)
    curve.keyframe_points.clear()
    for variable, data_path in {"u": ZOOM, **others}.items():
        added = curve.driver.variables.new()
        added.name = variable
        added.targets[0].id = root
        added.targets[0].data_path = data_path
    curve.driver.type = "SCRIPTED"
    curve.driver.expression = expression
    return curve

"""The drivers that let levels and their content follow the zoom.

All are simple expressions: they run with Python auto-execution off, without the add-on, and cost next to nothing.
"""

from __future__ import annotations

import math

import bpy

from ..core import fading
from . import zoom_path
from .flight import loops
from .lookup import CONTENT, ORBIT, PIVOT, ZOOM


def drive_content(root: bpy.types.Object, obj: bpy.types.Object, level: int) -> None:
    """Drive the fade (the alpha of the object's colour) and the window in which the object shows."""
    superseded = obj[CONTENT] == "superseded"
    u = _own_zoom(root, level)
    shown = fading.expression(level, u, superseded, first=level == 0 and not loops(root))
    obj.driver_remove("color", 3)
    if shown:
        _drive(root, obj, "color", shown, 3)
    count = len(root.dreamzoom.levels) if loops(root) else None
    first, last = zoom_path.window(root.dreamzoom.zoom_factor, level, superseded, count)
    hidden = ([f"{u} <= {first:g}"] if math.isfinite(first) else []) + [f"{u} >= {last:.6g}"]
    for name in ("hide_viewport", "hide_render"):
        _drive(root, obj, name, " or ".join(hidden))


def drive_level(root: bpy.types.Object, empty: bpy.types.Object, level: int) -> None:
    """Drive a level's scale, and its place where focuses drift."""
    settings = root.dreamzoom
    factor = settings.zoom_factor
    size = f"pow({factor:.9g}, {_own_zoom(root, level)} - {level})"
    for axis in range(3):
        _drive(root, empty, "scale", size, axis)
        empty.driver_remove("location", axis)
    empty.location = (0.0, 0.0, 0.0)
    focuses = [tuple(item.focus) for item in settings.levels]
    if not any(any(focus) for focus in focuses):
        return
    count = len(focuses)
    keys = (
        zoom_path.drift(factor, 3 * focuses, level + count, count)
        if loops(root)
        else zoom_path.drift(factor, focuses, level)
    )
    for axis in range(3):
        curve = _drive(root, empty, "location", size, axis)
        curve.keyframe_points.add(len(keys))
        for point, (s, place) in zip(curve.keyframe_points, keys):
            point.co = (s, place[axis])
            point.interpolation = "LINEAR"
        curve.extrapolation = "LINEAR"
        curve.update()


def drive_orbit(root: bpy.types.Object) -> None:
    """Turn the camera with the zoom; in a loop to and fro, as fast at the ends, so that it is back where it began."""
    pivot = next((child for child in root.children if PIVOT in child), None)
    if pivot is not None:
        count = len(root.dreamzoom.levels)
        swing = f"orbit * {count / math.tau:.9g} * sin(u * {math.tau / count:.9g})"
        _drive(root, pivot, "rotation_euler", swing if loops(root) else "orbit * u", 2, orbit=ORBIT)


def _own_zoom(root: bpy.types.Object, level: int) -> str:
    """The zoom as a level's drivers see it. In a loop a level comes again as soon as its last window is over: its own
    zoom runs from where it opens and starts anew after as many zooms as there are levels.
    """
    count = len(root.dreamzoom.levels)
    start = level - 1 + fading.OPENS_FROM
    return f"(u - {count} * floor((u - {start:g}) / {count}))" if loops(root) else "u"


def _drive(root, obj: bpy.types.Object, name: str, expression: str, index: int = -1, **others: str):
    """Drive a property by an expression of `u`, the zoom, and of other properties of the rig; the driver's curve."""
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

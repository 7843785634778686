"""The flight: the keys of a rig's zoom and the frames that they span."""

from __future__ import annotations

import bpy

from . import keyframes
from .lookup import ZOOM


def loops(root: bpy.types.Object) -> bool:
    """Whether the last level leads back into the first; a rig with a single level does not loop."""
    settings = root.dreamzoom
    return settings.loop and len(settings.levels) > 1


def flight_depth(root: bpy.types.Object) -> float:
    """The zoom at which the flight ends: the last level, or in a loop where the first level is reached again."""
    count = len(root.dreamzoom.levels)
    return float(count if loops(root) else count - 1)


def key_flight(root: bpy.types.Object, start: int) -> None:
    """Replace the keys of the zoom by a flight of constant speed from the first level to the last. In a loop it ends
    where the first level is reached again, and the curve is extrapolated.
    """
    settings = root.dreamzoom
    last = max(flight_depth(root), 0.5)
    curve = zoom_curve(root)
    if curve is not None and root.animation_data.action.library is not None:
        root.animation_data.action = None  # a library override gets an action of its own
    elif curve is not None:
        curve.keyframe_points.clear()
    for frame, zoom in ((start, 0.0), (start + round(last * settings.frames_per_level), last)):
        root["zoom"] = zoom
        root.keyframe_insert(ZOOM, frame=frame)
    curve = zoom_curve(root)
    for key in curve.keyframe_points:
        key.interpolation = "LINEAR"
    curve.extrapolation = "LINEAR" if loops(root) else "CONSTANT"
    curve.update()
    root["zoom"] = 0.0


def stretch_flight(root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Key the flight again after the count of levels or the speed has changed, unless the artist keyed another one.

    If the scene's frame range was that of the flight, it is changed too.
    """
    curve = zoom_curve(root)
    if curve is None or len(curve.keyframe_points) != 2:
        return
    frames = flight_range(root)
    assert frames is not None
    first, last = frames
    key_flight(root, first)
    if scene.frame_start == first and scene.frame_end in (last, last - 1):
        scene.frame_start, scene.frame_end = frame_range(root) or frames


def zoom_curve(root: bpy.types.Object) -> bpy.types.FCurve | None:
    """The animation curve of the zoom."""
    return keyframes.curve_of(root, ZOOM)


def flight_range(root: bpy.types.Object) -> tuple[int, int] | None:
    """First and last frame of the zoom's keys."""
    curve = zoom_curve(root)
    if curve is None or not curve.keyframe_points:
        return None
    first, last = curve.range()
    return round(first), round(last)


def frame_range(root: bpy.types.Object) -> tuple[int, int] | None:
    """The frames to render: those of the flight, in a loop without the last, which shows the same as the first."""
    frames = flight_range(root)
    if frames is None or not loops(root):
        return frames
    return frames[0], max(frames[1] - 1, frames[0])

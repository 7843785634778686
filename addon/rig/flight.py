"""The flight: the keys of a rig's zoom and the frames that they span.

Keys that Dreamzoom wrote have a digest, which is stored with their action. Where the digest no longer fits, or there is
none, the keys are the artist's, and only *Key Flight* replaces them.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import bpy

from . import keyframes
from .flight_keys import FlightKey, keys
from .lookup import ZOOM

WRITTEN = "dreamzoom_flight"
"""Custom property of an action: the digest of the keys that Dreamzoom wrote."""


def loops(root: bpy.types.Object) -> bool:
    """Whether the last level leads back into the first; a rig with a single level does not loop."""
    settings = root.dreamzoom
    return settings.loop and len(settings.levels) > 1


def flight_depth(root: bpy.types.Object) -> float:
    """The zoom at which the flight ends: the last level, or in a loop where the first level is reached again."""
    count = len(root.dreamzoom.levels)
    return float(count if loops(root) else count - 1)


def flight_frames(root: bpy.types.Object) -> int:
    """How many frames the flight is meant to take when it is rendered, by the settings."""
    settings = root.dreamzoom
    if settings.keep == "LENGTH":
        return max(settings.length, 2)
    return max(round(max(flight_depth(root), 0.5) * settings.frames_per_level) + (0 if loops(root) else 1), 2)


def key_flight(root: bpy.types.Object, start: int) -> None:
    """Replace the keys of the zoom by a flight through all levels, as long, eased and directed as the settings say.

    In a loop the flight has constant speed, ends where the first level is reached again, and is extrapolated.
    """
    settings, loop = root.dreamzoom, loops(root)
    end = start + flight_frames(root) - (0 if loop else 1)
    eased = {} if loop else {"ease_in": settings.ease_in, "ease_out": settings.ease_out, "hold": settings.hold}
    found = keys(start, end, max(flight_depth(root), 0.5), out=settings.direction == "OUT", **eased)
    curve = zoom_curve(root)
    if curve is not None and root.animation_data.action.library is not None:
        root.animation_data.action = None  # a library override gets an action of its own
    elif curve is not None:
        _own_action(root)
    root["zoom"] = found[0].point[1]
    root.keyframe_insert(ZOOM, frame=start)
    curve = zoom_curve(root)
    assert curve is not None
    for modifier in list(curve.modifiers):
        curve.modifiers.remove(modifier)
    curve.mute = False
    _write(curve, found)
    curve.extrapolation = "LINEAR" if loop else "CONSTANT"
    curve.update()
    action = root.animation_data.action
    assert action is not None
    action[WRITTEN] = _digest(curve)


def stretch_flight(root: bpy.types.Object) -> None:
    """Key the flight again after the count of levels, the speed or the easing has changed, unless its keys are the
    artist's. Scenes whose frame range was that of the flight get its new range.
    """
    if not is_keyed_by_us(root):
        return
    frames = flight_range(root)
    assert frames is not None
    first, last = frames
    before = root["zoom"]
    key_flight(root, first)
    root["zoom"] = before
    for scene in bpy.data.scenes:
        is_fitted = scene.frame_start == first and scene.frame_end in (last, last - 1)
        if is_fitted and root.name in scene.objects and scene.is_editable:
            scene.frame_start, scene.frame_end = frame_range(root) or frames


def is_keyed_by_us(root: bpy.types.Object) -> bool:
    """Whether the zoom has the keys that Dreamzoom wrote last, unchanged, and nothing else moves it."""
    curve = zoom_curve(root)
    if curve is None or curve.lock or is_driven(root) or len(root.animation_data.nla_tracks):
        return False
    return root.animation_data.action.get(WRITTEN) == _digest(curve)


def is_keyed_by_artist(root: bpy.types.Object) -> bool:
    """Whether keys, a driver or NLA tracks of the artist move the zoom."""
    animation = root.animation_data
    moved = zoom_curve(root) is not None or is_driven(root) or bool(animation and len(animation.nla_tracks))
    return moved and not is_keyed_by_us(root)


def is_driven(root: bpy.types.Object) -> bool:
    """Whether a driver sets the zoom, which then can't be keyed."""
    animation = root.animation_data
    return animation is not None and animation.drivers.find(ZOOM) is not None


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


def _own_action(root: bpy.types.Object) -> None:
    """Give the rig an action of its own where it shares one, as linked copies of an object do."""
    animation = root.animation_data
    action, slot = animation.action, animation.action_slot
    if action.users - action.use_fake_user > 1:
        animation.action = action.copy()
        if slot is not None:
            animation.action_slot = animation.action.slots[slot.identifier]


def _write(curve: bpy.types.FCurve, found: list[FlightKey]) -> None:
    """Replace the keys of a curve."""
    points = curve.keyframe_points
    points.clear()
    points.add(len(found))
    for point, key in zip(points, found):
        point = cast("Any", point)
        point.co = key.point
        point.interpolation = "BEZIER" if key.curved else "LINEAR"
        point.handle_left_type = "VECTOR" if key.left is None else "FREE"
        point.handle_right_type = "VECTOR" if key.right is None else "FREE"
        point.handle_left, point.handle_right = key.left or key.point, key.right or key.point


def _digest(curve: bpy.types.FCurve) -> str:
    """A digest of all that the curve's values depend on."""
    rows = []
    for point in curve.keyframe_points:
        row: list[Any] = [*point.co, point.interpolation]
        if point.interpolation == "BEZIER":
            row.extend(point.handle_right)
        if rows and rows[-1][2] == "BEZIER":
            row.extend(point.handle_left)
        elif point.interpolation not in ("BEZIER", "LINEAR"):
            row.extend([point.easing, point.amplitude, point.back, point.period])
        rows.append([round(value, 4) if isinstance(value, float) else value for value in row])
    whole = [rows, curve.extrapolation, [modifier.type for modifier in curve.modifiers], curve.mute]
    return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]

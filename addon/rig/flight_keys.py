"""The keys of a flight: how the zoom changes over time, with easing and pauses. Without Blender."""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[float, float]
"""(frame, zoom)."""


@dataclass(frozen=True)
class FlightKey:
    """A key of the zoom.

    Attributes:
        point: Where it is.
        curved: Whether the curve to the next key is a Bézier curve; else it is straight.
        left, right: The handles of Bézier curves; None where the curve on that side is straight.
    """

    point: Point
    curved: bool = False
    left: Point | None = None
    right: Point | None = None


def keys(
    start: int, end: int, depth: float, *, ease_in: float = 0.0, ease_out: float = 0.0, hold: int = 0, out: bool = False
) -> list[FlightKey]:
    """The keys of a flight from zoom 0 to `depth`.

    Args:
        start: First frame.
        end: Frame of the last key, after `start`.
        depth: Zoom at the end.
        ease_in: Share of the flight, 0 to 1, in which it speeds up, with constant acceleration.
        ease_out: Share in which it slows down; the two are scaled down together if their sum exceeds 1.
        hold: Frames for which it rests at each level between the first and the last. Each way between two rests is then
            eased by itself.
        out: Whether it flies from `depth` to 0.
    """
    shares = ease_in + ease_out
    if shares > 1:
        ease_in, ease_out = ease_in / shares, ease_out / shares
    found: list[FlightKey] = []
    for first, last in _ways(start, end, depth, hold):
        found += _way(first, last, ease_in, ease_out)
    return [_mirrored(key, depth) for key in found] if out else found


def _ways(start: int, end: int, depth: float, hold: int) -> list[tuple[Point, Point]]:
    """The ways between the rests, each from one point to another."""
    stops = [float(level) for level in range(1, math.ceil(depth))] if hold > 0 else []
    span = end - start
    hold = min(hold, max((span - len(stops) - 1) // len(stops), 0)) if stops else 0
    if not hold:
        return [((start, 0.0), (end, depth))]
    moving = span - hold * len(stops)
    ways, before, leaves = [], 0.0, float(start)
    for index, stop in enumerate([*stops, depth]):
        arrives = float(round(start + moving * stop / depth + hold * index))
        ways.append(((leaves, before), (arrives, stop)))
        before, leaves = stop, arrives + hold
    return ways


def _way(first: Point, last: Point, ease_in: float, ease_out: float) -> list[FlightKey]:
    """From one rest to the next: acceleration, constant speed, deceleration.

    A quadratic motion is a Bézier curve whose handles are a third of the time away; the one at rest is level.
    """
    frames, zooms = last[0] - first[0], last[1] - first[1]
    speed = zooms / (frames * (1 - (ease_in + ease_out) / 2))
    begins, ends = ease_in * frames, ease_out * frames
    fast = (first[0] + begins, first[1] + speed * begins / 2)
    slow = (last[0] - ends, last[1] - speed * ends / 2)
    found = [FlightKey(first, ease_in > 0, right=(first[0] + begins / 3, first[1]) if ease_in else None)]
    at_speed = []
    if ease_in:
        at_speed.append(FlightKey(fast, left=(fast[0] - begins / 3, fast[1] - speed * begins / 3)))
    if ease_out:
        at_speed.append(FlightKey(slow, True, right=(slow[0] + ends / 3, slow[1] + speed * ends / 3)))
    if len(at_speed) == 2 and slow[0] - fast[0] < 1e-3:
        at_speed = [FlightKey(slow, True, at_speed[0].left, at_speed[1].right)]
    if len(at_speed) == 1 and abs(at_speed[0].point[0] - last[0]) < 1e-3:  # no deceleration, no constant speed
        return [*found, FlightKey(last, left=at_speed[0].left)]
    if len(at_speed) == 1 and abs(at_speed[0].point[0] - first[0]) < 1e-3:  # nothing but deceleration
        return [FlightKey(first, True, right=at_speed[0].right), FlightKey(last, left=(last[0] - ends / 3, last[1]))]
    return [*found, *at_speed, FlightKey(last, left=(last[0] - ends / 3, last[1]) if ease_out else None)]


def _mirrored(key: FlightKey, depth: float) -> FlightKey:
    """The key of the flight in the opposite direction."""

    def turned(point: Point | None) -> Point | None:
        return None if point is None else (point[0], depth - point[1])

    return FlightKey((key.point[0], depth - key.point[1]), key.curved, turned(key.left), turned(key.right))

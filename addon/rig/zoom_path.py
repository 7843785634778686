"""The zoom path as the rig needs it: where each level lies in the gauge, and when it shows.

Pure numbers, the add-on's twin of the server's `path.py`. p is the zoom factor, u the zoom, c_k the focus of level k:
where the centre of level k+1 lies in level k's frame. Level k appears p^(u-k) times its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core import fading

Vector = Sequence[float]

SHOWN_SCALE = 64.0
"""A level is hidden once it appears this many times its own size: what is left of it is far outside the picture."""


LOOP_PAUSE = 0.1
"""So much zoom before a level of a loop comes again it is hidden; what is left of it then lies outside the picture."""


def level_origin(factor: float, focuses: Sequence[Vector], level: int, base: int) -> list[float]:
    """The origin of `level` in the frame of level `base` (0 to N), in that frame's units."""
    origin = [0.0, 0.0, 0.0]
    if level < base:
        for k in range(level, base):
            origin = [factor * (x - c) for x, c in zip(origin, focuses[k])]
    for k in reversed(range(base, level)):
        origin = [x / factor + c for x, c in zip(origin, focuses[k])]
    return origin


def drift(factor: float, focuses: Sequence[Vector], level: int, reach: int = 8) -> list[tuple[float, list[float]]]:
    """Where the origin of `level` lies in the gauge, as (s, position) with s = p^(u-level), ascending.

    Between two whole zooms the position is a linear function of s, since the gauge is a pure zoom about one point
    there; so these pairs, joined by straight lines that go on at both ends, are exact. `reach` whole zooms on both
    sides of the level are given.
    """
    first, last = max(0, level - reach), min(len(focuses), level + reach)
    return [(factor ** (base - level), level_origin(factor, focuses, level, base)) for base in range(first, last + 1)]


def in_gauge(factor: float, focuses: Sequence[Vector], level: int, zoom: float) -> tuple[float, list[float]]:
    """How large `level` appears in the gauge at `zoom`, and where its origin lies there."""
    base = min(max(math.floor(zoom), 0), len(focuses) - 1)
    part = zoom - base
    moved = (1 - factor**-part) / (1 - 1 / factor)
    origin = level_origin(factor, focuses, level, base)
    return factor ** (zoom - level), [factor**part * (x - c * moved) for x, c in zip(origin, focuses[base])]


def window(factor: float, level: int, superseded: bool = False, loop: int | None = None) -> tuple[float, float]:
    """The zooms between which a level is to be seen; hidden at and below the first, and above the second.

    With `loop`, the count of levels in a loop, it is over before the level comes again from far away: a moment before,
    so that a motion blur does not span both.
    """
    first, last = fading.window(level, superseded, first=level == 0 and loop is None)
    if superseded:
        return first, last
    last = level + max(math.log(SHOWN_SCALE) / math.log(factor), 2.0)
    return first, last if loop is None else min(last, level + loop - 1 + fading.OPENS_FROM - LOOP_PAUSE)

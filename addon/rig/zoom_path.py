"""The zoom path as the rig needs it: where each level lies in the gauge, and when it shows.

Pure numbers, by the frames that the server uses (`core.level_frames`). p is the zoom factor, u the zoom, c_k the focus
of level k. Level k appears p^(u-k) times its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core import fading
from ..core.camera import Similarity
from ..core.level_frames import LevelFrames

Vector = Sequence[float]

SHOWN_SCALE = 64.0
"""A level is hidden once it appears this many times its own size: what is left of it is far outside the picture."""

LOOP_PAUSE = 0.1
"""So much zoom before a level of a loop comes again it is hidden; what is left of it then lies outside the picture."""


def drift(factor: float, focuses: Sequence[Vector], level: int, reach: int = 8) -> list[tuple[float, list[float]]]:
    """Where the origin of `level` lies in the gauge, as (s, position) with s = p^(u-level), ascending.

    Between two whole zooms the position is a linear function of s, since the gauge is a pure zoom about one point
    there; so these pairs, joined by straight lines that go on at both ends, are exact. `reach` whole zooms on both
    sides of the level are given.
    """
    frames = LevelFrames(factor, np.array(focuses, np.float64))
    first, last = max(0, level - reach), min(len(focuses), level + reach)
    bases = range(first, last + 1)
    return [(factor ** (base - level), _place(frames.between(base, level))) for base in bases]


def in_gauge(factor: float, focuses: Sequence[Vector], level: int, zoom: float) -> tuple[float, list[float]]:
    """How large `level` appears in the gauge at `zoom`, and where its origin lies there."""
    to_level = LevelFrames(factor, np.array(focuses, np.float64)).gauge(zoom, level)
    return 1 / to_level.scale, _place(to_level)


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


def _place(to_level: Similarity) -> list[float]:
    """Where the origin of the target frame lies in the source frame; without a negative zero."""
    return (to_level.offset + 0.0).tolist()

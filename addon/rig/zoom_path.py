"""The zoom path as the rig needs it: the position of each level in the gauge, and when it is visible.

Without Blender, by the same frames as the server (`core.level_frames`). p is the zoom factor, u the zoom, c_k the focus
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
"""A level is hidden once it appears this many times its own size, when its content lies far outside the picture."""

LOOP_PAUSE = 0.1
"""In a loop, a level is hidden this much zoom before it is shown again, when its content lies outside the picture."""


def origin_keys(
    factor: float, focuses: Sequence[Vector], level: int, extent: int = 8
) -> list[tuple[float, list[float]]]:
    """Positions of the origin of `level` in the gauge, as pairs (s, position) with ascending s = p^(u-level).

    Between two whole zooms the position is a linear function of s, since the gauge is a pure zoom about one point
    there; so linear interpolation of these pairs, extrapolated at both ends, is exact. There is a pair for each of
    `extent` whole zooms on both sides of the level.
    """
    frames = LevelFrames(factor, np.array(focuses, np.float64))
    first, last = max(0, level - extent), min(len(focuses), level + extent)
    bases = range(first, last + 1)
    return [(factor ** (base - level), _origin(frames.between(base, level))) for base in bases]


def in_gauge(factor: float, focuses: Sequence[Vector], level: int, zoom: float) -> tuple[float, list[float]]:
    """The scale at which `level` appears in the gauge at `zoom`, and the position of its origin there."""
    to_level = LevelFrames(factor, np.array(focuses, np.float64)).gauge(zoom, level)
    return 1 / to_level.scale, _origin(to_level)


def window(factor: float, level: int, superseded: bool = False, loop: int | None = None) -> tuple[float, float]:
    """The zooms between which a level is visible: it is hidden at and below the first, and at and above the second.

    With `loop`, the count of levels in a loop, the second is a little before the level is shown again from far away, so
    that motion blur does not span both.
    """
    first, last = fading.window(level, superseded, first=level == 0 and loop is None)
    if superseded:
        return first, last
    last = level + max(math.log(SHOWN_SCALE) / math.log(factor), 2.0)
    return first, last if loop is None else min(last, level + loop - 1 + fading.OPENS_FROM - LOOP_PAUSE)


def _origin(to_level: Similarity) -> list[float]:
    """The origin of the target frame in the source frame, without negative zeros."""
    return (to_level.offset + 0.0).tolist()

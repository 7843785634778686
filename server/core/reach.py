"""Which levels are seen in which: what the procedural engine's pictures depend on, and what a changed prompt redoes."""

from __future__ import annotations

import math

OLDER = 400.0
"""How much larger than a level's own units the scale of the oldest level is that its ground is made of."""
SKY = 50.0 * 1.1 / 1.7
"""How much farther than a level's own grid the sky is, with a margin."""
SHADED = 5
"""So many grids outwards cast shadows."""


def older(factor: float) -> int:
    """How many older levels a level's ground is made of, at zoom factor p."""
    return math.ceil(math.log(OLDER) / math.log(factor))


def finer(factor: float, side: int) -> int:
    """How many finer levels are seen in pictures whose longer side has so many pixels: until one is smaller than a
    pixel.
    """
    return max(1, math.ceil(math.log(side) / math.log(factor)))


def seen_from(level: int, count: int, factor: float, side: int, loop: bool = False) -> range:
    """The levels that the procedural pictures of a level depend on; in a loop they count on past both ends.

    Args:
        level: k.
        count: N, how many levels there are.
        factor, side, loop: Zoom factor, pixels of the longer side, whether the first level comes again after the last.
    """
    outer = math.ceil(math.log(SKY) / math.log(factor)) + 1 + SHADED
    first, last = level - outer - older(factor), level + finer(factor, side)
    return range(first, last + 1) if loop else range(max(first, 0), min(last, count - 1) + 1)


def redone(changed: set[int], count: int, factor: float, side: int, loop: bool = False) -> list[int]:
    """The levels that are dreamed again when the words of some levels have changed, with the procedural engine.

    A level's depth is measured in its neighbours' pictures, and levels are built on those above them: so these are all
    levels from the first on in which, or beside which, a changed one is seen.
    """
    seen = [k for k in range(count) if changed & {j % count for j in seen_from(k, count, factor, side, loop)}]
    if not seen:
        return []
    return list(range(count)) if loop else list(range(max(min(seen) - 1, 0), count))

"""Dependencies between levels: which ones a procedural picture shows, and which to redo after a prompt change."""

from __future__ import annotations

import math

OLDER = 400.0
"""The coarsest level that contributes to a level's terrain has units at most this many times as large (rounded up)."""
SKY = 50.0 * 1.1 / 1.7
"""Distance of the sky in half-sizes of a level's own grid, with a margin of 1.1."""
SHADED = 5
"""This many coarser grids cast shadows."""


def older(factor: float) -> int:
    """How many coarser levels contribute to a level's terrain, at zoom factor p."""
    return math.ceil(math.log(OLDER) / math.log(factor))


def finer(factor: float, side: int) -> int:
    """How many finer levels are visible, at zoom factor p, in pictures whose longer side has `side` pixels.

    Still finer ones would be smaller than a pixel.
    """
    return max(1, math.ceil(math.log(side) / math.log(factor)))


def seen_from(level: int, count: int, factor: float, side: int, loop: bool = False) -> range:
    """The levels that a level's procedural pictures depend on; in a loop indices may be below 0 or above N − 1.

    Args:
        level: k.
        count: N, the number of levels.
        factor: Zoom factor p.
        side: Longer side of the pictures in pixels.
        loop: Whether the first level follows the last.
    """
    outer = math.ceil(math.log(SKY) / math.log(factor)) + 1 + SHADED
    first, last = level - outer - older(factor), level + finer(factor, side)
    return range(first, last + 1) if loop else range(max(first, 0), min(last, count - 1) + 1)


def redone(changed: set[int], count: int, factor: float, side: int, loop: bool = False) -> list[int]:
    """The levels to generate again after the prompts of the levels `changed` were edited, with the procedural engine.

    A level's depth is estimated from its neighbours' pictures too, and each level is built on the coarser ones. So the
    result is every level from the one before the first that shows a changed level; in a loop, all levels.
    """
    seen = [k for k in range(count) if changed & {j % count for j in seen_from(k, count, factor, side, loop)}]
    if not seen:
        return []
    return list(range(count)) if loop else list(range(max(min(seen) - 1, 0), count))

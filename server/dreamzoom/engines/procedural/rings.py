"""Grids of the ground about each level's origin: heights, shadows and openness to the sky. Made once, seen by every
level's cameras.

Ring g is a square about the origin of the level that owns it, half its side EXTENT · p^(−g/m) in units of level 0 (m
rings a level, so that neighbours differ by about a factor of two). A ring's content depends on the place alone and on
its own cell size, so levels show one world.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from dreamzoom.engines.procedural import kernels

BLOCKS, EXTENT = (16, 4), 1.7
"""Cells a side of the blocks of the march; half the side of a level's own ring, in its frame's units."""

SUN = np.array([-0.62, 0.52, 0.52]) / np.linalg.norm([-0.62, 0.52, 0.52])
"""Towards the sun, the same in every frame: from behind and the left of a camera that looks along +y."""


@dataclass(frozen=True)
class Relief:
    """The heights of one ring, (n+1, n+1) float32 in units of its owner's frame, rows along y; and the highest ground
    of each block of cells and its eight neighbours, for each size in BLOCKS.
    """

    heights: np.ndarray
    tops: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shade:
    """The share of the sun (n+1, n+1) that each place of a ring sees, and of the sky at the ring's own scale."""

    sun: np.ndarray
    sky: np.ndarray


def bake_relief(older: tuple, extent: float, cells: int, smoothed: bool) -> Relief:
    """Fill a ring with heights.

    Args:
        older: Chain, recipes, seeds and counts of the levels in the owner's frame.
        extent: Half the ring's side, in the owner's units.
        cells: Cells a side.
        smoothed: Whether steps get the mean of four places, so that edges of walls run straight.
    """
    side, cell = cells + 1, 2 * extent / cells
    axis = np.arange(side) * cell - extent
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    grid = _heights_at(older, places, cell).astype(np.float32).reshape(side, side)
    if smoothed:
        steps = np.flatnonzero(maximum_filter(grid, 3) - minimum_filter(grid, 3) > 3 * cell)
        corners = [(x * cell / 3, y * cell / 3) for x in (-1, 1) for y in (-1, 1)]
        grid.reshape(-1)[steps] = np.mean([_heights_at(older, places[steps] + corner, cell) for corner in corners], 0)
    return Relief(grid, (_block_tops(grid, BLOCKS[0]), _block_tops(grid, BLOCKS[1])))


def bake_shade(grids: np.ndarray, rings: np.ndarray, least: float) -> Shade:
    """Light a ring.

    Args:
        grids: (R, n+1, n+1) heights of this ring and of those around it, in its owner's frame.
        rings: (R, 3) their centres and half sides, this one first, about the origin.
        least: As in `kernels.bake_shadows`.
    """
    sun, ceiling = np.empty_like(grids[0]), float(grids.max()) + 1e-3
    x, y, z = SUN
    in_parts(lambda a, b: kernels.bake_shadows(grids, rings, x, y, z, ceiling, least, sun, a, b), len(sun), 16)
    return Shade(sun, _openness(grids[0], 2 * rings[0, 2] / (len(sun) - 1)))


def _heights_at(older: tuple, places: np.ndarray, footprint: float) -> np.ndarray:
    """Exact heights (N,) of places (N, 2)."""
    chain, recipes, seeds, counts = older
    out, last = np.empty(len(places)), len(chain) - 1

    def part(begin: int, end: int) -> None:
        kernels.heights_at(chain, recipes, seeds, counts, places[begin:end], footprint, last, out[begin:end])

    in_parts(part, len(places), 8192)
    return out


def _block_tops(grid: np.ndarray, size: int) -> np.ndarray:
    """The highest value of each block of `size` cells and its eight neighbours."""
    blocks = (len(grid) - 1) // size
    own = maximum_filter(grid, size + 2)[size // 2 :: size, size // 2 :: size][:blocks, :blocks]
    return maximum_filter(own, 3)


def _openness(grid: np.ndarray, cell: float) -> np.ndarray:
    """How much sky is left by what rises around, at the scale of a dozen cells; outer rings add larger scales."""
    out = np.ones_like(grid)
    for width in (7, 17):
        rise = (uniform_filter(grid, width, mode="nearest") - grid) / (0.5 * width * cell)
        out *= 1 / (1 + 0.8 * np.maximum(rise, 0))
    return out


def in_parts(work, count: int, size: int) -> None:
    """Run `work(start, stop)` over 0..count on all cores; the parts are independent, so the result never varies."""
    spans = [(a, min(a + size, count)) for a in range(0, count, size)]
    with ThreadPoolExecutor(_threads()) as pool:
        for future in [pool.submit(work, *span) for span in spans]:
            future.result()


def _threads() -> int:
    return max(1, int(os.environ.get("NUMBA_NUM_THREADS") or os.cpu_count() or 1))


def per_level(factor: float) -> int:
    """m, how many rings a level has."""
    return max(1, round(math.log2(factor)))

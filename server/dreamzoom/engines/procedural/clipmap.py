"""Nested grids of the terrain around each level's origin: heights, shadows and sky visibility. Each is computed once
and used by the cameras of all levels.

Ring g is a square around the origin of the level that owns it; half its side is EXTENT · p^(−g/m) in units of level 0,
with m rings per level so that adjacent rings differ by about a factor of two. A ring's content depends only on its
position and cell size, so all levels show the same world.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from dreamzoom.engines.procedural import kernels
from dreamzoom.progress import check

BLOCKS, EXTENT = (16, 4), 1.7
"""Sides of the blocks used by the ray march, in cells; half the side of a level's own ring, in its frame's units."""

SUN = np.array([-0.62, 0.52, 0.52]) / np.linalg.norm([-0.62, 0.52, 0.52])
"""Unit vector towards the sun, the same in every frame; for a camera that looks along +y, the sun is to the left."""


@dataclass(frozen=True)
class Relief:
    """The heights of one ring, (n+1, n+1) float32 in units of its owner's frame, rows along y; and for each block size
    in BLOCKS the maximum of each block and its eight neighbours, (n/size, n/size) float32.
    """

    heights: np.ndarray
    tops: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shade:
    """The visible share of the sun at each point of a ring, (n+1, n+1), and that of the sky at the ring's own scale."""

    sun: np.ndarray
    sky: np.ndarray


def bake_relief(older: tuple, extent: float, cells: int, smoothed: bool) -> Relief:
    """Compute the heights of a ring.

    Args:
        older: The arrays chain, recipes, seeds, counts (see `kernels`) in the owner's frame.
        extent: Half the ring's side, in the owner's units.
        cells: Number of cells along a side.
        smoothed: Whether points at steps get the mean of four samples, so that edges of walls are straight.
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
    """Compute the shadows and the sky visibility of a ring.

    Args:
        grids: (R, n+1, n+1) heights of this ring and the rings around it, in its owner's frame.
        rings: (R, 3) their centres and half sides, this ring first.
        least: As in `kernels.bake_shadows`.
    """
    sun, ceiling = np.empty_like(grids[0]), float(grids.max()) + 1e-3
    x, y, z = SUN
    in_parts(lambda a, b: kernels.bake_shadows(grids, rings, x, y, z, ceiling, least, sun, a, b), len(sun), 16)
    return Shade(sun, _openness(grids[0], 2 * rings[0, 2] / (len(sun) - 1)))


def _heights_at(older: tuple, places: np.ndarray, footprint: float) -> np.ndarray:
    """Exact heights (N,) at points (N, 2), computed in parallel."""
    chain, recipes, seeds, counts = older
    out, last = np.empty(len(places)), len(chain) - 1

    def part(begin: int, end: int) -> None:
        kernels.heights_at(chain, recipes, seeds, counts, places[begin:end], footprint, last, out[begin:end])

    in_parts(part, len(places), 8192)
    return out


def _block_tops(grid: np.ndarray, size: int) -> np.ndarray:
    """The maximum of each block of `size` × `size` cells and its eight neighbours, (n/size, n/size)."""
    blocks = (len(grid) - 1) // size
    own = maximum_filter(grid, size + 2)[size // 2 :: size, size // 2 :: size][:blocks, :blocks]
    return maximum_filter(own, 3)


def _openness(grid: np.ndarray, cell: float) -> np.ndarray:
    """The visible share of the sky (n+1, n+1), considering terrain within about a dozen cells; outer rings cover the
    larger scales.
    """
    out = np.ones_like(grid)
    for width in (7, 17):
        rise = (uniform_filter(grid, width, mode="nearest") - grid) / (0.5 * width * cell)
        out *= 1 / (1 + 0.8 * np.maximum(rise, 0))
    return out


def in_parts(work, count: int, size: int) -> None:
    """Run `work(start, stop)` over 0..count on all cores. The parts are independent, so the result is deterministic.

    Raises:
        Cancelled: The job was cancelled; parts that had not begun are left out.
    """
    spans = [(a, min(a + size, count)) for a in range(0, count, size)]
    with ThreadPoolExecutor(_threads()) as pool:
        futures = [pool.submit(work, *span) for span in spans]
        try:
            for future in futures:
                check()
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _threads() -> int:
    return max(1, int(os.environ.get("NUMBA_NUM_THREADS") or os.cpu_count() or 1))


def per_level(factor: float) -> int:
    """m, the number of rings per level."""
    return max(1, round(math.log2(factor)))

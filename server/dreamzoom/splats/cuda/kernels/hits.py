"""Device functions: the intersection of one pixel's ray with one splat, and the selection of a pixel's nearest hits."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, uint32

from dreamzoom.splats.cuda.kernels.device import device
from dreamzoom.splats.cuda.layout import KEPT, NEAREST, TILE, TILE_THREADS
from dreamzoom.splats.splat_projection import COLUMNS, CUT

BATCH = 128
"""Splats of a tile that are loaded to shared memory at once."""
CUT2 = np.float32(CUT * CUT)
HALF, ONE, ZERO = np.float32(0.5), np.float32(1), np.float32(0)
STOP = np.float32(1e-5)
"""A pixel is finished when its transmittance is below this."""


@device
def meet(table, row, dx, dy):
    """q, the squared distance in standard deviations, and the z-depth of a hit.

    `table` is (N, COLUMNS), `row` the splat, (dx, dy) the pixel centre relative to the row's pixel position. If the ray
    meets a surfel behind the camera, q is CUT2.
    """
    kind = table[row, 15]
    if kind == ZERO:
        inverse = table[row, 8] + table[row, 9] * dx + table[row, 10] * dy
        if not inverse > ZERO:
            return CUT2, ZERO
        z = ONE / inverse
        u = z * (table[row, 2] + table[row, 3] * dx + table[row, 4] * dy)
        v = z * (table[row, 5] + table[row, 6] * dx + table[row, 7] * dy)
        return u * u + v * v, z
    length = ONE + dx * (table[row, 5] + table[row, 7] * dx + table[row, 8] * dy)
    length += dy * (table[row, 6] + table[row, 9] * dy)
    q = (dx * (table[row, 2] * dx + table[row, 3] * dy) + table[row, 4] * dy * dy) / length
    z = kind * (ONE + HALF * (table[row, 5] * dx + table[row, 6] * dy)) / length
    return q, z


@device
def alpha_of(table, row, x, y):
    """The alpha of a hit of splat `row` of the table (N, COLUMNS) at pixel (x, y)."""
    q, _ = meet(table, row, float32(x) + HALF - table[row, 0], float32(y) + HALF - table[row, 1])
    return table[row, 11] * math.exp(-HALF * q)


@device
def listed(at, pixel, pixels, first):
    """The index in the lists of hit number `at` of a pixel.

    The first KEPT hits of all pixels are in planes (KEPT, pixels); the others follow, from first (pixels,) on.
    """
    if at < KEPT:
        return at * pixels + pixel
    return KEPT * pixels + first[pixel] + (at - KEPT)


@device
def pixel_of(thread, left, top):
    """The pixel (x, y) of a thread in the tile with first pixel (left, top), and its bits in the `covers` of `load`.

    A warp has 8 × 4 pixels.
    """
    warp, lane = thread // 32, thread % 32
    px, py = (warp % 2) * 8 + lane % 8, (warp // 2) * 4 + lane // 8
    return left + px, top + py, uint32((1 << px) | (1 << (TILE + py)))


@device
def load(thread, base, count, left, top, tile_splats, table, box, rows, ids, covers):
    """Load `count` of a tile's splats, from entry `base` of tile_splats on, to shared memory.

    Args:
        thread: Index of the thread in its block.
        left, top: First pixel of the tile.
        tile_splats, table, box: (pairs,) int32, (N, COLUMNS) float32, (N, 4) int32.
        rows: (BATCH, COLUMNS) float32, out: rows of the table.
        ids: (BATCH,) int32, out: the splats.
        covers: (BATCH,) uint32, out: the pixels in each splat's box, a bit per column of the tile, then a bit per row.
    """
    if thread < count:
        i = tile_splats[base + thread]
        ids[thread] = i
        x0, x1 = max(box[i, 0] - left, 0), min(box[i, 1] - left, TILE)
        y0, y1 = max(box[i, 2] - top, 0), min(box[i, 3] - top, TILE)
        covers[thread] = uint32(((1 << x1) - (1 << x0)) | (((1 << y1) - (1 << y0)) << TILE))
    column = thread % COLUMNS
    for r in range(thread // COLUMNS, count, TILE_THREADS // COLUMNS):
        rows[r, column] = table[tile_splats[base + r], column]


@device
def gather(count, rows, ids, covers, x, y, bits, near, last_z, last_i, held, depths, splats):
    """Insert one batch's hits of a pixel into its list of nearest hits behind (last_z, last_i), by (depth, splat).

    Args:
        count: Splats in the batch.
        rows, ids, covers: The batch, from `load`.
        x, y, bits: The pixel and its bits in `covers`.
        near: Z-depth of the near plane.
        last_z, last_i: Z-depth and splat of the hit after which to search.
        held: Number of hits in the list.
        depths, splats: (NEAREST,) float32 and int32, the list, changed in place.

    Returns:
        The new number of hits in the list, and whether a hit was left out.
    """
    left_out = 0
    for r in range(count):
        if covers[r] & bits != bits:
            continue
        q, z = meet(rows, r, float32(x) + HALF - rows[r, 0], float32(y) + HALF - rows[r, 1])
        i = ids[r]
        if not (q < CUT2 and z >= near) or z < last_z or (z == last_z and i <= last_i):
            continue
        place = held
        if held == NEAREST:
            left_out = 1
            place = NEAREST - 1
            if z > depths[place] or (z == depths[place] and i > splats[place]):
                continue
        else:
            held += 1
        while place > 0 and (depths[place - 1] > z or (depths[place - 1] == z and splats[place - 1] > i)):
            depths[place] = depths[place - 1]
            splats[place] = splats[place - 1]
            place -= 1
        depths[place] = z
        splats[place] = i
    return held, left_out

"""The forward pass: one block per tile, one thread per pixel.

Each pixel gathers its NEAREST hits, blends them front to back, and gathers again behind the last one as long as there
are more and it is not opaque. Hits are sorted by (depth, splat) and no sum crosses threads: runs are bit-identical.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, float32, int32, uint32

from dreamzoom.splats.cuda.kernels.device import device
from dreamzoom.splats.cuda.kernels.hits import (
    BATCH,
    HALF,
    ONE,
    STOP,
    ZERO,
    alpha_of,
    gather,
    listed,
    load,
    meet,
    pixel_of,
)
from dreamzoom.splats.cuda.layout import KEPT, NEAREST, TILE
from dreamzoom.splats.splat_projection import COLUMNS

NOTHING = np.float32(np.inf)


@device
def _next_hits(wanted, begin, end, left, top, splat_data, shared, x, y, bits, near, last, depths, splats):
    """A pixel's nearest hits behind the last ones, among its tile's splats. All threads of a block call it together.

    Args:
        wanted: 0 if this thread only helps to load the splats.
        begin, end: Range of the tile's splats in tile_splats.
        left, top: The tile's first pixel.
        splat_data: tile_splats, table and box as in `forward`.
        shared: rows, ids and covers of `load`.
        x, y, bits: The thread's pixel, of `pixel_of`.
        near: Z-depth of the near plane.
        last: Z-depth and splat of the previous hit.
        depths, splats: (NEAREST,) float32 and int32, out: the hits in order.

    Returns:
        The number of hits, and whether there are more behind them.
    """
    tile_splats, table, box = splat_data
    rows, ids, covers = shared
    held, more = 0, 0
    for base in range(begin, end, BATCH):
        count = min(BATCH, end - base)
        cuda.syncthreads()
        load(cuda.threadIdx.x, base, count, left, top, tile_splats, table, box, rows, ids, covers)
        cuda.syncthreads()
        if wanted != 0:
            held, left_out = gather(count, rows, ids, covers, x, y, bits, near, last[0], last[1], held, depths, splats)
            more |= left_out
    return held, more


@cuda.jit
def forward(
    tile_start, tile_splats, table, box, columns, width, height, near, background, kept, rgb, alpha, depth, lists, used
):
    """Render the picture, and list the hits of each pixel.

    Args:
        tile_start, tile_splats: (tiles + 1,) and (pairs,) int32: the splats of each tile.
        table, box: (N, COLUMNS) float32 and (N, 4) int32 of `project`.
        columns, width, height: Tiles across; pixels across and down.
        near: Z-depth of the near plane.
        background: (3,) float32, linear RGB.
        kept: Number of hits per pixel to list: KEPT, or 0 if only the picture is needed.
        rgb, alpha, depth: (H, W, 3), (H, W), (H, W) float32, out: as in `cpu_rasterizer.blend`.
        lists: (kept · H · W,) int32, out: the splats of each pixel's first hits (`listed`).
        used: (H · W,) int32, out: the number of hits that each pixel blended.
    """
    rows = cuda.shared.array((BATCH, COLUMNS), float32)
    ids = cuda.shared.array(BATCH, int32)
    covers = cuda.shared.array(BATCH, uint32)
    shared, splat_data = (rows, ids, covers), (tile_splats, table, box)
    depths = cuda.local.array(NEAREST, float32)
    splats = cuda.local.array(NEAREST, int32)
    thread, tile = cuda.threadIdx.x, cuda.blockIdx.x
    left, top = (tile % columns) * TILE, (tile // columns) * TILE
    x, y, bits = pixel_of(thread, left, top)
    begin, end = tile_start[tile], tile_start[tile + 1]
    inside = x < width and y < height
    pixel, pixels = y * width + x, width * height
    open_ = 1 if inside else 0
    clear, red, green, blue, far = ONE, ZERO, ZERO, ZERO, ZERO
    last_z, last_i, total = -ONE, -1, 0
    while cuda.syncthreads_or(open_) != 0:
        last = last_z, last_i
        held, more = _next_hits(
            open_, begin, end, left, top, splat_data, shared, x, y, bits, near, last, depths, splats
        )
        if open_ != 0:
            for at in range(held):
                i = splats[at]
                weight = clear * alpha_of(table, i, x, y)
                red += weight * table[i, 12]
                green += weight * table[i, 13]
                blue += weight * table[i, 14]
                far += weight * depths[at]
                clear -= weight
                if total < kept:
                    lists[total * pixels + pixel] = i
                total += 1
                if clear < STOP:
                    break
            if more == 0 or clear < STOP:
                open_ = 0
            else:
                last_z, last_i = depths[NEAREST - 1], splats[NEAREST - 1]
    if inside:
        rgb[y, x, 0] = red + clear * background[0]
        rgb[y, x, 1] = green + clear * background[1]
        rgb[y, x, 2] = blue + clear * background[2]
        alpha[y, x] = ONE - clear
        depth[y, x] = far / (ONE - clear) if clear < ONE else NOTHING
        used[pixel] = total


@cuda.jit
def overflow(tile_start, tile_splats, table, box, columns, width, height, near, used, first, lists):
    """Complete the lists of pixels that blended more than KEPT hits.

    Args:
        first: (H · W,) int64: start of each pixel's further hits, relative to the end of the planes of lists.
        Others: As in `forward`; lists includes the further hits.
    """
    rows = cuda.shared.array((BATCH, COLUMNS), float32)
    ids = cuda.shared.array(BATCH, int32)
    covers = cuda.shared.array(BATCH, uint32)
    shared, splat_data = (rows, ids, covers), (tile_splats, table, box)
    depths = cuda.local.array(NEAREST, float32)
    splats = cuda.local.array(NEAREST, int32)
    thread, tile = cuda.threadIdx.x, cuda.blockIdx.x
    left, top = (tile % columns) * TILE, (tile // columns) * TILE
    x, y, bits = pixel_of(thread, left, top)
    begin, end = tile_start[tile], tile_start[tile + 1]
    pixel, pixels = y * width + x, width * height
    total, done = 0, KEPT
    last_z, last_i = -ONE, -1
    if x < width and y < height and used[pixel] > KEPT:
        total = used[pixel]
        last_i = lists[(KEPT - 1) * pixels + pixel]
        _, last_z = meet(table, last_i, float32(x) + HALF - table[last_i, 0], float32(y) + HALF - table[last_i, 1])
    while cuda.syncthreads_or(1 if done < total else 0) != 0:
        last, open_ = (last_z, last_i), 1 if done < total else 0
        held, _ = _next_hits(open_, begin, end, left, top, splat_data, shared, x, y, bits, near, last, depths, splats)
        if done < total:
            for at in range(min(held, total - done)):
                lists[listed(done + at, pixel, pixels, first)] = splats[at]
            done += held
            if held > 0:
                last_z, last_i = depths[held - 1], splats[held - 1]
            else:
                done = total

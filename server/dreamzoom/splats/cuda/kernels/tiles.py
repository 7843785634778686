"""Tile binning: the splats that overlap each tile; and the test kernel of `cuda.probe`."""

from __future__ import annotations

from numba import cuda

from dreamzoom.splats.cuda.layout import TILE


@cuda.jit
def probe(out):
    """Write 3 i + 1 to out (N,) int32."""
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = 3 * i + 1


@cuda.jit
def count_tiles(box, columns, counts):
    """Add to counts (tiles,) int32 the number of boxes (N, 4) int32 that overlap each tile; one thread per splat."""
    i = cuda.grid(1)
    if i < box.shape[0] and box[i, 1] > box[i, 0]:
        for row in range(box[i, 2] // TILE, (box[i, 3] - 1) // TILE + 1):
            for column in range(box[i, 0] // TILE, (box[i, 1] - 1) // TILE + 1):
                cuda.atomic.add(counts, row * columns + column, 1)


@cuda.jit
def fill_tiles(box, columns, cursor, tile_splats):
    """Write each splat to the entries of its tiles in tile_splats (pairs,) int32, in any order; one thread per splat.

    cursor (tiles,) int32 holds each tile's first entry, and its end afterwards.
    """
    i = cuda.grid(1)
    if i < box.shape[0] and box[i, 1] > box[i, 0]:
        for row in range(box[i, 2] // TILE, (box[i, 3] - 1) // TILE + 1):
            for column in range(box[i, 0] // TILE, (box[i, 1] - 1) // TILE + 1):
                tile_splats[cuda.atomic.add(cursor, row * columns + column, 1)] = i

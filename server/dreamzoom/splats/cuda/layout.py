"""Constants shared by host and kernels: sizes, and the signatures of all kernels."""

from __future__ import annotations

TILE = 16
"""Side of a tile in pixels, as on the CPU."""
TILE_THREADS = TILE * TILE
ROW_THREADS = 128
"""Threads per block of kernels with one splat or pixel per thread."""
WARP = 32
"""Threads per block of kernels with one splat, or a piece of one, per block."""
NEAREST = 32
"""Hits that a pixel holds at a time while it selects the nearest ones."""
KEPT = 32
"""Hits per pixel that are stored in planes of the picture's size; the hits beyond follow after the planes."""
WINDOW = 11
"""Taps of the loss's blur along each axis."""

SIGNATURES = {
    "probe": "i1",
    "shade": "f2 f3 d1 f2",
    "project": "f2 f2 f2 f1 f2 d2 d1 d1 I I D D f2 i2",
    "chain": "f2 f2 f2 f1 d2 d1 d1 I I D D i2 f2 f2 f2 f2 f1",
    "count_tiles": "i2 I i1",
    "fill_tiles": "i2 I i1 i1",
    "forward": "i1 i1 f2 i2 I I I F f1 I f3 f2 f2 i1 i1",
    "overflow": "i1 i1 f2 i2 I I I F i1 l1 i1",
    "slopes": "f2 I f1 i1 i1 l1 f3 f2 f1 f1",
    "gather_rows": "i1 l1 I f2 i2 I i1 i1 l1 f1 f1 f3 f2",
    "shares": "f2 I i1 i1 l1 f1",
    "spread": "i1 l1 I i2 I i1 i1 l1 f1 f3 f2 f2",
    "add_pieces": "l1 f2 f2",
    "blur_products": "f3 f3 b2 f1 f3",
    "ssim": "f3 f3 f3 b2 f1 f3 f2",
    "blur_rows": "f3 f1 f3",
    "loss_gradient": "f3 f3 f3 f3 b2 f1 F F f3 f2",
    "adam": "f2 f2 f2 f2 i1 b1 f1 F F",
}
"""Per kernel, a code per argument: an array's type (f float32, d float64, i int32, l int64, b bool) and dimensions, all
contiguous; or a scalar (I int64, F float32, D float64)."""

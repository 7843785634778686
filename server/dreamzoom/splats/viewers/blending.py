"""Blending of projected splats in tiles, and its backward pass (compiled).

Both go through a tile's splats once, from front to back, and stop when no light is left. Rows of `table` and `box`
(`projection`) are ordered by depth; each tile writes its own data only, so results don't depend on the threads.
"""

from __future__ import annotations

import numpy as np

from dreamzoom.splats.cpu_rasterizer import TILE
from dreamzoom.splats.splat_projection import compiled

STOP = np.float32(1e-4)
"""Transmittance below which nothing behind is shown."""
MOST_ALPHA = np.float32(0.999)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1), np.float32(0)


@compiled
def _alpha(s, dx, dy):
    """The alpha of a splat at an offset from its centre in pixels; 0 where it isn't shown. `s` is (COLUMNS,)."""
    power = _HALF * (s[2] * dx * dx + s[4] * dy * dy) + s[3] * dx * dy
    if power > s[9] or power < _ZERO:
        return _ZERO
    return min(s[5] * np.exp(-power), MOST_ALPHA)


@compiled
def blend(begin, end, columns, width, height, tile_start, tile_splats, table, box, background, rgb, clear_out, seen):
    """Blend the tiles begin:end.

    Args:
        columns, tile_start, tile_splats: Of `cpu_rasterizer.Tiles`, of splats in the order of their depths.
        width, height: Of the picture, in pixels.
        table, box: Of `projection.project`, in that order.
        background: (3,) float32 sRGB.
        rgb: (H, W, 3) float32 sRGB, written.
        clear_out: (H, W) float32, written: the share of the background.
        seen: (M,) bool: set for splats that add to a pixel.
    """
    clear, shown = np.empty(TILE * TILE, np.float32), np.empty((TILE * TILE, 3), np.float32)
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        right, bottom = min(left + TILE, width), min(top + TILE, height)
        clear[:], shown[:] = _ONE, _ZERO
        live = (right - left) * (bottom - top)
        for entry in range(tile_start[tile], tile_start[tile + 1]):
            if live == 0:
                break
            i = tile_splats[entry]
            s = table[i]
            for y in range(max(box[i, 2], top), min(box[i, 3], bottom)):
                dy = np.float32(y) + _HALF - s[1]
                for x in range(max(box[i, 0], left), min(box[i, 1], right)):
                    pixel = (y - top) * TILE + x - left
                    if clear[pixel] < STOP:
                        continue
                    alpha = _alpha(s, np.float32(x) + _HALF - s[0], dy)
                    if alpha > _ZERO:
                        weight = clear[pixel] * alpha
                        for k in range(3):
                            shown[pixel, k] += weight * s[6 + k]
                        clear[pixel] -= weight
                        seen[i] = True
                        if clear[pixel] < STOP:
                            live -= 1
        for y in range(top, bottom):
            for x in range(left, right):
                pixel = (y - top) * TILE + x - left
                clear_out[y, x] = clear[pixel]
                for k in range(3):
                    rgb[y, x, k] = shown[pixel, k] + clear[pixel] * background[k]


@compiled
def blend_back(begin, end, columns, width, height, tile_start, tile_splats, table, box, rgb, by_rgb, entries):
    """The gradients of the tiles begin:end by the table's first columns, added to entries (pairs, GRADIENTS) float32.

    Args:
        begin, end, columns, width, height, tile_start, tile_splats, table, box: As in `blend`.
        rgb: (H, W, 3) float32, what `blend` wrote.
        by_rgb: (H, W, 3) float32, the gradient by it.
    """
    clear, shown = np.empty(TILE * TILE, np.float32), np.empty((TILE * TILE, 3), np.float32)
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        right, bottom = min(left + TILE, width), min(top + TILE, height)
        clear[:], shown[:] = _ONE, _ZERO
        live = (right - left) * (bottom - top)
        for entry in range(tile_start[tile], tile_start[tile + 1]):
            if live == 0:
                break
            i, out = tile_splats[entry], entries[entry]
            s = table[i]
            for y in range(max(box[i, 2], top), min(box[i, 3], bottom)):
                dy = np.float32(y) + _HALF - s[1]
                for x in range(max(box[i, 0], left), min(box[i, 1], right)):
                    pixel = (y - top) * TILE + x - left
                    if clear[pixel] < STOP:
                        continue
                    dx = np.float32(x) + _HALF - s[0]
                    alpha = _alpha(s, dx, dy)
                    if not alpha > _ZERO:
                        continue
                    weight, by_alpha = clear[pixel] * alpha, _ZERO
                    for k in range(3):
                        out[6 + k] += weight * by_rgb[y, x, k]
                        shown[pixel, k] += weight * s[6 + k]
                        behind = (rgb[y, x, k] - shown[pixel, k]) / (_ONE - alpha)
                        by_alpha += by_rgb[y, x, k] * (clear[pixel] * s[6 + k] - behind)
                    by_power = -alpha * by_alpha
                    out[0] -= by_power * (s[2] * dx + s[3] * dy)
                    out[1] -= by_power * (s[4] * dy + s[3] * dx)
                    out[2] += by_power * _HALF * dx * dx
                    out[3] += by_power * dx * dy
                    out[4] += by_power * _HALF * dy * dy
                    out[5] += by_alpha * alpha / s[5]
                    clear[pixel] -= weight
                    if clear[pixel] < STOP:
                        live -= 1

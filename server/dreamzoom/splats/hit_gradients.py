"""The backward pass of blending (compiled): from the gradients of a picture to those of the table, per pair.

Together with `backward.chain` this is the whole backward pass. In the functions below `s` is a splat's row (COLUMNS,)
of the table of `splat_projection`, `row` its GRADIENTS values: nine coefficients, opacity, linear RGB, one more.
"""

from __future__ import annotations

import numpy as np

from dreamzoom.splats.cpu_rasterizer import TILE
from dreamzoom.splats.splat_projection import compiled

_HALF = np.float32(0.5)
_ONE = np.float32(1)
_TWO = np.float32(2)
_ZERO = np.float32(0)
_STOP = np.float32(1e-5)


@compiled
def _surfel_hit(s, dx, dy, grad_q, row):
    """Add one hit's gradient of q = u² + v² to the gradients of a surfel's coefficients, row[0:9].

    (dx, dy) is the hit's pixel centre relative to the reference ray's pixel position.
    """
    z = _ONE / (s[8] + s[9] * dx + s[10] * dy)
    u = z * (s[2] + s[3] * dx + s[4] * dy)
    v = z * (s[5] + s[6] * dx + s[7] * dy)
    grad_u = _TWO * z * u * grad_q
    grad_v = _TWO * z * v * grad_q
    grad_w = -_TWO * z * (u * u + v * v) * grad_q
    row[0] += grad_u
    row[1] += grad_u * dx
    row[2] += grad_u * dy
    row[3] += grad_v
    row[4] += grad_v * dx
    row[5] += grad_v * dy
    row[6] += grad_w
    row[7] += grad_w * dx
    row[8] += grad_w * dy


@compiled
def _general_hit(s, dx, dy, grad_q, row):
    """`_surfel_hit` for a Gaussian that is not flat: the two quadratics, and its centre's pixel position (8 and 13)."""
    length = _ONE + dx * (s[5] + s[7] * dx + s[8] * dy) + dy * (s[6] + s[9] * dy)
    q = (dx * (s[2] * dx + s[3] * dy) + s[4] * dy * dy) / length
    up = grad_q / length
    down = -grad_q * q / length
    row[0] += up * dx * dx
    row[1] += up * dx * dy
    row[2] += up * dy * dy
    row[3] += down * dx
    row[4] += down * dy
    row[5] += down * dx * dx
    row[6] += down * dx * dy
    row[7] += down * dy * dy
    row[8] -= up * (_TWO * s[2] * dx + s[3] * dy) + down * (s[5] + _TWO * s[7] * dx + s[8] * dy)
    row[13] -= up * (_TWO * s[4] * dy + s[3] * dx) + down * (s[6] + _TWO * s[9] * dy + s[8] * dx)


@compiled
def _pixel_back(x, y, hits, begin, first, tile_splats, table, grad, grad_alpha, behind, count, clear_at, entries):
    """Go through one pixel's hits back to front and add their gradients to `entries` (pairs, GRADIENTS).

    With T_j the transmittance in front of hit j and b the colour behind it, ∂L/∂alpha_j = T_j · (g·c_j − g·b).

    Args:
        x, y: The pixel.
        hits: Of the chunk, see `cpu_rasterizer.gather_hits`.
        begin: The pixel's first hit.
        first: The chunk's first entry.
        grad: (3,) gradient g by the pixel's linear colour.
        grad_alpha: Gradient by the pixel's alpha.
        behind: g·b of the background.
        count: Splats from this index on get no gradients.
        clear_at: (hits,) float32, T of each hit that was blended.
    """
    _, slot, alpha, _ = hits[0], hits[1], hits[2], hits[3]
    end = begin + len(clear_at)
    for hit in range(end - 1, begin - 1, -1):
        i = tile_splats[first + slot[hit]]
        s = table[i]
        a = alpha[hit]
        clear = clear_at[hit - begin]
        shown = grad[0] * s[12] + grad[1] * s[13] + grad[2] * s[14] + grad_alpha
        if i < count:
            row = entries[first + slot[hit]]
            grad_a = clear * (shown - behind)
            grad_q = -_HALF * a * grad_a
            dx, dy = np.float32(x) + _HALF - s[0], np.float32(y) + _HALF - s[1]
            if s[15] == _ZERO:
                _surfel_hit(s, dx, dy, grad_q, row)
            else:
                _general_hit(s, dx, dy, grad_q, row)
            row[9] += grad_a * a / s[11]
            weight = clear * a
            row[10] += weight * grad[0]
            row[11] += weight * grad[1]
            row[12] += weight * grad[2]
        behind = a * shown + (_ONE - a) * behind


@compiled
def hit_gradients(
    begin, end, hits, columns, width, height, tile_start, tile_splats, table, background, count, grad_rgb, grad_alpha,
    entries
):  # fmt: skip
    """Add the gradients of the table's columns 2 to 14, per entry, to entries (pairs, GRADIENTS) float32.

    Args:
        background: (3,) float32 linear RGB.
        count: Splats from this index on are fixed and get no gradients.
        grad_rgb, grad_alpha: (H, W, 3) and (H, W) float32, of the loss by the linear picture and its alpha.
    """
    start, alpha = hits[0], hits[2]
    clear_at = np.empty(256, np.float32)
    first = tile_start[begin]
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        for y in range(top, min(top + TILE, height)):
            pixel = (tile - begin) * TILE * TILE + (y - top) * TILE - 1
            for x in range(left, min(left + TILE, width)):
                pixel += 1
                grad = grad_rgb[y, x]
                if grad[0] == _ZERO and grad[1] == _ZERO and grad[2] == _ZERO and grad_alpha[y, x] == _ZERO:
                    continue
                if start[pixel + 1] - start[pixel] > len(clear_at):
                    clear_at = np.empty(2 * (start[pixel + 1] - start[pixel]), np.float32)
                clear = _ONE
                used = 0
                for hit in range(start[pixel], start[pixel + 1]):
                    clear_at[used] = clear
                    clear -= clear * alpha[hit]
                    used += 1
                    if clear < _STOP:
                        break
                behind = grad[0] * background[0] + grad[1] * background[1] + grad[2] * background[2]
                ends = start[pixel], first
                _pixel_back(
                    x,
                    y,
                    hits,
                    *ends,
                    tile_splats,
                    table,
                    grad,
                    grad_alpha[y, x],
                    behind,
                    count,
                    clear_at[:used],
                    entries,
                )

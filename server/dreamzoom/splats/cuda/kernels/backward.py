"""The backward pass, and the transpose of blending for colours, without atomic additions: runs are bit-identical.

First one thread per pixel goes through its list of hits and stores what each hit needs. Then one warp per splat finds
the splat's hits in the lists of the pixels in its box and sums them, in an order that depends only on the box. Large
boxes are divided into pieces, one warp each, whose sums are added last.
"""

from __future__ import annotations

import math

from numba import cuda, float32

from dreamzoom.splats import hit_gradients as on_cpu
from dreamzoom.splats.cuda.kernels.device import borrowed, device
from dreamzoom.splats.cuda.kernels.hits import CUT2, HALF, ONE, ZERO, alpha_of, listed, meet
from dreamzoom.splats.cuda.layout import WARP
from dreamzoom.splats.splat_projection import GRADIENTS

_surfel_hit = borrowed(on_cpu._surfel_hit)
_general_hit = borrowed(on_cpu._general_hit)
FOUR = 4
ROW_STEP, FOUR_STEP = GRADIENTS + 1, FOUR + 1
"""Floats between two threads' sums in shared memory: odd, so that they lie in different banks."""


@cuda.jit
def slopes(table, width, background, lists, used, first, grad_rgb, grad_alpha, by_alpha, weights):
    """Derivative of the loss by the alpha of each listed hit, and its blending weight; one thread per pixel.

    With T_j the transmittance in front of hit j and b the colour behind it, ∂L/∂alpha_j = T_j · (g·c_j − g·b).

    Args:
        background: (3,) float32, linear RGB.
        grad_rgb, grad_alpha: (H, W, 3), (H, W) float32, of the loss by the linear picture and its alpha.
        by_alpha, weights: float32 of the length of lists, out.
        Others: As in `forward`.
    """
    pixel = cuda.grid(1)
    pixels = used.shape[0]
    if pixel >= pixels:
        return
    y, x = pixel // width, pixel % width
    g0, g1, g2, ga = grad_rgb[y, x, 0], grad_rgb[y, x, 1], grad_rgb[y, x, 2], grad_alpha[y, x]
    clear = ONE
    for at in range(used[pixel]):
        slot = listed(at, pixel, pixels, first)
        weight = clear * alpha_of(table, lists[slot], x, y)
        by_alpha[slot] = clear
        weights[slot] = weight
        clear -= weight
    behind = g0 * background[0] + g1 * background[1] + g2 * background[2]
    for back in range(used[pixel]):
        slot = listed(used[pixel] - 1 - back, pixel, pixels, first)
        i, clear = lists[slot], by_alpha[slot]
        shown = g0 * table[i, 12] + g1 * table[i, 13] + g2 * table[i, 14] + ga
        alpha = weights[slot] / clear
        by_alpha[slot] = clear * (shown - behind)
        behind = alpha * shown + (ONE - alpha) * behind


@device
def _find(i, lists, used, first, pixel, pixels):
    """The index in `lists` of splat i among a pixel's hits; −1 if it is not there."""
    for at in range(used[pixel]):
        slot = listed(at, pixel, pixels, first)
        if lists[slot] == i:
            return slot
    return -1


@device
def _cells(piece, i, starts, cells, box):
    """A piece of the box of splat i: the box's first column and row, its columns, and the piece's range of pixels.

    Pixels of a box are counted along its rows; starts and cells as in `gather_rows`.
    """
    left, across, top = box[i, 0], box[i, 1] - box[i, 0], box[i, 2]
    begin = (piece - starts[i]) * cells
    return left, top, across, begin, min(begin + cells, across * (box[i, 3] - top))


@device
def _add_threads(thread, own, parts, out):
    """Sum the threads' `own` (C,) in order to out (C,); parts (WARP, at least C) is shared memory."""
    for k in range(len(own)):
        parts[thread, k] = own[k]
    cuda.syncthreads()
    if thread < len(own):
        total = ZERO
        for other in range(WARP):
            total += parts[other, thread]
        out[thread] = total


@cuda.jit
def gather_rows(
    splats, starts, cells, table, box, width, lists, used, first, by_alpha, weights, grad_rgb, rows
):  # fmt: skip
    """The gradients of the table's columns 2 to 14, as in `hit_gradients.hit_gradients`; one warp per piece.

    Args:
        splats: (pieces,) int32: the splat of each piece.
        starts: (N + 1,) int64: the pieces of splat i are starts[i] : starts[i + 1].
        cells: Pixels per piece, counted along the rows of the splat's box.
        rows: (pieces, GRADIENTS) float32, out.
        Others: As in `slopes`.
    """
    parts = cuda.shared.array((WARP, ROW_STEP), float32)
    row = cuda.local.array(GRADIENTS, float32)
    piece, thread = cuda.blockIdx.x, cuda.threadIdx.x
    i = splats[piece]
    for k in range(GRADIENTS):
        row[k] = ZERO
    left, top, across, begin, end = _cells(piece, i, starts, cells, box)
    for cell in range(begin + thread, end, WARP):
        line = cell // across
        x, y = left + cell - line * across, top + line
        dx, dy = float32(x) + HALF - table[i, 0], float32(y) + HALF - table[i, 1]
        q, _ = meet(table, i, dx, dy)
        if not q < CUT2:
            continue
        slot = _find(i, lists, used, first, y * width + x, used.shape[0])
        if slot < 0:
            continue
        fall = float32(math.exp(-HALF * q))
        grad_q = -HALF * table[i, 11] * fall * by_alpha[slot]
        if table[i, 15] == ZERO:
            _surfel_hit(table[i], dx, dy, grad_q, row)
        else:
            _general_hit(table[i], dx, dy, grad_q, row)
        row[9] += by_alpha[slot] * fall
        for k in range(3):
            row[10 + k] += weights[slot] * grad_rgb[y, x, k]
    _add_threads(thread, row, parts, rows[piece])


@cuda.jit
def shares(table, width, lists, used, first, weights):
    """The blending weight of each listed hit; one thread per pixel. Arguments as in `slopes`."""
    pixel = cuda.grid(1)
    pixels = used.shape[0]
    if pixel >= pixels:
        return
    clear = ONE
    for at in range(used[pixel]):
        slot = listed(at, pixel, pixels, first)
        weight = clear * alpha_of(table, lists[slot], pixel % width, pixel // width)
        weights[slot] = weight
        clear -= weight


@cuda.jit
def spread(splats, starts, cells, box, width, lists, used, first, weights, residual, weight, sums):
    """`cpu_rasterizer.spread`: per splat the sums of its hits' weights times residual and weight; one warp per piece.

    Args:
        weights: From `shares`.
        residual, weight: (H, W, 3) and (H, W) float32.
        sums: (pieces, 4) float32, out.
        Others: As in `gather_rows`.
    """
    parts = cuda.shared.array((WARP, FOUR_STEP), float32)
    own = cuda.local.array(FOUR, float32)
    piece, thread = cuda.blockIdx.x, cuda.threadIdx.x
    i = splats[piece]
    for k in range(FOUR):
        own[k] = ZERO
    left, top, across, begin, end = _cells(piece, i, starts, cells, box)
    for cell in range(begin + thread, end, WARP):
        line = cell // across
        x, y = left + cell - line * across, top + line
        slot = _find(i, lists, used, first, y * width + x, used.shape[0])
        if slot >= 0:
            for k in range(3):
                own[k] += weights[slot] * residual[y, x, k]
            own[3] += weights[slot] * weight[y, x]
    _add_threads(thread, own, parts, sums[piece])


@cuda.jit
def add_pieces(starts, parts, sums):
    """Sum each splat's pieces in order: parts (pieces, C) to sums (N, C) float32; one thread per splat."""
    i = cuda.grid(1)
    if i < sums.shape[0]:
        for k in range(sums.shape[1]):
            total = ZERO
            for piece in range(starts[i], starts[i + 1]):
                total += parts[piece, k]
            sums[i, k] = total

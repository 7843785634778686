"""The loss, one thread per pixel, and Adam, one thread per splat; the formulas are compiled from the CPU's source."""

from __future__ import annotations

import numpy as np
from numba import cuda, float32

from dreamzoom.splats.cuda.kernels.device import borrowed, device
from dreamzoom.splats.cuda.layout import WINDOW
from dreamzoom.splats.fitting import adam as optimiser
from dreamzoom.splats.fitting import loss

CHANNELS = 9
"""Planes of a picture x and its goal y that are blurred: x, x², x·y, for three colours each."""
REACH = WINDOW // 2
ZERO, ONE = np.float32(0), np.float32(1)

_ssim_slopes = borrowed(loss.ssim_slopes)
_pixel_slope = borrowed(loss.pixel_slope)
_step = borrowed(optimiser._step)


@cuda.jit
def blur_products(shown, goal, mask, window, half):
    """Blur x, x² and x·y along the rows into half (H, W, 9); outside the mask x is the goal y.

    Args:
        shown, goal: (H, W, 3) float32 sRGB.
        mask: (H, W) bool.
        window: (WINDOW,) float32.
    """
    pixel = cuda.grid(1)
    height, width = mask.shape
    if pixel >= height * width:
        return
    y, x = pixel // width, pixel % width
    sums = cuda.local.array(CHANNELS, float32)
    for k in range(CHANNELS):
        sums[k] = ZERO
    for tap in range(max(-REACH, -x), min(REACH, width - 1 - x) + 1):
        weight = window[tap + REACH]
        for k in range(3):
            target = goal[y, x + tap, k]
            value = shown[y, x + tap, k] if mask[y, x + tap] else target
            sums[k] += weight * value
            sums[3 + k] += weight * (value * value)
            sums[6 + k] += weight * (value * target)
    for k in range(CHANNELS):
        half[y, x, k] = sums[k]


@cuda.jit
def blur_rows(planes, window, half):
    """Blur planes (H, W, 9) along the rows into half (H, W, 9); zero beyond the border."""
    pixel = cuda.grid(1)
    height, width = planes.shape[0], planes.shape[1]
    if pixel >= height * width:
        return
    y, x = pixel // width, pixel % width
    for k in range(CHANNELS):
        total = ZERO
        for tap in range(max(-REACH, -x), min(REACH, width - 1 - x) + 1):
            total += window[tap + REACH] * planes[y, x + tap, k]
        half[y, x, k] = total


@device
def _down(half, window, y, x, sums):
    """Blur half (H, W, 9) along the columns at one pixel (x, y), into sums (9,)."""
    for k in range(CHANNELS):
        sums[k] = ZERO
    for tap in range(max(-REACH, -y), min(REACH, half.shape[0] - 1 - y) + 1):
        for k in range(CHANNELS):
            sums[k] += window[tap + REACH] * half[y + tap, x, k]


@cuda.jit
def ssim(half, mean, square, mask, window, out, unlike):
    """The derivatives of SSIM by the blurs of x, x², x·y.

    Args:
        half: From `blur_products`.
        mean, square: (H, W, 3): blurs of the goal and its square.
        out: (H, W, 9), out; 0 outside the mask.
        unlike: (H, W), out: Σ 1 − SSIM of the three channels.
    """
    pixel = cuda.grid(1)
    height, width = mask.shape
    if pixel >= height * width:
        return
    y, x = pixel // width, pixel % width
    unlike[y, x] = ZERO
    for k in range(CHANNELS):
        out[y, x, k] = ZERO
    if not mask[y, x]:
        return
    sums = cuda.local.array(CHANNELS, float32)
    _down(half, window, y, x, sums)
    for k in range(3):
        value, by_x, by_xx, by_xy = _ssim_slopes(sums[k], mean[y, x, k], sums[3 + k], square[y, x, k], sums[6 + k])
        out[y, x, k], out[y, x, 3 + k], out[y, x, 6 + k] = by_x, by_xx, by_xy
        unlike[y, x] += ONE - value


@cuda.jit
def loss_gradient(half, linear, shown, goal, mask, window, l1, dssim, out, apart):
    """The loss's gradient by the linear picture.

    Args:
        half: (H, W, 9), the derivatives from `ssim`, blurred along the rows.
        linear, shown, goal: (H, W, 3) float32: the picture in linear light and in sRGB, and the goal in sRGB.
        l1, dssim: The weights of the two terms.
        out: (H, W, 3), out; 0 outside the mask.
        apart: (H, W), out: Σ |x − y| of the three channels.
    """
    pixel = cuda.grid(1)
    height, width = mask.shape
    if pixel >= height * width:
        return
    y, x = pixel // width, pixel % width
    apart[y, x] = ZERO
    for k in range(3):
        out[y, x, k] = ZERO
    if not mask[y, x]:
        return
    sums = cuda.local.array(CHANNELS, float32)
    _down(half, window, y, x, sums)
    for k in range(3):
        value, target = shown[y, x, k], goal[y, x, k]
        apart[y, x] += abs(value - target)
        out[y, x, k] = _pixel_slope(linear[y, x, k], value, target, sums[k], sums[3 + k], sums[6 + k], l1, dssim)


@cuda.jit
def adam(values, gradient, first, second, steps, seen, unit, rate, faint):
    """`adam._step` on every row of values (N, C)."""
    i = cuda.grid(1)
    if i < values.shape[0]:
        _step(i, i + 1, values, gradient, first, second, steps, seen, unit, rate, faint)

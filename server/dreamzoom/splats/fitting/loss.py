"""The loss of the fit (compiled): masked L1 + D-SSIM in sRGB, and its gradient by the linear picture.

(1 − λ)·|x − y| + λ·(1 − SSIM(x, y)) / 2 averaged over the masked pixels, λ = 0.2 (Kerbl et al. 2023, eq. 7; SSIM after
Wang et al. 2004 with an 11 × 11 Gaussian window of σ 1.5). Outside the mask x is set to y, so that those pixels do not
supervise, not even through the window of a neighbour.

Kernels take rows begin:end. x is the rendered picture, y the goal; planes with 9 channels hold 3 quantities times RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.colour import linear_to_srgb
from dreamzoom.splats.splat_projection import compiled
from dreamzoom.splats.threads import run_chunks

SHARE = 0.2
"""λ, the weight of D-SSIM."""
_RADIUS = 5
WINDOW = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / 1.5) ** 2)
WINDOW = (WINDOW / WINDOW.sum()).astype(np.float32)
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)


@compiled
def _blur_rows(begin, end, planes, window, channels, out):
    """Blur along x with `window` (11,): planes and out (H, W · channels) float32, zero beyond the border."""
    width = planes.shape[1]
    for y in range(begin, end):
        for j in range(width):
            out[y, j] = np.float32(0)
        for tap in range(-_RADIUS, _RADIUS + 1):
            weight, shift = window[tap + _RADIUS], tap * channels
            for j in range(max(0, -shift), min(width, width - shift)):
                out[y, j] += weight * planes[y, j + shift]


@compiled
def _blur_columns(begin, end, planes, window, out):
    """Blur along y with `window` (11,): planes and out (H, W · channels) float32, zero beyond the border."""
    height, width = planes.shape
    for y in range(begin, end):
        for j in range(width):
            out[y, j] = np.float32(0)
        for tap in range(max(-_RADIUS, -y), min(_RADIUS, height - 1 - y) + 1):
            weight = window[tap + _RADIUS]
            for j in range(width):
                out[y, j] += weight * planes[y + tap, j]


def blurred(planes: np.ndarray) -> np.ndarray:
    """Blur planes (H, W, C) float32 with the SSIM window, zero beyond the border; self-adjoint."""
    height, width, channels = planes.shape
    flat = np.ascontiguousarray(planes).reshape(height, width * channels)
    half, out = np.empty_like(flat), np.empty_like(flat)
    run_chunks(_blur_rows, height, flat, WINDOW, channels, half)
    run_chunks(_blur_columns, height, half, WINDOW, out)
    return out.reshape(planes.shape)


@dataclass(frozen=True)
class Goal:
    """A prepared target.

    Attributes:
        rgb: (H, W, 3) float32 sRGB; 0 outside the mask.
        mask: (H, W) bool.
        mean, square: (H, W, 3) float32, the blurred picture and its blurred square.
        pixels: Number of masked pixels.
    """

    rgb: np.ndarray
    mask: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    pixels: int


def prepared(rgb: np.ndarray, mask: np.ndarray) -> Goal:
    """Prepare a picture (H, W, 3) float32 sRGB with mask (H, W) bool; pixels that are not finite are unmasked."""
    mask = mask & np.isfinite(rgb).all(-1)
    clean = np.where(mask[..., None], rgb, 0).astype(np.float32)
    return Goal(clean, mask, blurred(clean), blurred(clean * clean), int(mask.sum()))


@compiled
def _products(begin, end, shown, goal, mask, out):
    """Write x, x² and x·y to out (H, W, 9), from sRGB pictures shown and goal (H, W, 3); x = y outside the mask."""
    for y in range(begin, end):
        for x in range(shown.shape[1]):
            for k in range(3):
                target = goal[y, x, k]
                value = shown[y, x, k] if mask[y, x] else target
                out[y, x, k], out[y, x, 3 + k], out[y, x, 6 + k] = value, value * value, value * target


@compiled
def ssim_slopes(mx, my, xx, yy, xy):
    """SSIM at a pixel from the blurs of x, y, x², y², x·y, and its derivatives by the blurs of x, x² and x·y."""
    vx, vy = xx - mx * mx, yy - my * my
    vxy = xy - mx * my
    a1, a2 = np.float32(2) * mx * my + _C1, np.float32(2) * vxy + _C2
    b1, b2 = mx * mx + my * my + _C1, vx + vy + _C2
    value = a1 * a2 / (b1 * b2)
    by_vxy = np.float32(2) * a1 / (b1 * b2)
    by_vx = -value / b2
    by_mx = np.float32(2) * (my * a2 / (b1 * b2) - mx * value / b1)
    return value, by_mx - by_vxy * my - np.float32(2) * by_vx * mx, by_vx, by_vxy


@compiled
def _ssim(begin, end, blurs, mean, square, mask, out):
    """Write SSIM's derivatives by the blurs of x, x², x·y to out (H, W, 9); return the masked sum of 1 − SSIM.

    `blurs` is (H, W, 9); `mean` and `square` are (H, W, 3), of the goal.
    """
    total = 0.0
    for y in range(begin, end):
        for x in range(mask.shape[1]):
            for k in range(3):
                if not mask[y, x]:
                    out[y, x, k], out[y, x, 3 + k], out[y, x, 6 + k] = np.float32(0), np.float32(0), np.float32(0)
                    continue
                mx, xx, xy = blurs[y, x, k], blurs[y, x, 3 + k], blurs[y, x, 6 + k]
                value, by_mx, by_xx, by_xy = ssim_slopes(mx, mean[y, x, k], xx, square[y, x, k], xy)
                out[y, x, k], out[y, x, 3 + k], out[y, x, 6 + k] = by_mx, by_xx, by_xy
                total += 1.0 - value
    return total


@compiled
def pixel_slope(light, value, target, back0, back1, back2, l1, dssim):
    """The derivative of the loss by the linear value of one channel of a pixel.

    Args:
        light, value, target: The channel in linear light, in sRGB, and the goal in sRGB.
        back0, back1, back2: The blurred derivatives of SSIM by the blurs of x, x², x·y.
        l1, dssim: The weights of the two terms.
    """
    slope = np.float32(0)
    if value != target:
        slope = l1 if value > target else -l1
    both = back0 + np.float32(2) * value * back1 + target * back2
    bend = np.float32(12.92)
    if light > np.float32(0.0031308):
        bend = np.float32(1.055 / 2.4) * light ** np.float32(1 / 2.4 - 1)
    return (slope - dssim * both) * bend


@compiled
def _gradient(begin, end, linear, shown, goal, mask, back, l1, dssim, out):
    """Write the loss's gradient by the linear picture to out (H, W, 3); return the masked sum of |x − y|.

    `linear`, `shown`, `goal` are (H, W, 3); `back` (H, W, 9) are the blurred derivatives of SSIM.
    """
    total = 0.0
    for y in range(begin, end):
        for x in range(mask.shape[1]):
            for k in range(3):
                out[y, x, k] = np.float32(0)
                if not mask[y, x]:
                    continue
                value, target = shown[y, x, k], goal[y, x, k]
                total += abs(value - target)
                slopes = back[y, x, k], back[y, x, 3 + k], back[y, x, 6 + k]
                out[y, x, k] = pixel_slope(linear[y, x, k], value, target, *slopes, l1, dssim)
    return total


def loss(linear: np.ndarray, goal: Goal, share: float = SHARE) -> tuple[float, np.ndarray]:
    """The loss of a linear picture (H, W, 3) float32 and its gradient (H, W, 3) float32; `share` is λ."""
    shown = linear_to_srgb(linear)
    height, width = goal.mask.shape
    count = 3 * max(goal.pixels, 1)
    planes, back = np.empty((height, width, 9), np.float32), np.zeros((height, width, 9), np.float32)
    unlike = 0.0
    if share > 0:
        run_chunks(_products, height, shown, goal.rgb, goal.mask, planes)
        blurs = blurred(planes)
        unlike = sum(run_chunks(_ssim, height, blurs, goal.mean, goal.square, goal.mask, planes))
        back = blurred(planes)
    out = np.empty_like(linear)
    weights = (np.float32((1 - share) / count), np.float32(share / (2 * count)))
    apart = sum(run_chunks(_gradient, height, linear, shown, goal.rgb, goal.mask, back, *weights, out))
    return ((1 - share) * apart + share * unlike / 2) / count, out

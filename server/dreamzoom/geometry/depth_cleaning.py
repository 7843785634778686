"""Removal of isolated wrong pixels and of noise from depth maps."""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.depth_edges import estimate_noise
from dreamzoom.jit import njit
from dreamzoom.progress import check

STEEP_PIXELS = 10.0
LEAST_NOISE = 0.1
"""Noise below this many pixel footprints is not smoothed."""


def clean(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Replace isolated pixels by the median of their neighbours, and smooth noise by local plane fits.

    Args:
        depth: (H, W) z-depth; NaN where there is none.
        camera: Its focal length determines which steps count as steep.

    Returns:
        (H, W) float32 z-depth. Values that are not finite and positive become NaN, all others stay finite. A depth map
        without noise is unchanged except for isolated pixels.
    """
    check()
    focal = float(np.sqrt(camera.fx * camera.fy))
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    threshold = max(STEEP_PIXELS / focal, 5 * estimate_noise(depth))
    depth = _replace_isolated(np.ascontiguousarray(depth), np.float32(threshold))
    noise = estimate_noise(depth)
    if noise * focal < LEAST_NOISE:
        return depth
    radius = 1 if noise * focal < 3 * LEAST_NOISE else (2 if noise * focal < 10 * LEAST_NOISE else 3)
    return 1 / _smooth_by_planes(1 / depth, radius, np.float32(max(STEEP_PIXELS / focal, 6 * noise)))


@njit(cache=True, nogil=True)
def _replace_isolated(depth, threshold):
    """Replace pixels with fewer than two similar neighbours (of 8) by the median of their neighbours.

    Args:
        depth: (H, W) float32 z-depth; NaN where there is none.
        threshold: The largest difference in log depth between similar pixels.

    Returns:
        (H, W) float32.
    """
    height, width = depth.shape
    out = depth.copy()
    around = np.empty(8, np.float32)
    low, high = np.exp(-threshold), np.exp(threshold)
    for i in range(height):
        for j in range(width):
            here = depth[i, j]
            if here != here:
                continue
            count, similar = 0, 0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    y, x = i + di, j + dj
                    if (di == 0 and dj == 0) or y < 0 or x < 0 or y >= height or x >= width:
                        continue
                    there = depth[y, x]
                    if there == there:
                        around[count] = there
                        count += 1
                        similar += low * here < there < high * here
            if similar < 2 and count >= 3:
                out[i, j] = np.sort(around[:count])[count // 2]
    return out


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "reassoc", "nsz"})
def _smooth_by_planes(disparity, radius, tolerance):
    """Smooth a disparity by evaluating at each pixel a plane that is fitted to its window.

    Args:
        disparity: (H, W) float32, 1 / z-depth; NaN where there is none.
        radius: Of the window, in pixels.
        tolerance: Relative difference of disparity at which a pixel's weight is ¼; beyond twice that it is 0.

    Returns:
        (H, W) float32 disparity.
    """
    height, width = disparity.shape
    out = disparity.copy()
    one = np.float32(1)
    for i in range(height):
        for j in range(width):
            here = disparity[i, j]
            if here != here:
                continue
            s = sx = sy = sxx = syy = sxy = sd = sxd = syd = np.float32(0)
            softness = one / (tolerance * here) ** 2
            for di in range(max(-radius, -i), min(radius, height - 1 - i) + 1):
                y = np.float32(di)
                for dj in range(max(-radius, -j), min(radius, width - 1 - j) + 1):
                    x = np.float32(dj)
                    change = disparity[i + di, j + dj] - here
                    far = change * change * softness
                    weight = one / (one + far) ** 2 if far < np.float32(4) else np.float32(0)
                    if weight == 0:
                        continue
                    s += weight
                    sx += weight * x
                    sy += weight * y
                    sxx += weight * x * x
                    syy += weight * y * y
                    sxy += weight * x * y
                    sd += weight * change
                    sxd += weight * x * change
                    syd += weight * y * change
            mx, my, md = sx / s, sy / s, sd / s
            vxx, vyy, vxy = sxx - s * mx * mx + one, syy - s * my * my + one, sxy - s * mx * my
            vxd, vyd = sxd - s * mx * md, syd - s * my * md
            determinant = vxx * vyy - vxy * vxy
            a, b = (vxd * vyy - vyd * vxy) / determinant, (vyd * vxx - vxd * vxy) / determinant
            value = here + md - a * mx - b * my
            out[i, j] = value if value > np.float32(0.5) * here else here
    return out

"""What makes one set of splats right at every scale: marking what is superseded, smoothing, resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.splats.gaussians import Gaussians

PUSH = 0.015
"""How far superseded splats are pushed behind what supersedes them, as a share of their distance."""


def superseded(
    positions: np.ndarray, reach: np.ndarray, finer: Camera, depth: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Which points or splats a finer view shows better.

    Superseded is what projects into the finer view's known pixels, lies at the depth that is seen there (so it is not
    hidden behind it, nor floating before it), and is not finer than that view's own pixels.

    Args:
        positions: (N, 3), in the frame of level k.
        reach: (N,), how far each extends: a point's footprint or a splat's larger standard deviation.
        finer: A_{k+1}, moved into the same frame.
        depth: (H, W) z-depth of the finer view, in the same frame.
        known: (H, W) bool: where that depth is known.

    Returns:
        (N,) bool.
    """
    if not len(positions):
        return np.zeros(0, bool)
    pixels, z = finer.project(positions)
    inside = (z > 0) & (pixels[:, 0] >= 0) & (pixels[:, 0] < finer.width)
    inside &= (pixels[:, 1] >= 0) & (pixels[:, 1] < finer.height)
    column = np.where(inside, pixels[:, 0], 0).astype(int)
    row = np.where(inside, pixels[:, 1], 0).astype(int)
    nearest, farthest = _depth_range(depth, known)
    slack = 2 * np.asarray(reach, np.float64) + 0.01 * np.abs(z)
    at_surface = (z >= nearest[row, column] - slack) & (z <= farthest[row, column] + slack)
    coarse = np.asarray(reach, np.float64) >= 0.5 * z / finer.fx
    return inside & known[row, column] & at_surface & coarse


def _depth_range(depth: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest known depth in each pixel's 3 × 3 surroundings, each (H, W)."""
    from scipy.ndimage import maximum_filter, minimum_filter

    nearest = minimum_filter(np.where(known, depth, np.inf), 3, mode="nearest")
    farthest = maximum_filter(np.where(known, depth, -np.inf), 3, mode="nearest")
    return nearest, farthest


def push_back(splats: Gaussians, marked: np.ndarray, centre: np.ndarray, share: float = PUSH) -> Gaussians:
    """Move marked splats away from a camera's centre along their own rays, grown in proportion.

    From that centre they look as before; finer splats at the same place now lie before them, so that coarse ones never
    poke through.

    Args:
        splats: In some frame.
        marked: (N,) bool.
        centre: (3,), the finer view's centre in that frame.
        share: Of the distance.
    """
    factor = np.where(marked, 1 + share, 1.0)[:, None]
    centre = np.asarray(centre, np.float64)
    means = centre + factor * (splats.means.astype(np.float64) - centre)
    return replace(
        splats, means=means.astype(np.float32), log_scales=(splats.log_scales + np.log(factor)).astype(np.float32)
    )

"""The terms of the fit besides the difference of pictures, shared by CPU and GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.fitting import loss
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.view_table import NEAR

LOOK_WEIGHT = 0.1
"""Weight of 1 − alpha on pixels that must be opaque."""
HOLD_PLANE, HOLD_TURN, HOLD_SIZE = 0.01, 0.1, 0.01
"""Weights of the deviation from the initial state: distance from the plane (in the surfel's sigmas), quaternion, and
log-scales. Without them a fit of more than a hundred steps overfits its few views and gets worse in all others."""
SOLID = 0.96
"""Pixels with at least this alpha count as opaque; requiring more would only accumulate splats."""
SIZE_WEIGHT = 0.0025
"""Weight of the splats' sizes, in units of their smallest allowed size: every hit costs render time in Cycles."""
FAINT = 0.003
"""Adam's ε, relative to the gradient of a splat that fills a pixel alone."""
FINE = 2
"""Rays per pixel along each side in the last steps: Cycles renders a pixel's mean, not the colour at its centre."""


def look(target: Target, goal: loss.Goal) -> tuple[np.ndarray, int]:
    """The gradient of the opacity term by alpha (H, W), valid below `SOLID`, and the number of solid pixels."""
    solid = goal.mask if target.solid is None else target.solid
    pixels = max(int(solid.sum()), 1)
    return np.where(solid, np.float32(-LOOK_WEIGHT / pixels), np.float32(0)), pixels


def recoloured(splats: Gaussians, rgb: np.ndarray) -> Gaussians:
    """The splats with other view-independent colours, (N, 3) sRGB."""
    sh = splats.sh.copy()
    sh[:, 0] = (rgb - 0.5) / SH_C0
    return replace(splats, sh=sh)


def footprints(means: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """The smallest pixel size (N,) float32, in the frame's units, with which any camera samples each of `means` (N, 3).

    This is the sampling interval of Mip-Splatting's 3D smoothing filter.
    """
    sizes = [np.maximum(camera.to_camera(means)[:, 2], NEAR) / max(camera.fx, camera.fy) for camera in cameras]
    return np.min(sizes, 0).astype(np.float32)

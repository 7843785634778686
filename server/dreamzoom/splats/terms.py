"""What a fit weighs besides the difference of the pictures, the same on the CPU and on a GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats import loss
from dreamzoom.splats.target import Target
from dreamzoom.splats.view_table import NEAR

LOOK_WEIGHT = 0.1
"""Weight of 1 − alpha on known pixels: what is known is solid."""
HOLD_PLANE, HOLD_TURN, HOLD_SIZE = 0.01, 0.1, 0.01
"""How hard a surfel is held to its start: off its plane (in own sigmas), in its turn, in its log-scales. Without them a
fit of more than a hundred steps learns its few views by heart and gets worse in all others."""
SOLID = 0.96
"""From this alpha on a pixel is closed: more would only pile splats up."""
SIZE_WEIGHT = 0.0025
"""Weight of the splats' sizes, in pixels: every hit costs time in Cycles."""
FAINT = 0.003
"""Of the gradient that a splat can have which fills a pixel alone: what is less moves it less."""
FINE = 2
"""Rays per pixel along each side in the last steps: Cycles shows a pixel's mean, not its middle."""


def look(target: Target, goal: loss.Goal) -> tuple[np.ndarray, int]:
    """The loss's gradient by a view's alpha (H, W) where it is not closed yet, and how many pixels are to be closed."""
    solid = goal.mask if target.solid is None else target.solid
    pixels = max(int(solid.sum()), 1)
    return np.where(solid, np.float32(-LOOK_WEIGHT / pixels), np.float32(0)), pixels


def recoloured(splats: Gaussians, rgb: np.ndarray) -> Gaussians:
    """The same splats with other view-independent colours, (N, 3) sRGB."""
    sh = splats.sh.copy()
    sh[:, 0] = (rgb - 0.5) / SH_C0
    return replace(splats, sh=sh)


def footprints(means: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """The smallest pixel (N,) float32 in which a view sees each splat: the 3D smoothing filter's sampling distance."""
    sizes = [np.maximum(camera.to_camera(means)[:, 2], NEAR) / max(camera.fx, camera.fy) for camera in cameras]
    return np.min(sizes, 0).astype(np.float32)

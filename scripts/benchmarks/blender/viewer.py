"""What the usual viewers of 3DGS show, to compare with: EWA splatting, centres in order of depth, blended in sRGB."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from core.camera import Camera
from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import Gaussians

BLUR = 0.3
"""What viewers add to the variance of every projection, in pixels²."""

NEAREST = 0.01
FAINTEST = 1 / 255
MOST = 0.99
ENOUGH = 1e-4
"""A pixel is done when less than this comes through."""


def view(splats: Gaussians, camera: Camera, blur: float = BLUR, linear: bool = False) -> np.ndarray:
    """(H, W, 3) sRGB over black of splats of degree 0, at the pixels' centres (Kerbl et al. 2023, section 6).

    Args:
        splats: What to show.
        camera: From where.
        blur: Added to the variance of every projection, in pixels².
        linear: Blend in linear light, as renderers do, in place of sRGB, as viewers do.
    """
    to_camera = np.linalg.inv(camera.camera_to_frame)
    means = splats.means @ to_camera[:3, :3].T + to_camera[:3, 3]
    keep = np.flatnonzero(means[:, 2] > NEAREST)
    keep = keep[np.argsort(means[keep, 2], kind="stable")]
    centres, conics, reaches = _projected(splats, means, to_camera[:3, :3], camera, keep, blur)
    rgb = np.maximum(splats.rgb[keep], 0).astype(np.float32)
    rgb = srgb_to_linear(rgb).astype(np.float32) if linear else rgb
    picture = _blended(centres, conics, reaches, splats.opacities[keep], rgb, camera.width, camera.height)
    return linear_to_srgb(picture) if linear else picture


def _projected(splats: Gaussians, means: np.ndarray, rotation: np.ndarray, camera: Camera, keep: np.ndarray, blur):
    """Centres (N, 2), inverse covariances xx, xy, yy (N, 3), and half sizes of their boxes (N, 2), all in pixels."""
    x, y, z = means[keep].T
    limit_x, limit_y = 0.65 * camera.width / camera.fx, 0.65 * camera.height / camera.fy
    slope_x, slope_y = np.clip(x / z, -limit_x, limit_x), np.clip(y / z, -limit_y, limit_y)
    jacobian = np.zeros((len(keep), 2, 3))
    jacobian[:, 0, 0], jacobian[:, 0, 2] = camera.fx / z, -camera.fx * slope_x / z
    jacobian[:, 1, 1], jacobian[:, 1, 2] = camera.fy / z, -camera.fy * slope_y / z
    w, a, b, c = splats.quaternions[keep].T.astype(np.float64)
    axes = np.empty((len(keep), 3, 3))
    axes[:, :, 0] = np.stack([1 - 2 * (b * b + c * c), 2 * (a * b + w * c), 2 * (a * c - w * b)], -1)
    axes[:, :, 1] = np.stack([2 * (a * b - w * c), 1 - 2 * (a * a + c * c), 2 * (b * c + w * a)], -1)
    axes[:, :, 2] = np.stack([2 * (a * c + w * b), 2 * (b * c - w * a), 1 - 2 * (a * a + b * b)], -1)
    spread = jacobian @ (rotation @ (axes * np.exp(splats.log_scales[keep, None, :].astype(np.float64))))
    covariance = spread @ spread.transpose(0, 2, 1) + blur * np.eye(2)
    inverse = np.linalg.inv(covariance)
    centres = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], -1)
    reach = np.sqrt(2 * np.log(np.maximum(splats.opacities[keep] / FAINTEST, 1)))
    halves = reach[:, None] * np.sqrt(covariance[:, (0, 1), (0, 1)])
    return centres, np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1), halves


@njit(cache=False)
def _blended(centres, conics, halves, opacities, rgb, width, height):
    picture = np.zeros((height, width, 3), np.float32)
    through = np.ones((height, width), np.float32)
    for i in range(len(centres)):
        left = max(0, math.floor(centres[i, 0] - halves[i, 0]))
        right = min(width, math.ceil(centres[i, 0] + halves[i, 0]))
        top = max(0, math.floor(centres[i, 1] - halves[i, 1]))
        bottom = min(height, math.ceil(centres[i, 1] + halves[i, 1]))
        for row in range(top, bottom):
            y = row + 0.5 - centres[i, 1]
            for column in range(left, right):
                if through[row, column] < ENOUGH:
                    continue
                x = column + 0.5 - centres[i, 0]
                squared = conics[i, 0] * x * x + 2 * conics[i, 1] * x * y + conics[i, 2] * y * y
                alpha = min(MOST, opacities[i] * math.exp(-0.5 * squared))
                if alpha >= FAINTEST:
                    for channel in range(3):
                        picture[row, column, channel] += through[row, column] * alpha * rgb[i, channel]
                    through[row, column] *= 1 - alpha
    return picture

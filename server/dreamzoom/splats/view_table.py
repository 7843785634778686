"""What one camera sees of every splat: the table and boxes that the pixels need, and each pixel's hits on the CPU."""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.splats import cpu
from dreamzoom.splats.harmonics import shade
from dreamzoom.splats.project import COLUMNS, project
from dreamzoom.splats.threads import run_chunks

NEAR = 1e-2
"""Hits nearer than this z-depth (in the frame's units) are not seen."""
PIXEL_VARIANCE = 1 / 12
"""Variance of a square pixel, in pixels²: the antialiasing filter."""


def see(splats: Gaussians, camera: Camera, opacities: np.ndarray, tau: float, near: float) -> cpu.Hits:
    """Every pixel's hits; opacities (N,) in 0..1, tau the variance of the pixel filter in pixels²."""
    return cpu.find_hits(*tabulate(splats, camera, opacities, tau, near), camera.width, camera.height, near)


def tabulate(
    splats: Gaussians, camera: Camera, opacities: np.ndarray, tau: float, near: float
) -> tuple[np.ndarray, np.ndarray]:
    """What pixels need of every splat (`project`): the table (N, COLUMNS) float32 and boxes (N, 4) int32."""
    count = len(splats)
    table, box = np.zeros((count, COLUMNS), np.float32), np.zeros((count, 4), np.int32)
    means, log_scales, quaternions, sh, opacities = (
        np.ascontiguousarray(array, np.float32)
        for array in (splats.means, splats.log_scales, splats.quaternions, splats.sh, opacities)
    )
    arrays = camera_arrays(camera)
    rgb = np.empty((count, 3), np.float32)
    run_chunks(shade, count, means, sh, arrays[1], rgb)
    view = (arrays, camera.width, camera.height, float(tau), float(near))
    run_chunks(project, count, means, log_scales, quaternions, opacities, rgb, *view, table, box)
    return table, box


def camera_arrays(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation (3, 3) camera to frame, centre (3,), (fx, fy, cx, cy): float64, for the kernels."""
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float64)
    rotation = np.ascontiguousarray(camera.rotation, np.float64)
    return rotation, np.ascontiguousarray(camera.centre, np.float64), intrinsics

"""Per-view preparation of splats: shading and projection to a table with pixel boxes, and the hits per pixel (CPU)."""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.splats import cpu_rasterizer
from dreamzoom.splats.harmonics import shade
from dreamzoom.splats.splat_projection import COLUMNS, project
from dreamzoom.splats.threads import run_chunks

NEAR = 1e-2
"""Z-depth of the near plane, in the frame's units; nearer hits are ignored."""
PIXEL_VARIANCE = 1 / 12
"""Variance of the antialiasing filter, that of a square pixel, in pixels²."""


def see(splats: Gaussians, camera: Camera, opacities: np.ndarray, tau: float, near: float) -> cpu_rasterizer.Hits:
    """The hits of every pixel; arguments as in `tabulate`."""
    return cpu_rasterizer.find_hits(*tabulate(splats, camera, opacities, tau, near), camera.width, camera.height, near)


def tabulate(
    splats: Gaussians, camera: Camera, opacities: np.ndarray, tau: float, near: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shade and project all splats for one camera (`splat_projection`).

    Args:
        splats: N Gaussians in the frame that the camera is placed in.
        camera: The camera.
        opacities: (N,) in 0..1.
        tau: Variance of the pixel filter, pixels².
        near: Z-depth of the near plane, in the frame's units.

    Returns:
        The table (N, COLUMNS) float32 and pixel boxes (N, 4) int32.
    """
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
    """The camera as float64 arrays for the kernels: rotation (3, 3) camera to frame, centre (3,), (fx, fy, cx, cy)."""
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float64)
    rotation = np.ascontiguousarray(camera.rotation, np.float64)
    return rotation, np.ascontiguousarray(camera.centre, np.float64), intrinsics

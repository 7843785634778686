"""Initial surfels from a cloud: one per point, in its plane, just large enough to leave no gaps in the picture."""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.splats.fitting.adam import FLATNESS
from dreamzoom.splats.fitting.moments import quaternions_of_axes

START_OPACITY = 0.98
START_SIGMA = 0.5
"""Initial standard deviation of a surfel, in pixels of its source view."""
SLANT = 0.13
"""Lower limit of the cosine between ray and normal by which a surfel's length is divided."""


def initial(cloud: Cloud, cameras: list[Camera] | None = None) -> Gaussians:
    """Surfels in the points' planes, one per point, with a standard deviation of about half a source pixel.

    Args:
        cloud: In the level's frame.
        cameras: The source views, indexed by `cloud.view`. With them each surfel is as long as its pixel's projection
            on the plane; without them it is round, with the neighbours' distance limited by the footprint.

    Returns:
        Surfels in the same frame, with the extra columns "superseded" and "view".
    """
    if cameras and len(cloud):
        quaternions, sigma = _shadows(cloud, cameras)
    else:
        quaternions = quaternions_of(cloud.normal)
        spacing = np.clip(_spacing(cloud.position), 0.7 * cloud.footprint, 1.5 * cloud.footprint)
        sigma = np.repeat(START_SIGMA * spacing[:, None], 2, 1)
    logs = np.log(np.maximum(sigma, 1e-12))
    log_scales = np.concatenate([logs, logs.min(1, keepdims=True) + np.log(FLATNESS)], 1).astype(np.float32)
    opacity = np.full(len(cloud), np.log(START_OPACITY / (1 - START_OPACITY)), np.float32)
    sh = ((cloud.rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :]
    extra = {"superseded": cloud.superseded.astype(np.uint8), "view": cloud.view.copy()}
    return Gaussians(cloud.position.copy(), log_scales, quaternions, opacity, sh, extra)


def _shadows(cloud: Cloud, cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Quaternions (N, 4) with the first axis along the plane's slope away from the camera, and sigmas (N, 2)."""
    centres = np.stack([camera.centre for camera in cameras])[np.clip(cloud.view, 0, len(cameras) - 1)]
    ray = cloud.position - centres
    ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12)
    normal = cloud.normal.astype(np.float64)
    cosine = np.abs((ray * normal).sum(1))
    slope = ray - (ray * normal).sum(1, keepdims=True) * normal
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    across = np.cross(normal, np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    first = np.where(length > 1e-3, slope / np.maximum(length, 1e-12), across)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    axes = np.stack([first, np.cross(normal, first), normal], -1)
    sigma = START_SIGMA * cloud.footprint.astype(np.float64)
    return quaternions_of_axes(axes), np.stack([sigma / np.maximum(cosine, SLANT), sigma], 1)


def quaternions_of(normals: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) wxyz of the smallest rotations from the z axis to unit normals (N, 3)."""
    x, y, z = np.asarray(normals, np.float64).T
    quaternion = np.stack([1 + z, -y, x, np.zeros_like(z)], 1)
    quaternion[z < -1 + 1e-9] = (0, 1, 0, 0)
    return (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).astype(np.float32)


def _spacing(points: np.ndarray) -> np.ndarray:
    """Root mean square distance (N,) of points (N, 3) to their four nearest neighbours; infinite for a single point."""
    if len(points) < 2:
        return np.full(len(points), np.inf)
    from scipy.spatial import KDTree

    neighbours = min(5, len(points))
    distance, _ = KDTree(points, compact_nodes=False, balanced_tree=False).query(points, neighbours, workers=-1)
    return np.sqrt(np.mean(distance[:, 1:] ** 2, 1))

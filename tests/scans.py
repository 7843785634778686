"""A synthetic scan: surfels on a hilly, patterned ground through the origin, six units wide."""

import numpy as np

from core.gaussians import Gaussians
from core.quaternions import from_axes
from core.spherical_harmonics import SH_C0


def surface_height(x, y):
    """The height of the ground; 0 at the origin."""
    return 0.25 * np.sin(1.3 * x) * np.sin(1.1 * y) + 0.08 * np.sin(4 * x) * np.sin(3.5 * y)


def pattern(x, y):
    """Its sRGB colours, (N, 3)."""
    return np.stack([
        0.45 + 0.2 * np.sin(3 * x + y) + 0.12 * np.sin(17 * x) * np.sin(13 * y),
        0.45 + 0.2 * np.sin(2 * y - x) + 0.12 * np.sin(15 * x + 3) * np.sin(19 * y),
        0.4 + 0.15 * np.sin(1.5 * x * y) + 0.1 * np.sin(23 * x + 11 * y),
    ], -1)  # fmt: skip


def scan(side):
    """`side`² surfels."""
    across = (np.arange(side) + 0.5) / side * 6 - 3
    x, y = (grid.ravel() for grid in np.meshgrid(across, across))
    z, step = surface_height(x, y), 1e-4
    right = np.stack([np.ones_like(x), np.zeros_like(x), (surface_height(x + step, y) - z) / step], -1)
    ahead = np.stack([np.zeros_like(x), np.ones_like(x), (surface_height(x, y + step) - z) / step], -1)
    normal = np.cross(right, ahead)
    right, normal = (axis / np.linalg.norm(axis, axis=-1, keepdims=True) for axis in (right, normal))
    size, count = np.log(0.75 * 6 / side), len(x)
    return Gaussians(
        np.stack([x, y, z], -1).astype(np.float32),
        np.tile(np.float32([size, size, size - 6.9]), (count, 1)),
        from_axes(np.stack([right, np.cross(normal, right), normal], -1)),
        np.full(count, 5, np.float32),
        ((pattern(x, y) - 0.5) / SH_C0).astype(np.float32)[:, None],
    )

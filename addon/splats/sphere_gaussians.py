"""General Gaussians as a native PointCloud: each point is a bounding sphere; the material evaluates the Gaussian."""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.arrays import largest
from ..core.colour import quick_srgb_to_linear
from ..core.gaussians import Gaussians
from ..core.quaternions import axes_of
from .materials import gaussian_material
from .points import new_pointcloud, set_attribute

CUT = 3.0
"""Radius in sigmas at which the kernel of an opaque splat is cut off."""

MIN_ALPHA = 1 / 255
"""Alpha below this is invisible, so that fainter splats get smaller spheres."""

MIN_LOG_RATIO = np.log(np.float32(1e-3))
"""Axes are lengthened to at least this log ratio to the longest axis, so that the material's arithmetic is exact."""

CHUNK = 1 << 15


def gaussian_cloud(name: str, splats: Gaussians) -> bpy.types.PointCloud:
    """A PointCloud with the attributes that `gaussian_material` reads; degrees above 3 are dropped."""
    degree = min(spherical_harmonics.degree_of(splats.sh), spherical_harmonics.MOST_DEGREE)
    cloud = new_pointcloud(name, splats.means)
    if len(splats):
        _fill(cloud, splats, degree)
    cloud.materials.append(gaussian_material(degree))
    return cloud


def _fill(cloud: bpy.types.PointCloud, splats: Gaussians, degree: int):
    count = len(splats)
    radii = np.empty(count, np.float32)
    rgba = np.empty((count, 4), np.float32)
    inverse = np.empty((3, count, 3), np.float32)
    for start in range(0, count, CHUNK):
        where = slice(start, start + CHUNK)
        piece = splats[where]
        longest = largest(piece.log_scales)
        scales = np.exp(np.maximum(piece.log_scales, longest[:, None] + MIN_LOG_RATIO))
        rgba[where, 3] = piece.opacities
        reach = np.sqrt(2 * np.log(np.maximum(rgba[where, 3] / MIN_ALPHA, 1 + 1e-6)))
        radii[where] = np.minimum(reach, CUT) * np.exp(longest)
        rgba[where, :3] = piece.rgb if degree else quick_srgb_to_linear(piece.rgb)
        for row, axis in enumerate(axes_of(piece.quaternions)):
            np.divide(axis, scales[:, row : row + 1], out=inverse[row, where])
    set_attribute(cloud, "radius", "FLOAT", "value", radii)
    set_attribute(cloud, "rgba", "FLOAT_COLOR", "color", rgba)
    for row in range(3):
        set_attribute(cloud, f"inverse_{row}", "FLOAT_VECTOR", "vector", inverse[row])
    for index in range(1, (degree + 1) ** 2):
        set_attribute(cloud, f"sh_{index}", "FLOAT_VECTOR", "vector", splats.sh[:, index])

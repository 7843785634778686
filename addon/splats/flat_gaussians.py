"""Nearly flat Gaussians as one mesh of quads in their planes; the material evaluates each Gaussian along the ray.

A quad bounds a flat Gaussian more tightly than a sphere: a ray meets less than half as many, and in the order in which
it passes the planes. Seen edge-on, a Gaussian with some thickness extends beyond its quad; up to `MAX_LOG_THICKNESS`
that error is smaller than that of the order of the spheres.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.arrays import in_chunks, mapped_zeros
from ..core.colour import quick_srgb_to_linear
from ..core.gaussians import Gaussians
from ..core.quaternions import axes_of
from .materials import flat_material
from .sphere_gaussians import CHUNK, CUT, MIN_ALPHA, MIN_LOG_RATIO
from .surfels import add_faces

MAX_LOG_THICKNESS = np.log(np.float32(1 / 8))
"""The log ratio of the shortest to the middle axis up to which quads are the better proxy. Measured in Cycles against
random Gaussians ordered by where each is largest along the ray, quads / spheres: at 0.02 45.1 / 40.4 dB, at 0.1
41.9 / 40.5, at 0.2 35.5 / 40.3.
"""

MIN_SHARE = 0.99
"""The share of a file's splats that must be that flat."""

FIRST_SAMPLES = 4096
"""How many splats are examined first, to decide whether to examine all."""

CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)


def are_flat(splats: Gaussians) -> bool:
    """Whether quads represent these splats better than spheres."""
    first = splats.log_scales[:: max(1, len(splats) // FIRST_SAMPLES)]
    return len(splats) > 0 and _share(first) >= MIN_SHARE - 0.01 and _share(splats.log_scales) >= MIN_SHARE


def flat_mesh(name: str, splats: Gaussians) -> bpy.types.Mesh:
    """A mesh of one quad per splat in the plane of its longer axes, with the attributes that `flat_material` reads."""
    degree = min(spherical_harmonics.degree_of(splats.sh), spherical_harmonics.MOST_DEGREE)
    mesh = bpy.data.meshes.new(name)
    add_faces(mesh, len(splats), 4)
    above = [f"sh_{index}" for index in range(1, (degree + 1) ** 2)]
    mesh.attributes.new("splat", "FLOAT_COLOR", "FACE")
    mesh.attributes.new("sigma", "FLOAT2", "CORNER")
    for attribute in ("inverse_0", "inverse_1", "inverse_2", *above):
        mesh.attributes.new(attribute, "FLOAT_VECTOR", "FACE")
    if len(splats):
        _fill(mesh, splats, degree)
        for index, attribute in enumerate(above, 1):
            mesh.attributes[attribute].data.foreach_set("vector", np.ascontiguousarray(splats.sh[:, index]).ravel())
    mesh.update()
    mesh.materials.append(flat_material(degree))
    return mesh


def _share(log_scales: np.ndarray) -> float:
    """The share of splats, by `log_scales` (N, 3), that are flat enough, 0 to 1."""
    a, b, c = log_scales.T
    low, high = np.minimum(a, b), np.maximum(a, b)
    shortest, middle = np.minimum(low, c), np.maximum(low, np.minimum(high, c))
    return float(np.mean(shortest <= middle + MAX_LOG_THICKNESS))


def _fill(mesh: bpy.types.Mesh, splats: Gaussians, degree: int):
    count = len(splats)
    corners, sigma = mapped_zeros((count, 4, 3)), mapped_zeros((count, 4, 2))
    colour, inverse = mapped_zeros((count, 4)), mapped_zeros((3, count, 3))

    def take(where: slice):
        piece = splats[where]
        colour[where, :3] = piece.rgb if degree else quick_srgb_to_linear(piece.rgb)
        colour[where, 3] = piece.opacities
        reach = np.sqrt(2 * np.log(np.maximum(colour[where, 3] / MIN_ALPHA, 1 + 1e-6)))
        np.multiply(np.minimum(reach, CUT)[:, None, None], CORNERS, out=sigma[where])
        axes, scales = _longest_first(piece)
        sides = axes[:, :2] * scales[:, :2, None]
        np.matmul(sigma[where], sides, out=corners[where])
        corners[where] += piece.means[:, None]
        for row in range(3):
            np.divide(axes[:, row], scales[:, row : row + 1], out=inverse[row, where])

    in_chunks(take, count, CHUNK)
    attributes = mesh.attributes
    attributes["position"].data.foreach_set("vector", corners.ravel())
    attributes["sigma"].data.foreach_set("vector", sigma.ravel())
    attributes["splat"].data.foreach_set("color", colour.ravel())
    for row in range(3):
        attributes[f"inverse_{row}"].data.foreach_set("vector", inverse[row].ravel())


def _longest_first(splats: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """Axes (N, 3 axes, 3), longest first, and their sigmas (N, 3), none less than `MIN_LOG_RATIO` of the longest."""
    axes = np.stack(axes_of(splats.quaternions), 1)
    logs = splats.log_scales
    if not ((logs[:, 0] >= logs[:, 1]) & (logs[:, 1] >= logs[:, 2])).all():
        order = np.argsort(-logs, axis=-1)
        axes = np.take_along_axis(axes, order[..., None], 1)
        logs = np.take_along_axis(logs, order, -1)
    return axes, np.exp(np.maximum(logs, logs[:, :1] + MIN_LOG_RATIO))

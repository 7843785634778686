"""Flat splats as one mesh of faces in their planes: a ray hits each splat once, exactly, and in the true order.

Other splats can be shown in this way too, as if they had no thickness.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.arrays import in_chunks, mapped_zeros
from ..core.colour import quick_srgb_to_linear
from ..core.gaussians import Gaussians
from ..core.quaternions import components_of
from .materials import CUT, TRIANGLE_ATTRIBUTE, surfel_material

SQUARE = CUT * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
"""The corners (4, 2) of a face in sigmas, in the order of its loops: the square around the kernel's circle."""

TRIANGLE = CUT * np.array([(-(3**0.5), -1), (3**0.5, -1), (0, 2)], np.float32)
"""The corners (3, 2) of a triangular face. All have the same distance from the centre, as the material requires."""

TRIANGLES_FROM = 1 << 19
"""From this many splats on, faces are triangles. With a million splats and a frame rendered by Cycles, the process
needs 0.79 GB instead of 1.09 and starts rendering half a CPU second earlier; but a ray meets 1.3 times as many faces: a
frame of 8 samples takes as long, one of 16 a fifth longer, one of 64 a third longer.
"""

CHUNK = 1 << 14


def surfel_mesh(name: str, splats: Gaussians) -> bpy.types.Mesh:
    """A mesh of one face per splat, with the attributes that `surfel_material` reads: squares, or triangles if many."""
    count = len(splats)
    degree = min(spherical_harmonics.degree_of(splats.sh), spherical_harmonics.MOST_DEGREE)
    triangles = count >= TRIANGLES_FROM
    shape = TRIANGLE if triangles else SQUARE
    mesh = bpy.data.meshes.new(name)
    add_faces(mesh, count, len(shape))
    above = [(f"sh_{index}", "FLOAT_VECTOR", "FACE") for index in range(1, (degree + 1) ** 2)]
    colour = TRIANGLE_ATTRIBUTE if triangles else "splat"
    if not triangles:
        above.append(("sigma", "FLOAT2", "POINT"))
    for attribute, kind, domain in ((colour, "FLOAT_COLOR", "FACE"), *above):
        mesh.attributes.new(attribute, kind, domain)
    if count:
        _fill(mesh, splats, shape, colour)
        for index in range(1, (degree + 1) ** 2):
            mesh.attributes[f"sh_{index}"].data.foreach_set("vector", splats.sh[:, index].ravel())
    mesh.update()
    mesh.materials.append(surfel_material(degree, triangles))
    return mesh


def add_faces(mesh: bpy.types.Mesh, count: int, sides: int) -> None:
    """Add `count` faces that share no vertices to an empty mesh; the first vertex of face i is sides · i."""
    mesh.vertices.add(sides * count)
    mesh.edges.add(sides * count)
    mesh.loops.add(sides * count)
    mesh.polygons.add(count)
    for selected in (".select_vert", ".select_edge", ".select_poly"):
        if selected in mesh.attributes:  # costs memory only
            mesh.attributes.remove(mesh.attributes[selected])
    if not count:
        return
    indices, ends = mapped_zeros((count, sides), np.int32), mapped_zeros((count, sides, 2), np.int32)

    def number(where: slice):
        indices[where] = np.arange(sides * where.start, sides * where.stop, dtype=np.int32).reshape(-1, sides)
        ends[where, :, 0] = indices[where]
        ends[where, :-1, 1] = indices[where, 1:]
        ends[where, -1, 1] = indices[where, 0]

    in_chunks(number, count, CHUNK)
    mesh.attributes[".corner_vert"].data.foreach_set("value", indices.ravel())
    mesh.attributes[".corner_edge"].data.foreach_set("value", indices.ravel())
    mesh.polygons.foreach_set("loop_start", indices[:, 0].copy())
    mesh.attributes[".edge_verts"].data.foreach_set("value", ends.ravel())


def _fill(mesh: bpy.types.Mesh, splats: Gaussians, shape: np.ndarray, colour_name: str):
    count = len(splats)
    corners, colour = mapped_zeros((count, len(shape), 3)), mapped_zeros((count, 4))

    def take(where: slice):
        piece = splats[where]
        corners[where] = face_corners(piece, shape)
        colour[where, :3] = piece.rgb if piece.sh.shape[1] > 1 else quick_srgb_to_linear(piece.rgb)
        colour[where, 3] = piece.opacities

    in_chunks(take, count, CHUNK)
    mesh.attributes["position"].data.foreach_set("vector", corners.ravel())
    mesh.attributes[colour_name].data.foreach_set("color", colour.ravel())
    if "sigma" in mesh.attributes:
        mesh.attributes["sigma"].data.foreach_set("vector", np.tile(shape.ravel(), count))


def face_corners(splats: Gaussians, shape: np.ndarray) -> np.ndarray:
    """Positions (N, K, 3) float32 in the object's space of the corners `shape` (K, 2), which are in sigmas."""
    first, second = _longest_axes(splats)
    means = np.ascontiguousarray(splats.means.T)
    corners = np.empty((len(splats), len(shape), 3), np.float32)
    for corner, (u, v) in enumerate(shape):
        corners[:, corner] = (means + u * first + v * second).T
    return corners


def _longest_axes(splats: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """The two longest axes at one sigma, (3, N) each; these are the first two if the splats are flat along the third.

    Components are rows, since numpy is several times as fast along long rows.
    """
    first, second, third = components_of(splats.quaternions)
    scales = np.exp(splats.log_scales.T)
    if (scales[2] <= np.minimum(scales[0], scales[1])).all():
        return first * scales[0], second * scales[1]
    first, second, third = first * scales[0], second * scales[1], third * scales[2]
    shortest = np.argmin(scales, 0)
    return np.where(shortest == 0, second, first), np.where(shortest == 2, second, third)

"""Flat splats as one mesh of quads in their planes: one exact hit per ray, in true order.

Splats that are not flat can be shown so too, as if they had no thickness.
"""

from __future__ import annotations

import bpy
import numpy as np

from . import harmonics
from .arrays import Splats, axes_of, srgb_to_linear
from .material import CUT, surfel_material

CORNERS = np.array([(-CUT, -CUT), (CUT, -CUT), (CUT, CUT), (-CUT, CUT)], np.float32)
"""A quad's corners in sigmas, in the order of its loop."""

CHUNK = 1 << 15


def surfel_mesh(name: str, splats: Splats) -> bpy.types.Mesh:
    """A mesh of one quad per splat, with the attributes that `surfel_material` reads."""
    count = len(splats)
    degree = min(harmonics.degree_of(splats.sh), harmonics.MOST_DEGREE)
    mesh = bpy.data.meshes.new(name)
    add_quads(mesh, count)
    above = [(f"sh_{index}", "FLOAT_VECTOR", "FACE") for index in range(1, (degree + 1) ** 2)]
    for attribute, kind, domain in (("splat", "FLOAT_COLOR", "FACE"), ("sigma", "FLOAT2", "CORNER"), *above):
        mesh.attributes.new(attribute, kind, domain)
    if count:
        _fill(mesh, splats)
        for index in range(1, (degree + 1) ** 2):
            mesh.attributes[f"sh_{index}"].data.foreach_set("vector", splats.sh[:, index].ravel())
    mesh.update()
    mesh.materials.append(surfel_material(degree))
    return mesh


def add_quads(mesh: bpy.types.Mesh, count: int) -> None:
    """Give an empty mesh `count` quads that share no corner: vertices 4i to 4i + 3 are those of quad i."""
    mesh.vertices.add(4 * count)
    mesh.edges.add(4 * count)
    mesh.loops.add(4 * count)
    mesh.polygons.add(count)
    if not count:
        return
    indices = np.arange(4 * count, dtype=np.int32)
    mesh.attributes[".corner_vert"].data.foreach_set("value", indices)
    mesh.attributes[".corner_edge"].data.foreach_set("value", indices)
    mesh.polygons.foreach_set("loop_start", indices[::4].copy())
    ends = np.stack([indices, indices], -1).reshape(count, 4, 2)
    ends[:, :3, 1] += 1
    ends[:, 3, 1] -= 3
    mesh.attributes[".edge_verts"].data.foreach_set("value", ends.ravel())


def _fill(mesh: bpy.types.Mesh, splats: Splats):
    count = len(splats)
    mesh.attributes["position"].data.foreach_set("vector", quad_corners(splats).ravel())
    mesh.attributes["sigma"].data.foreach_set("vector", np.tile(CORNERS, (count, 1)).ravel())
    colour = np.empty((count, 4), np.float32)
    for start in range(0, count, CHUNK):
        piece = slice(start, start + CHUNK)
        rgb = splats[piece].rgb
        colour[piece, :3] = rgb if splats.sh.shape[1] > 1 else srgb_to_linear(rgb)
        colour[piece, 3] = splats[piece].opacities
    mesh.attributes["splat"].data.foreach_set("color", colour.ravel())


def quad_corners(splats: Splats) -> np.ndarray:
    """Where the corners of the quads lie, (N, 4, 3) float32, in the object's axes."""
    corners = np.empty((len(splats), 4, 3), np.float32)
    for start in range(0, len(splats), CHUNK):
        piece = splats[start : start + CHUNK]
        first, second = _longest_axes(piece)
        for corner, (u, v) in enumerate(CORNERS):
            corners[start : start + CHUNK, corner] = piece.means + u * first + v * second
    return corners


def _longest_axes(splats: Splats) -> tuple[np.ndarray, np.ndarray]:
    """The two longest axes at one sigma, (N, 3) each: the first two, of splats that are flat along the third."""
    axes = axes_of(splats.quaternions)
    scales = np.exp(splats.log_scales)
    first, second, third = (axis * scales[:, row : row + 1] for row, axis in enumerate(axes))
    shortest = np.argmin(scales, -1)[:, None]
    if (shortest == 2).all():
        return first, second
    return np.where(shortest == 0, second, first), np.where(shortest == 2, second, third)

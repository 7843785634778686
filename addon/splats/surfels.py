"""Flat splats as one mesh of quads in their planes: one exact hit per ray, in true order."""

from __future__ import annotations

import bpy
import numpy as np

from .arrays import Splats, axes_of, srgb_to_linear
from .material import CUT, surfel_material

CORNERS = np.array([(-CUT, -CUT), (CUT, -CUT), (CUT, CUT), (-CUT, CUT)], np.float32)
"""A quad's corners in sigmas, in the order of its loop."""

CHUNK = 1 << 15


def surfel_mesh(name: str, splats: Splats) -> bpy.types.Mesh:
    """A mesh of one quad per splat, with the attributes that `surfel_material` reads."""
    count = len(splats)
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(4 * count)
    mesh.edges.add(4 * count)
    mesh.loops.add(4 * count)
    mesh.polygons.add(count)
    for attribute, kind, domain in (("splat", "FLOAT_COLOR", "FACE"), ("sigma", "FLOAT2", "CORNER")):
        mesh.attributes.new(attribute, kind, domain)
    if count:
        _fill(mesh, splats)
    mesh.update()
    mesh.materials.append(surfel_material())
    return mesh


def _fill(mesh: bpy.types.Mesh, splats: Splats):
    count = len(splats)
    indices = np.arange(4 * count, dtype=np.int32)
    mesh.attributes[".corner_vert"].data.foreach_set("value", indices)
    mesh.attributes[".corner_edge"].data.foreach_set("value", indices)
    mesh.polygons.foreach_set("loop_start", indices[::4].copy())
    ends = np.stack([indices, indices], -1).reshape(count, 4, 2)
    ends[:, :3, 1] += 1
    ends[:, 3, 1] -= 3
    mesh.attributes[".edge_verts"].data.foreach_set("value", ends.ravel())
    del indices, ends
    mesh.attributes["position"].data.foreach_set("vector", quad_corners(splats).ravel())
    mesh.attributes["sigma"].data.foreach_set("vector", np.tile(CORNERS, (count, 1)).ravel())
    colour = np.empty((count, 4), np.float32)
    for start in range(0, count, CHUNK):
        piece = slice(start, start + CHUNK)
        colour[piece, :3] = srgb_to_linear(splats[piece].rgb)
        colour[piece, 3] = splats[piece].opacities
    mesh.attributes["splat"].data.foreach_set("color", colour.ravel())


def quad_corners(splats: Splats) -> np.ndarray:
    """Where the corners of the quads lie, (N, 4, 3) float32, in the object's axes."""
    corners = np.empty((len(splats), 4, 3), np.float32)
    for start in range(0, len(splats), CHUNK):
        piece = splats[start : start + CHUNK]
        first, second, _ = axes_of(piece.quaternions)
        scales = np.exp(piece.log_scales)
        first *= scales[:, :1]
        second *= scales[:, 1:2]
        for corner, (u, v) in enumerate(CORNERS):
            corners[start : start + CHUNK, corner] = piece.means + u * first + v * second
    return corners

"""Repairs splats after a transform was applied to them (Object › Apply): Blender transforms their positions only.

Every object of splats stores a few of its positions in a custom property. If these have moved by an affine map since,
the other attributes are transformed likewise: rotations and scales of the Gaussians, and harmonics. With the add-on
enabled this happens as soon as Blender has applied a transform; otherwise when the file is next opened, or exported.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..core import spherical_harmonics
from ..core.gaussians import Gaussians, transformed
from .points import set_attribute

REFERENCE_POINTS = "dreamzoom_places"
"""Custom property: for each reference point four numbers, its index (exact up to 2²⁴ at least) and its position."""

CANDIDATES = 512
"""From so many positions, evenly chosen, the outermost are stored."""

TOLERANCE = 1e-4
"""Largest distance from an affine map, as a share of the object's size, of positions transformed in float32."""


def store_reference_points(data: bpy.types.ID) -> None:
    """Store some positions of a new mesh or point cloud: the outermost ones and two more."""
    position = data.attributes.get("position")
    points = position.data if position else ()
    if len(points):
        step = max(1, len(points) // CANDIDATES)
        few = np.array([points[index].vector for index in range(0, len(points), step)])
        chosen = {0, len(few) // 2, *few.argmin(0).tolist(), *few.argmax(0).tolist()}
        data[REFERENCE_POINTS] = [float(x) for index in sorted(chosen) for x in (index * step, *few[index])]


def repair(data: bpy.types.ID) -> bool:
    """Transform the other attributes if a transform was applied to the positions; whether that was so."""
    stored = np.array(data.get(REFERENCE_POINTS, ()), np.float64).reshape(-1, 4)
    attribute = data.attributes.get("position")
    if not len(stored) or attribute is None or stored[:, 0].max() >= len(attribute.data):
        return False
    indices, before = stored[:, 0].astype(int), stored[:, 1:]
    now = np.array([attribute.data[index].vector for index in indices.tolist()], np.float64)
    if np.array_equal(before, now):
        return False
    data[REFERENCE_POINTS] = np.column_stack([indices, now]).ravel().tolist()
    linear = linear_map(before, now)
    if linear is None or np.allclose(linear, np.eye(3), atol=1e-6):
        return False
    _transform_attributes(data, linear)
    data.update_tag()
    return True


def linear_map(before: np.ndarray, now: np.ndarray) -> np.ndarray | None:
    """The linear part (3, 3) of the affine map from positions `before` to `now`, (N, 3) each; None if there is none.

    Positions in one plane do not determine the scale across it: it is assumed to be that of the plane.
    """
    before, now = before - before.mean(0), now - now.mean(0)
    _, spread, axes = np.linalg.svd(before, full_matrices=False)
    size = spread[0] if len(spread) else 0.0
    if len(before) < 3 or spread[1] <= 1e-4 * size or not np.isfinite(now).all():
        return None
    if len(before) < 4 or spread[2] <= 1e-4 * size:
        after = np.linalg.lstsq(before @ axes[:2].T, now, rcond=None)[0]
        normal = np.cross(*after)
        across = normal / max(np.sqrt(np.linalg.norm(normal)), 1e-30)
        linear = np.column_stack([*after, across]) @ np.stack([*axes[:2], np.cross(*axes[:2])])
    else:
        linear = np.linalg.lstsq(before, now, rcond=None)[0].T
    error = np.abs(before @ linear.T - now).max()
    is_singular = np.linalg.svd(linear, compute_uv=False)[-1] < 1e-6
    return None if is_singular or error > TOLERANCE * np.abs(now).max() else linear


def _transform_attributes(data: bpy.types.ID, linear: np.ndarray) -> None:
    """Transform all attributes but the positions by a linear map (3, 3) of the object's space."""
    inverse = np.linalg.inv(linear)
    left, stretch, right = np.linalg.svd(linear)
    for row in range(3):
        _map_vectors(data, f"inverse_{row}", inverse.T)
        _map_vectors(data, f"axis_{row}", linear)
    radius = data.attributes.get("radius")
    if radius is not None and "inverse_0" in data.attributes:
        values = np.empty(len(radius.data), np.float32)
        radius.data.foreach_get("value", values)
        radius.data.foreach_set("value", values * np.float32(stretch[0]))
    _rotate_harmonics(data, left @ right)
    if "radiance:base" in data.attributes:
        _transform_native(data, linear)


def _map_vectors(data: bpy.types.ID, name: str, matrix: np.ndarray) -> None:
    """Multiply the vectors of an attribute, if there is one of this name, by a matrix (3, 3)."""
    if name in data.attributes:
        values = _vectors(data, name)
        set_attribute(data, name, "FLOAT_VECTOR", "vector", (values @ matrix.T).astype(np.float32))


def _vectors(data: bpy.types.ID, name: str, field: str = "vector", width: int = 3) -> np.ndarray:
    attribute = data.attributes[name]
    values = np.empty(len(attribute.data) * width, np.float32)
    attribute.data.foreach_get(field, values)
    return values.reshape(-1, width)


def _rotate_harmonics(data: bpy.types.ID, rotation: np.ndarray) -> None:
    """Rotate the spherical harmonics by a matrix (3, 3)."""
    native = "radiance:sh_0" in data.attributes
    first, name = (0, "radiance:sh_{}") if native else (1, "sh_{}")
    names = [name.format(first + index) for index in range((spherical_harmonics.MOST_DEGREE + 1) ** 2 - 1)]
    names = [name for name in names if name in data.attributes]
    if names:
        above = [_vectors(data, name) for name in names]
        turned = spherical_harmonics.turned(np.stack([np.zeros_like(above[0]), *above], 1), rotation)
        for index, name in enumerate(names, 1):
            set_attribute(data, name, "FLOAT_VECTOR", "vector", turned[:, index])


def _transform_native(data: bpy.types.ID, linear: np.ndarray) -> None:
    scales, turns = _vectors(data, "scale"), _vectors(data, "rotation", "value", 4)
    count = len(scales)
    zeros = np.zeros((count, 1, 3), np.float32)
    shapes = Gaussians(zeros[:, 0], np.log(np.maximum(scales, np.float32(1e-30))), turns, zeros[:, 0, 0], zeros)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    after = transformed(shapes, matrix)
    set_attribute(data, "scale", "FLOAT_VECTOR", "vector", np.exp(after.log_scales))
    set_attribute(data, "rotation", "QUATERNION", "value", after.quaternions)


@persistent
def on_depsgraph_update(_scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Repair objects to which a transform was just applied; called after every change of the scene."""
    if depsgraph.mode == "RENDER":
        return
    for update in depsgraph.updates:
        if update.is_updated_geometry and isinstance(update.id, (bpy.types.Mesh, bpy.types.PointCloud)):
            data = update.id.original
            if data is not None and REFERENCE_POINTS in data and data.is_editable:
                repair(data)


@persistent
def repair_all(_file) -> None:
    """Repair objects to which a transform was applied without the add-on; called when a file was opened."""
    for data in (*bpy.data.meshes, *bpy.data.pointclouds):
        if REFERENCE_POINTS in data and data.is_editable:
            repair(data)


def register() -> None:
    bpy.app.handlers.depsgraph_update_post.append(on_depsgraph_update)
    bpy.app.handlers.load_post.append(repair_all)


def unregister() -> None:
    bpy.app.handlers.load_post.remove(repair_all)
    bpy.app.handlers.depsgraph_update_post.remove(on_depsgraph_update)

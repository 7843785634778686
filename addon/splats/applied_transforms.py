"""Keeps splats right when a transform is applied to them: Blender moves the places alone, not the shapes about them.

Every object of splats keeps a few of its places as a custom property. Where they have moved by an affine map since, the
other attributes follow: turns and scales of the Gaussians, and colours that depend on the direction. With the add-on
enabled that happens as soon as Blender has applied a transform; else when the file is next opened with it, or exported.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..core import spherical_harmonics
from ..core.gaussians import Gaussians, transformed
from .points import set_attribute

PLACES = "dreamzoom_places"
"""The custom property: four numbers for each of a few points: its index, exact up to 2²⁴ in any case, and its place."""

GLANCE = 512
"""Of so many places, evenly taken, those farthest out are kept."""

TOLERANCE = 1e-4
"""So far from an affine map, as a share of the object's size, may places lie that were moved by one in float32."""


def remember(data: bpy.types.ID) -> None:
    """Keep some of the places of a new mesh or cloud: those farthest out, and two more."""
    position = data.attributes.get("position")
    points = position.data if position else ()
    if len(points):
        step = max(1, len(points) // GLANCE)
        few = np.array([points[index].vector for index in range(0, len(points), step)])
        chosen = {0, len(few) // 2, *few.argmin(0).tolist(), *few.argmax(0).tolist()}
        data[PLACES] = [float(x) for index in sorted(chosen) for x in (index * step, *few[index])]


def mend(data: bpy.types.ID) -> bool:
    """Let shapes and colours follow the places where a transform was applied to them; whether that was so."""
    kept = np.array(data.get(PLACES, ()), np.float64).reshape(-1, 4)
    attribute = data.attributes.get("position")
    if not len(kept) or attribute is None or kept[:, 0].max() >= len(attribute.data):
        return False
    indices, before = kept[:, 0].astype(int), kept[:, 1:]
    now = np.array([attribute.data[index].vector for index in indices.tolist()], np.float64)
    if np.array_equal(before, now):
        return False
    data[PLACES] = np.column_stack([indices, now]).ravel().tolist()
    linear = linear_map(before, now)
    if linear is None or np.allclose(linear, np.eye(3), atol=1e-6):
        return False
    _follow(data, linear)
    data.update_tag()
    return True


def linear_map(before: np.ndarray, now: np.ndarray) -> np.ndarray | None:
    """The matrix (3, 3) that took places (N, 3) where they are now, but for a shift, or None if no affine map did.

    Places in one plane do not say what happened across it: there it is taken to have scaled as the plane did.
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
    off = np.abs(before @ linear.T - now).max()
    flat = np.linalg.svd(linear, compute_uv=False)[-1] < 1e-6
    return None if flat or off > TOLERANCE * np.abs(now).max() else linear


def _follow(data: bpy.types.ID, linear: np.ndarray) -> None:
    """Let every attribute but the places follow a linear map of the object's space."""
    inverse = np.linalg.inv(linear)
    left, stretch, right = np.linalg.svd(linear)
    for row in range(3):
        _map(data, f"inverse_{row}", inverse.T)
        _map(data, f"axis_{row}", linear)
    radius = data.attributes.get("radius")
    if radius is not None and "inverse_0" in data.attributes:
        values = np.empty(len(radius.data), np.float32)
        radius.data.foreach_get("value", values)
        radius.data.foreach_set("value", values * np.float32(stretch[0]))
    _turn_colours(data, left @ right)
    if "radiance:base" in data.attributes:
        _follow_native(data, linear)


def _map(data: bpy.types.ID, name: str, matrix: np.ndarray) -> None:
    """Map the vectors of an attribute, if it is there."""
    if name in data.attributes:
        values = _vectors(data, name)
        set_attribute(data, name, "FLOAT_VECTOR", "vector", (values @ matrix.T).astype(np.float32))


def _vectors(data: bpy.types.ID, name: str, field: str = "vector", width: int = 3) -> np.ndarray:
    attribute = data.attributes[name]
    values = np.empty(len(attribute.data) * width, np.float32)
    attribute.data.foreach_get(field, values)
    return values.reshape(-1, width)


def _turn_colours(data: bpy.types.ID, rotation: np.ndarray) -> None:
    """Turn the harmonics."""
    native = "radiance:sh_0" in data.attributes
    first, name = (0, "radiance:sh_{}") if native else (1, "sh_{}")
    names = [name.format(first + index) for index in range((spherical_harmonics.MOST_DEGREE + 1) ** 2 - 1)]
    names = [name for name in names if name in data.attributes]
    if names:
        above = [_vectors(data, name) for name in names]
        turned = spherical_harmonics.turned(np.stack([np.zeros_like(above[0]), *above], 1), rotation)
        for index, name in enumerate(names, 1):
            set_attribute(data, name, "FLOAT_VECTOR", "vector", turned[:, index])


def _follow_native(data: bpy.types.ID, linear: np.ndarray) -> None:
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
def follow_changes(_scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Mend what a transform was just applied to; called after every change of the scene."""
    if depsgraph.mode == "RENDER":
        return
    for update in depsgraph.updates:
        if update.is_updated_geometry and isinstance(update.id, (bpy.types.Mesh, bpy.types.PointCloud)):
            data = update.id.original
            if PLACES in data and data.is_editable:
                mend(data)


@persistent
def mend_all(_file) -> None:
    """Mend what a transform was applied to without the add-on; called when a file was opened."""
    for data in (*bpy.data.meshes, *bpy.data.pointclouds):
        if PLACES in data and data.is_editable:
            mend(data)


def register() -> None:
    bpy.app.handlers.depsgraph_update_post.append(follow_changes)
    bpy.app.handlers.load_post.append(mend_all)


def unregister() -> None:
    bpy.app.handlers.load_post.remove(mend_all)
    bpy.app.handlers.depsgraph_update_post.remove(follow_changes)

"""Coloured points as a native PointCloud, in every Blender from 4.5 on."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..core.colour import quick_srgb_to_linear
from ..core.formats.points import Points
from .materials import point_material

COVER = np.float32(0.71)
"""Radius of a disc over its footprint: half a pixel's diagonal, so that a facing surface has no holes."""

ROOM = np.float32(2**0.5)
"""A point's radius over its disc's: EEVEE draws points as squares that stand on a corner, which hold no larger disc."""


def new_pointcloud(name: str, positions: np.ndarray) -> bpy.types.PointCloud:
    """A PointCloud of points at positions (N, 3), without an object.

    Before Blender 5.1 one can't be given a size, so a mesh of loose vertices is converted. They lie where the points
    shall lie: Blender 5.0 keeps the bounds that it sees then.
    """
    positions = np.ascontiguousarray(positions, np.float32)
    if "resize" in bpy.types.PointCloud.bl_rna.functions:
        cloud = bpy.data.pointclouds.new(name)
        cloud.resize(len(positions))
        if len(positions):
            set_attribute(cloud, "position", "FLOAT_VECTOR", "vector", positions)
        return cloud
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(positions))
    mesh.vertices.foreach_set("co", positions.ravel())
    carrier: Any = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(carrier)
    objects = bpy.context.view_layer.objects
    active = objects.active
    try:
        objects.active = carrier  # the operator refuses while the active object is being edited
        with bpy.context.temp_override(
            object=carrier, active_object=carrier, selected_objects=[carrier], selected_editable_objects=[carrier]
        ):
            bpy.ops.object.convert(target="POINTCLOUD")
        return carrier.data
    finally:
        objects.active = active
        bpy.data.objects.remove(carrier)
        bpy.data.meshes.remove(mesh)


def set_attribute(cloud: bpy.types.PointCloud, name: str, kind: str, field: str, values: np.ndarray):
    """Make an attribute of the points and fill it."""
    attribute = cloud.attributes.get(name) or cloud.attributes.new(name, kind, "POINT")
    attribute.data.foreach_set(field, np.ascontiguousarray(values).ravel())


def cloud_of(name: str, points: Points) -> bpy.types.PointCloud:
    """A PointCloud with `rgba` (linear RGB, 1), `disc` (the radius that is shown), and `superseded`."""
    cloud = new_pointcloud(name, points.positions)
    if len(points):
        colour = np.ones((len(points), 4), np.float32)
        colour[:, :3] = quick_srgb_to_linear(colours_of(points))
        discs = COVER * _footprints(points)
        set_attribute(cloud, "radius", "FLOAT", "value", ROOM * discs)
        set_attribute(cloud, "disc", "FLOAT", "value", discs)
        set_attribute(cloud, "rgba", "FLOAT_COLOR", "color", colour)
        superseded = points.extra.get("superseded", np.zeros(len(points), bool))
        set_attribute(cloud, "superseded", "BOOLEAN", "value", superseded)
    cloud.materials.append(point_material())
    return cloud


def colours_of(points: Points) -> np.ndarray:
    """The colours of points (N, 3), sRGB; white where the file has none."""
    return np.ones_like(points.positions) if points.rgb is None else points.rgb


def _footprints(points: Points) -> np.ndarray:
    """The footprints of the file, or else what evenly spread points over the bounding box's size would have."""
    if "footprint" in points.extra:
        return np.nan_to_num(points.extra["footprint"].astype(np.float32))
    diagonal = np.linalg.norm(np.ptp(points.positions, axis=0))
    return np.full(len(points), diagonal / (2 * np.sqrt(len(points))), np.float32)

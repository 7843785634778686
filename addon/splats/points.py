"""Coloured points as a native PointCloud, in every Blender from 4.5 on."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..core.colour import quick_srgb_to_linear
from ..core.formats.points import Points
from .materials import point_material
from .node_builder import NodeBuilder

COVER = np.float32(0.71)
"""Radius of a disc over its footprint: half a pixel's diagonal, so that a facing surface has no holes."""

ROOM = np.float32(2**0.5)
"""A point's radius over its disc's: EEVEE draws points as squares that stand on a corner, which hold no larger disc."""


def new_pointcloud(name: str, positions: np.ndarray) -> bpy.types.PointCloud:
    """A PointCloud of points at positions (N, 3), without an object.

    Before Blender 5.1 one can't be given a size, so it is what nodes make of a mesh of loose vertices. They lie where
    the points shall lie: Blender 5.0 keeps the bounds that it sees then.
    """
    positions = np.ascontiguousarray(positions, np.float32)
    if "resize" not in bpy.types.PointCloud.bl_rna.functions and len(positions):
        return _evaluated_pointcloud(name, positions)
    cloud = bpy.data.pointclouds.new(name)
    if len(positions):
        cloud.resize(len(positions))
        set_attribute(cloud, "position", "FLOAT_VECTOR", "vector", positions)
    return cloud


def _evaluated_pointcloud(name: str, positions: np.ndarray) -> bpy.types.PointCloud:
    """`new_pointcloud` by nodes, in a scene of its own.

    Not by the operator that converts a mesh: it needs overrides of the context, at which Blender 4.5 and 5.0 crash now
    and then while another thread runs Python (see `jobs/undo_steps.py`).
    """
    mesh, scene = bpy.data.meshes.new(name), bpy.data.scenes.new(name)
    carrier: Any = bpy.data.objects.new(name, mesh)
    tree: Any = bpy.data.node_groups.new(name, "GeometryNodeTree")
    try:
        mesh.vertices.add(len(positions))
        mesh.vertices.foreach_set("co", positions.ravel())
        scene.collection.objects.link(carrier)
        for direction in ("INPUT", "OUTPUT"):
            tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
        nodes = NodeBuilder(tree)
        source = nodes.add("NodeGroupInput").outputs["Geometry"]
        nodes.set_output(nodes.add("GeometryNodeMeshToPoints", {"Mesh": source}).outputs["Points"])
        carrier.modifiers.new(name, "NODES").node_group = tree
        layer = scene.view_layers[0]
        layer.update()
        geometry = carrier.evaluated_get(layer.depsgraph).evaluated_geometry()
        cloud = geometry.pointcloud.copy()
    finally:
        bpy.data.objects.remove(carrier)
        bpy.data.meshes.remove(mesh)
        bpy.data.node_groups.remove(tree)
        bpy.data.scenes.remove(scene)
    cloud.name = name
    for attribute in [attribute for attribute in cloud.attributes if attribute.name.startswith(".")]:
        cloud.attributes.remove(attribute)
    return cloud


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

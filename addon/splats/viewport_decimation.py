"""Only the most important splats in the viewport, all of them in the render.

A geometry nodes modifier removes the others. It is saved in the .blend and does not need the add-on; the artist can
change the count in the Modifiers tab.
"""

from __future__ import annotations

from functools import reduce

import bpy
import numpy as np

from ..core.arrays import smallest
from ..core.gaussians import Gaussians
from .node_builder import NodeBuilder, get_or_build_group, set_group_input

MAX_SPLATS = 250_000
"""Of one object; a viewport draws this many smoothly on any graphics card."""

RANK = "rank"
MODIFIER = "Splats in Viewport"
BINS = 1 << 16


def decimate(obj: bpy.types.Object, splats: Gaussians, count: int = MAX_SPLATS) -> None:
    """Show only about `count` of an object's splats in the viewport.

    Args:
        obj: A mesh of quads or a point cloud that shows `splats`, in their order.
        splats: By which they are ranked.
        count: How many are shown.
    """
    mesh = obj.type == "MESH"
    attributes = obj.data.attributes
    ranked = attributes.get(RANK) or attributes.new(RANK, "INT", "FACE" if mesh else "POINT")
    ranked.data.foreach_set("value", importance_ranks(splats))
    modifier = obj.modifiers.get(MODIFIER) or obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = _group("FACE" if mesh else "POINT")
    set_group_input(modifier, "Splats", count)


def is_decimated(obj: bpy.types.Object) -> bool:
    """Whether an object shows only some of its splats in the viewport."""
    return MODIFIER in obj.modifiers


def importance_ranks(splats: Gaussians) -> np.ndarray:
    """For each splat the number of more important ones, (N,) int32: importance is opacity times area, in BINS steps."""
    if not len(splats):
        return np.zeros(0, np.int32)
    longest = reduce(np.add, splats.log_scales.T) - smallest(splats.log_scales)
    weight = longest + np.log(splats.opacities + np.float32(1e-6))
    low, high = float(weight.min()), float(weight.max())
    bins = ((high - weight) * np.float32((BINS - 1) / max(high - low, 1e-6))).astype(np.int32)
    counts = np.bincount(bins, minlength=BINS)
    before = np.cumsum(counts) - counts
    chance = np.random.default_rng(0).random(len(splats), np.float32)  # random order within a bin
    return (before[bins] + (chance * counts[bins]).astype(np.int32)).astype(np.int32)


def _group(domain: str) -> bpy.types.NodeTree:
    """The node group that, in the viewport, deletes elements of a domain whose rank is `Splats` or higher."""
    inputs = (("Geometry", "NodeSocketGeometry"), ("Splats", "NodeSocketInt"))
    name = "Dreamzoom Viewport Quads" if domain == "FACE" else "Dreamzoom Viewport Points"

    def build(nodes: NodeBuilder):
        given = nodes.add("NodeGroupInput")
        whole = given.outputs["Geometry"]
        beyond = nodes.math(
            "GREATER_THAN", nodes.named_attribute(RANK, "INT"), nodes.math("SUBTRACT", given.outputs["Splats"], 0.5)
        )
        fewer = nodes.add("GeometryNodeDeleteGeometry", {"Geometry": whole, "Selection": beyond}, domain=domain)
        inputs = {
            "Switch": nodes.add("GeometryNodeIsViewport").outputs["Is Viewport"],
            "False": whole,
            "True": fewer.outputs["Geometry"],
        }
        nodes.set_output(nodes.add("GeometryNodeSwitch", inputs, input_type="GEOMETRY").outputs["Output"])

    return get_or_build_group(name, f"viewport {domain} 1", inputs, build)

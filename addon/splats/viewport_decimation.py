"""Fewer splats in the viewport, the ones that matter most; all of them in the render.

A modifier of geometry nodes does it, which is saved in the .blend and needs no add-on. In the Modifiers tab the artist
sees its one number.
"""

from __future__ import annotations

from functools import reduce

import bpy
import numpy as np

from ..core.arrays import smallest
from ..core.gaussians import Gaussians
from .node_builder import Graph, found_or_new_group, set_group_input

MOST = 250_000
"""So many splats of one object does a viewport show smoothly on any graphics card."""

RANK = "rank"
MODIFIER = "Splats in Viewport"
BINS = 1 << 16


def thin(obj: bpy.types.Object, splats: Gaussians, most: int = MOST) -> None:
    """Show at most about `most` of an object's splats in the viewport.

    Args:
        obj: A mesh of quads, or a cloud, whose splats are `splats`, in that order.
        splats: What they are ranked by.
        most: How many are shown.
    """
    mesh = obj.type == "MESH"
    attributes = obj.data.attributes
    ranked = attributes.get(RANK) or attributes.new(RANK, "INT", "FACE" if mesh else "POINT")
    ranked.data.foreach_set("value", ranks_of(splats))
    modifier = obj.modifiers.get(MODIFIER) or obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = _group("FACE" if mesh else "POINT")
    set_group_input(modifier, "Splats", most)


def is_thinned(obj: bpy.types.Object) -> bool:
    """Whether an object shows only some of its splats in the viewport."""
    return MODIFIER in obj.modifiers


def ranks_of(splats: Gaussians) -> np.ndarray:
    """How many splats matter more than each, (N,) int32: by opacity times area, in BINS steps."""
    if not len(splats):
        return np.zeros(0, np.int32)
    longest = reduce(np.add, splats.log_scales.T) - smallest(splats.log_scales)
    weight = longest + np.log(splats.opacities + np.float32(1e-6))
    low, high = float(weight.min()), float(weight.max())
    bins = ((high - weight) * np.float32((BINS - 1) / max(high - low, 1e-6))).astype(np.int32)
    counts = np.bincount(bins, minlength=BINS)
    before = np.cumsum(counts) - counts
    chance = np.random.default_rng(0).random(len(splats), np.float32)  # within a bin nobody matters more
    return (before[bins] + (chance * counts[bins]).astype(np.int32)).astype(np.int32)


def _group(domain: str) -> bpy.types.NodeTree:
    """Geometry in; without what ranks at `Splats` or beyond, unless it is rendered; geometry out."""
    inputs = (("Geometry", "NodeSocketGeometry"), ("Splats", "NodeSocketInt"))
    name = "Dreamzoom Viewport Quads" if domain == "FACE" else "Dreamzoom Viewport Points"

    def build(graph: Graph):
        given = graph.add("NodeGroupInput")
        whole = given.outputs["Geometry"]
        beyond = graph.math(
            "GREATER_THAN", graph.named(RANK, "INT"), graph.math("SUBTRACT", given.outputs["Splats"], 0.5)
        )
        fewer = graph.add("GeometryNodeDeleteGeometry", {"Geometry": whole, "Selection": beyond}, domain=domain)
        inputs = {
            "Switch": graph.add("GeometryNodeIsViewport").outputs["Is Viewport"],
            "False": whole,
            "True": fewer.outputs["Geometry"],
        }
        graph.end(graph.add("GeometryNodeSwitch", inputs, input_type="GEOMETRY").outputs["Output"])

    return found_or_new_group(name, f"viewport {domain} 1", inputs, build)

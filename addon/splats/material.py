"""The materials that show splats and points in Cycles and EEVEE: plain nodes that render without the add-on.

Every material gives light of its own and takes none. It ends in a smooth alpha for Cycles and, for EEVEE, in a hard
one that a white noise at the hit draws anew for every sample and layer: without order, without bias. The alpha of the
object's colour multiplies both, so that a driver on it fades the object.
"""

from __future__ import annotations

import bpy

CUT = 2.5
"""Where the kernel ends, in sigmas; the fit cuts it there too."""

VERSION = "dreamzoom_material"
"""The custom property by which a material that is already in the file is found again."""


class Graph:
    """A few words to write a node tree with: every method adds one node and gives back its first output."""

    def __init__(self, material: bpy.types.Material):
        self.tree = material.node_tree
        self.tree.nodes.clear()

    def add(self, kind: str, *inputs, **settings):
        """A node with its settings; inputs are sockets, values, or None to leave one alone."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for socket, value in zip(node.inputs, inputs):
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            elif value is not None:
                socket.default_value = value
        node.location = (180 * (len(self.tree.nodes) % 8), -220 * (len(self.tree.nodes) // 8))
        return node

    def attribute(self, name: str):
        """The node that reads a geometry attribute."""
        return self.add("Attribute", attribute_type="GEOMETRY", attribute_name=name)

    def math(self, operation: str, *inputs):
        """One scalar operation."""
        return self.add("Math", *inputs, operation=operation).outputs[0]

    def vector(self, operation: str, *inputs):
        """One vector operation; the scalar output where that is its result."""
        node = self.add("VectorMath", *inputs, operation=operation)
        return node.outputs["Value" if operation in {"DOT_PRODUCT", "LENGTH"} else "Vector"]


def surfel_material() -> bpy.types.Material:
    """Quads that carry FACE `splat` (linear RGB, opacity) and CORNER `sigma` (the place on the quad, in sigmas)."""
    return _found_or_built("Dreamzoom Surfels", "surfels 1", _surfels)


def point_material() -> bpy.types.Material:
    """Points that carry `rgba` (linear RGB, alpha); Cycles gives black for an attribute named `color`."""
    return _found_or_built("Dreamzoom Points", "points 1", _points)


def finish(graph: Graph, colour, alpha):
    """End in light of `colour` covering `alpha` of what is behind, faded by the object, for both engines."""
    alpha = graph.math("MULTIPLY", alpha, graph.add("ObjectInfo").outputs["Alpha"])
    light = graph.add("Emission", colour).outputs[0]
    clear = graph.add("BsdfTransparent").outputs[0]
    place = graph.add("NewGeometry").outputs["Position"]
    noise = graph.add("TexWhiteNoise", place, noise_dimensions="3D").outputs["Value"]
    hard = graph.math("GREATER_THAN", alpha, noise)
    for target, cover in (("CYCLES", alpha), ("EEVEE", hard)):
        mixed = graph.add("MixShader", cover, clear, light).outputs[0]
        graph.add("OutputMaterial", mixed, target=target)


def _surfels(graph: Graph):
    splat = graph.attribute("splat")
    sigma = graph.attribute("sigma").outputs["Vector"]
    squared = graph.vector("DOT_PRODUCT", sigma, sigma)
    kernel = graph.math("EXPONENT", graph.math("MULTIPLY", squared, -0.5))
    inside = graph.math("LESS_THAN", squared, CUT * CUT)
    alpha = graph.math("MULTIPLY", graph.math("MULTIPLY", kernel, inside), splat.outputs["Alpha"])
    finish(graph, splat.outputs["Color"], alpha)


def _points(graph: Graph):
    point = graph.attribute("rgba")
    finish(graph, point.outputs["Color"], point.outputs["Alpha"])


def _found_or_built(name: str, version: str, build) -> bpy.types.Material:
    """The file's own material of this version, or a new one."""
    for material in bpy.data.materials:
        if material.get(VERSION) == version and material.library is None:
            return material
    material = bpy.data.materials.new(name)
    if not material.node_tree:
        material.use_nodes = True
    build(Graph(material))
    material[VERSION] = version
    material.surface_render_method = "DITHERED"
    if hasattr(material, "cycles"):
        material.cycles.emission_sampling = "NONE"  # else every quad becomes a lamp
    return material

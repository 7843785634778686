"""Builds node trees: materials and geometry nodes."""

from __future__ import annotations

from typing import Any

import bpy

VERSION = "dreamzoom_material"
"""Custom property with the version of a material or node group, by which one that is in the file is found again."""


def socket(sockets, identifier: str) -> bpy.types.NodeSocket:
    """The socket of a node with this identifier, which is the same in all releases of Blender.

    Positions change, since a release may add hidden sockets before others; labels change too, and are not unique.

    Raises:
        KeyError: The node has no such socket.
    """
    for found in sockets:
        if found.identifier == identifier:
            return found
    raise KeyError(f"no socket {identifier!r}; there are {', '.join(found.identifier for found in sockets)}")


class NodeBuilder:
    """Adds nodes to a tree, which is cleared first. All methods but `add` add one node and return its output socket."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree
        tree.nodes.clear()

    def add(self, kind: str, inputs: dict | None = None, **settings):
        """Add a node.

        Args:
            kind: Type of the node: "ShaderNode" is prepended unless it contains "Node".
            inputs: Sockets or values by the identifier of the input.
            settings: Properties of the node.
        """
        node = self.tree.nodes.new(kind if "Node" in kind else f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for identifier, value in (inputs or {}).items():
            target = socket(node.inputs, identifier)
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, target)
            else:
                target.default_value = value
        node.location = (180 * (len(self.tree.nodes) % 8), -220 * (len(self.tree.nodes) // 8))
        return node

    def attribute(self, name: str):
        """The node that reads a geometry attribute."""
        return self.add("Attribute", attribute_type="GEOMETRY", attribute_name=name)

    def scalar(self, name: str, kind: str = "GEOMETRY"):
        """A scalar attribute: of the geometry, or with the kind OBJECT a custom property of the object."""
        return socket(self.add("Attribute", attribute_type=kind, attribute_name=name).outputs, "Fac")

    def math(self, operation: str, *values):
        """A scalar operation on one to three values."""
        inputs = dict(zip(("Value", "Value_001", "Value_002"), values))
        return self.add("Math", inputs, operation=operation).outputs["Value"]

    def vector(self, operation: str, *values):
        """A vector operation on one to three vectors; the scalar output if the result is a scalar."""
        inputs = dict(zip(("Vector", "Vector_001", "Vector_002"), values))
        node = self.add("VectorMath", inputs, operation=operation)
        return node.outputs["Value" if operation in {"DOT_PRODUCT", "LENGTH"} else "Vector"]

    def scale(self, vector, factor):
        """A vector times a number."""
        return self.add("VectorMath", {"Vector": vector, "Scale": factor}, operation="SCALE").outputs["Vector"]

    def separate(self, vector):
        """The three components of a vector."""
        node = self.add("SeparateXYZ", {"Vector": vector})
        return node.outputs["X"], node.outputs["Y"], node.outputs["Z"]

    def named_attribute(self, name: str, kind: str):
        """A named attribute, as a field of geometry nodes."""
        return self.add("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind).outputs["Attribute"]

    def on_faces(self, value, kind: str):
        """A field of geometry nodes evaluated once per face."""
        return self.add("GeometryNodeFieldOnDomain", {"Value": value}, data_type=kind, domain="FACE").outputs["Value"]

    def store_on_faces(self, geometry, name: str, vector):
        """The geometry with a vector per face stored as a named attribute."""
        inputs = {"Geometry": geometry, "Name": name, "Value": vector}
        settings = {"data_type": "FLOAT_VECTOR", "domain": "FACE"}
        return self.add("GeometryNodeStoreNamedAttribute", inputs, **settings).outputs["Geometry"]

    def to_object_space(self, vector):
        """A vector transformed from world to object space."""
        settings = {"vector_type": "VECTOR", "convert_from": "WORLD", "convert_to": "OBJECT"}
        return self.add("VectorTransform", {"Vector": vector}, **settings).outputs["Vector"]

    def set_output(self, geometry):
        """Make this geometry the output of the group."""
        self.tree.links.new(geometry, self.tree.nodes.new("NodeGroupOutput").inputs["Geometry"])


class NodeScalar:
    """A scalar socket of a node tree with the arithmetic of numbers."""

    def __init__(self, nodes: NodeBuilder, socket):
        self.nodes, self.socket = nodes, socket

    def _with(self, operation: str, other) -> NodeScalar:
        return NodeScalar(self.nodes, self.nodes.math(operation, self.socket, getattr(other, "socket", other)))

    def __add__(self, other) -> NodeScalar:
        return self._with("ADD", other)

    def __sub__(self, other) -> NodeScalar:
        return self._with("SUBTRACT", other)

    def __mul__(self, other) -> NodeScalar:
        return self._with("MULTIPLY", other)


def get_or_build_group(name: str, version: str, inputs: tuple[tuple[str, str], ...], build) -> bpy.types.NodeTree:
    """The geometry node group of this version in the file, or a new one.

    Args:
        name: Of a new group.
        version: By which the group is found again.
        inputs: Name and type of each input.
        build: Called with a `NodeBuilder` to add the nodes of a new group.
    """
    for tree in bpy.data.node_groups:
        if tree.get(VERSION) == version and tree.library is None:
            return tree
    tree: Any = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.is_modifier = True
    for label, kind in inputs:
        tree.interface.new_socket(label, in_out="INPUT", socket_type=kind)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    build(NodeBuilder(tree))
    tree[VERSION] = version
    return tree


def set_group_input(modifier: bpy.types.NodesModifier, name: str, value) -> None:
    """Set an input of a modifier's node group, by its name."""
    key = modifier.node_group.interface.items_tree[name].identifier
    if hasattr(modifier, "properties"):
        getattr(modifier.properties.inputs, key).value = value
    else:
        modifier[key] = value


def group_input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """The data path, from the object, of an input of a modifier's node group; it changed with Blender 5.2."""
    key = modifier.node_group.interface.items_tree[name].identifier
    start = f'modifiers["{modifier.name}"]'
    return f"{start}.properties.inputs.{key}.value" if hasattr(modifier, "properties") else f'{start}["{key}"]'

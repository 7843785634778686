"""Words to write node trees with: materials and geometry nodes."""

from __future__ import annotations

import bpy

VERSION = "dreamzoom_material"
"""The custom property by which a material or group that is already in the file is found again."""


def socket(sockets, identifier: str) -> bpy.types.NodeSocket:
    """The socket of a node with this identifier, which stays the same from release to release.

    Places change, since a release may add hidden sockets before the others; labels change, and can stand twice.

    Raises:
        KeyError: The node has no such socket.
    """
    for found in sockets:
        if found.identifier == identifier:
            return found
    raise KeyError(f"no socket {identifier!r}; there are {', '.join(found.identifier for found in sockets)}")


class Graph:
    """A few words to write a node tree with: every method but `add` adds one node and gives back its output."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree
        tree.nodes.clear()

    def add(self, kind: str, inputs: dict | None = None, **settings):
        """A node with its settings; `inputs` are sockets or values by the identifier of the input.

        `kind` is the name of a shader's node, or the whole name of one that only geometry nodes have.
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
        """An attribute as one number: of the geometry, or with the kind OBJECT the object's custom property."""
        return socket(self.add("Attribute", attribute_type=kind, attribute_name=name).outputs, "Fac")

    def math(self, operation: str, *values):
        """One scalar operation on one to three values."""
        inputs = dict(zip(("Value", "Value_001", "Value_002"), values))
        return self.add("Math", inputs, operation=operation).outputs["Value"]

    def vector(self, operation: str, *values):
        """One vector operation on one to three vectors; the scalar output where that is its result."""
        inputs = dict(zip(("Vector", "Vector_001", "Vector_002"), values))
        node = self.add("VectorMath", inputs, operation=operation)
        return node.outputs["Value" if operation in {"DOT_PRODUCT", "LENGTH"} else "Vector"]

    def scaled(self, vector, factor):
        """A vector times a number."""
        return self.add("VectorMath", {"Vector": vector, "Scale": factor}, operation="SCALE").outputs["Vector"]

    def apart(self, vector):
        """The three components of a vector."""
        node = self.add("SeparateXYZ", {"Vector": vector})
        return node.outputs["X"], node.outputs["Y"], node.outputs["Z"]

    def named(self, name: str, kind: str):
        """A field of geometry nodes: a named attribute."""
        return self.add("GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind).outputs["Attribute"]

    def of_face(self, value, kind: str):
        """A field of geometry nodes, evaluated once for each face."""
        return self.add("GeometryNodeFieldOnDomain", {"Value": value}, data_type=kind, domain="FACE").outputs["Value"]

    def store(self, geometry, name: str, vector):
        """The geometry with a vector of each face stored under a name."""
        inputs = {"Geometry": geometry, "Name": name, "Value": vector}
        settings = {"data_type": "FLOAT_VECTOR", "domain": "FACE"}
        return self.add("GeometryNodeStoreNamedAttribute", inputs, **settings).outputs["Geometry"]

    def in_object(self, vector):
        """A world vector in the object's axes and unit."""
        settings = {"vector_type": "VECTOR", "convert_from": "WORLD", "convert_to": "OBJECT"}
        return self.add("VectorTransform", {"Vector": vector}, **settings).outputs["Vector"]

    def end(self, geometry):
        """Make this the geometry that the group gives."""
        self.tree.links.new(geometry, self.tree.nodes.new("NodeGroupOutput").inputs["Geometry"])


class Term:
    """A scalar of a node tree that adds and multiplies like a number."""

    def __init__(self, graph: Graph, socket):
        self.graph, self.socket = graph, socket

    def _with(self, operation: str, other) -> Term:
        return Term(self.graph, self.graph.math(operation, self.socket, getattr(other, "socket", other)))

    def __add__(self, other) -> Term:
        return self._with("ADD", other)

    def __sub__(self, other) -> Term:
        return self._with("SUBTRACT", other)

    def __mul__(self, other) -> Term:
        return self._with("MULTIPLY", other)


def found_or_new_group(name: str, version: str, inputs: tuple[tuple[str, str], ...], build) -> bpy.types.NodeTree:
    """The file's own group of geometry nodes of this version, or a new one.

    Args:
        name: Of a new one.
        version: By which it is found again.
        inputs: Name and type of each.
        build: Writes the nodes with the `Graph` that it is given.
    """
    for tree in bpy.data.node_groups:
        if tree.get(VERSION) == version and tree.library is None:
            return tree
    tree = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.is_modifier = True
    for label, kind in inputs:
        tree.interface.new_socket(label, in_out="INPUT", socket_type=kind)
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    build(Graph(tree))
    tree[VERSION] = version
    return tree


def set_group_input(modifier: bpy.types.NodesModifier, name: str, value) -> None:
    """Set what a modifier's group is given, by the name of the input."""
    key = modifier.node_group.interface.items_tree[name].identifier
    if hasattr(modifier, "properties"):
        getattr(modifier.properties.inputs, key).value = value
    else:
        modifier[key] = value


def group_input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """The data path, from the object, of what a modifier's group is given; it changed with Blender 5.2."""
    key = modifier.node_group.interface.items_tree[name].identifier
    start = f'modifiers["{modifier.name}"]'
    return f"{start}.properties.inputs.{key}.value" if hasattr(modifier, "properties") else f'{start}["{key}"]'

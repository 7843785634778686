"""Node trees written by name: what is linked is what the node reads, in every Blender."""

import bpy
import pytest

from addon.splats import facing, material, viewport
from addon.splats.graph import Graph, socket

MATERIALS = {
    "points": material.point_material,
    "surfels": lambda: material.surfel_material(3),
    "triangles": lambda: material.surfel_material(triangles=True),
    "gaussians": lambda: material.gaussian_material(3),
    "flat": lambda: material.flat_material(3),
    "viewers": lambda: material.viewer_material(3),
}
GROUPS = {
    "facing": lambda: facing._group(True),
    "quads in the viewport": lambda: viewport._group("FACE"),
    "points in the viewport": lambda: viewport._group("POINT"),
}


@pytest.fixture
def graph():
    return Graph(bpy.data.node_groups.new("graph", "ShaderNodeTree"))


@pytest.mark.parametrize("name", [*MATERIALS, *GROUPS])
def test_no_link_ends_in_a_hidden_socket(name):
    tree = MATERIALS[name]().node_tree if name in MATERIALS else GROUPS[name]()
    assert len(tree.links) > 5
    for link in tree.links:
        assert link.is_valid
        assert not link.from_socket.is_unavailable
        assert not link.to_socket.is_unavailable


def test_a_socket_before_the_others_changes_nothing(graph):
    value = graph.add("Value").outputs["Value"]
    turned = graph.in_object(value).node
    assert socket(turned.inputs, "Vector").is_linked
    assert [found.identifier for found in turned.inputs if found.is_linked] == ["Vector"]


def test_values_go_to_their_own_sockets(graph):
    node = graph.math("MULTIPLY_ADD", 2.0, 3.0, 4.0).node
    assert [found.default_value for found in node.inputs if not found.is_unavailable] == [2, 3, 4]


def test_an_unknown_socket_is_named(graph):
    with pytest.raises(KeyError, match="'Colour'; there are Color, Strength"):
        graph.add("Emission", {"Colour": (1, 1, 1, 1)})

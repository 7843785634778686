"""Node trees written by name: what is linked is what the node reads, in every Blender."""

import bpy
import pytest

from addon.splats import billboards, materials, viewport_decimation
from addon.splats.node_builder import NodeBuilder, socket

MATERIALS = {
    "points": materials.point_material,
    "surfels": lambda: materials.surfel_material(3),
    "triangles": lambda: materials.surfel_material(triangles=True),
    "gaussians": lambda: materials.gaussian_material(3),
    "flat": lambda: materials.flat_material(3),
    "viewers": lambda: materials.viewer_material(3),
}
GROUPS = {
    "facing": lambda: billboards._group(True, False),
    "facing, anti-aliased": lambda: billboards._group(True, True),
    "quads in the viewport": lambda: viewport_decimation._group("FACE"),
    "points in the viewport": lambda: viewport_decimation._group("POINT"),
}


@pytest.fixture
def nodes():
    return NodeBuilder(bpy.data.node_groups.new("nodes", "ShaderNodeTree"))


@pytest.mark.parametrize("name", [*MATERIALS, *GROUPS])
def test_no_link_ends_in_a_hidden_socket(name):
    tree = MATERIALS[name]().node_tree if name in MATERIALS else GROUPS[name]()
    assert len(tree.links) > 5
    for link in tree.links:
        assert link.is_valid
        assert not link.from_socket.is_unavailable
        assert not link.to_socket.is_unavailable


def test_a_socket_before_the_others_changes_nothing(nodes):
    value = nodes.add("Value").outputs["Value"]
    turned = nodes.to_object_space(value).node
    assert socket(turned.inputs, "Vector").is_linked
    assert [found.identifier for found in turned.inputs if found.is_linked] == ["Vector"]


def test_values_go_to_their_own_sockets(nodes):
    node = nodes.math("MULTIPLY_ADD", 2.0, 3.0, 4.0).node
    assert [found.default_value for found in node.inputs if not found.is_unavailable] == [2, 3, 4]


def test_an_unknown_socket_is_named(nodes):
    with pytest.raises(KeyError, match="'Colour'; there are Color, Strength"):
        nodes.add("Emission", {"Colour": (1, 1, 1, 1)})

"""Sockets of nodes are found by their names: releases of Blender add hidden ones before those that a place counts."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("addon", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
SOCKETS = {"inputs", "outputs"}


def places(source: str) -> list[int]:
    """The lines on which a node's sockets may be picked by their place.

    That is every use of `.inputs` or `.outputs` but with a text, and but a walk over all of them: what is kept under
    another name could be counted anywhere.
    """
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    sockets = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in SOCKETS]
    return [node.lineno for node in sockets if not is_by_name(node, parents[node])]


def is_by_name(node: ast.Attribute, parent: ast.AST) -> bool:
    if isinstance(node.value, ast.Attribute) and node.value.attr == "properties":
        return True  # what a modifier of geometry nodes is given
    match parent:
        case ast.Subscript(value=value, slice=key) if value is node:
            return is_text(key)
        case ast.Attribute(attr="get"):
            return True
        case ast.Call(func=ast.Name("socket"), args=[first, _]) if first is node:
            return True
        case ast.comprehension(iter=walked) if walked is node:
            return True
    return False


def is_text(key: ast.expr) -> bool:
    match key:
        case ast.Constant(str()):
            return True
        case ast.IfExp(body=one, orelse=other):
            return is_text(one) and is_text(other)
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_socket_is_picked_by_its_place(path):
    assert not places(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "node.inputs[0]",
        "node.outputs[-1].default_value = 1",
        "tree.links.new(a.outputs[FACTOR], b.inputs['Color'])",
        "for socket, value in zip(node.inputs, values): pass",
        "sockets = node.outputs\nsockets[0]",
        "first, second = node.inputs",
        "list(node.inputs)[0]",
        "node.inputs[0 if one else 'Color']",
    ],
)
def test_places_are_found(source):
    assert places(source)


@pytest.mark.parametrize(
    "source",
    ["node.inputs['Color']", "socket(node.outputs, 'Fac')", "[s.links for s in node.inputs]", "a.inputs.get('B')"],
)
def test_names_are_fine(source):
    assert not places(source)

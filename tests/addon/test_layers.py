"""The add-on's rooms build on one another in one direction, without circles, and stay small enough to look over."""

import ast
from pathlib import Path

import pytest

import addon

FOLDER = Path(addon.__file__).resolve().parent
LAYERS = ("splats", "backend", "rig", "scene", "results", "jobs", "ui")
"""From the lowest to the highest; a module imports from its own layer and from lower ones, and `core` from anywhere."""

MAX_LINES, MAX_MODULES = 400, 15


def module_name(path):
    """A module's dotted name within the add-on; empty for the package itself."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = [path for path in sorted(FOLDER.rglob("*.py")) if path.relative_to(FOLDER).parts[0] != "core"]
MODULES = {module_name(path): path for path in PATHS}


def imports_of(name):
    """The add-on's modules that a module imports, wherever in it the import stands."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: len(package) - node.level + 1], *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".strip(".")
                if full in MODULES:
                    found.add(full)
                elif base and base in MODULES:
                    found.add(base)
    return found


GRAPH = {name: imports_of(name) for name in MODULES}


def layer_of(name):
    return LAYERS.index(name.split(".")[0])


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_no_module_imports_from_a_higher_layer(name):
    assert [other for other in GRAPH[name] if layer_of(other) > layer_of(name)] == []


def test_no_circle():
    done = set()

    def visit(name, above):
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in sorted(GRAPH[name]):
                visit(other, [*above, name])
            done.add(name)

    for name in MODULES:
        visit(name, [])


def test_the_server_s_code_is_reached_through_core_alone():
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [other for other in names if other.split(".")[0] in ("core", "dreamzoom", "addon")], name


def test_modules_and_folders_are_small():
    long = {name: lines for name, path in MODULES.items() if (lines := path.read_text().count("\n")) > MAX_LINES}
    folders = {path.parent for path in MODULES.values()}
    full = {folder.name: count for folder in folders if (count := len(list(folder.glob("*.py")))) > MAX_MODULES}
    assert not long and not full

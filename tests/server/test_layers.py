"""The architecture holds: who may import whom, no circles, no large modules, no crowded folders."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVER = (
    ("core",),
    ("dreamzoom", "jit", "numba_cache", "parent_watch", "progress"),
    ("geometry", "sampling", "splats"),
    ("request",),
    ("engines",),
    ("stages.base",),
    ("stages",),
    ("pipeline",),
    ("cluster",),
    ("render", "machine"),
    ("rpc", "cli"),
    ("__main__",),
)
"""Names within `dreamzoom`: the modules of a row may import those of their own row and of the rows above it. The
longest name that fits a module counts."""

ADDON = (
    ("core", "presets"),
    ("translations",),
    ("splats",),
    ("backend",),
    ("rig",),
    ("scene",),
    ("results",),
    ("jobs",),
    ("ui",),
    ("addon",),
)
"""The same within `addon`."""

MAY_USE = {
    "core": {"numpy", "zstandard"},
    "addon": {"numpy", "zstandard", "bpy", "bpy_extras", "mathutils", "blf", "gpu", "gpu_extras", "bl_operators"},
}
"""What may be imported beside the standard library and the project's own; what is not named here may use anything but
Blender. zstandard is used only where it is there."""

MOST_LINES, MOST_MODULES = 400, 15
SOURCES = ("server", "addon", "scripts")


@cache
def modules() -> dict[str, Path]:
    """The file of every module of core, server and add-on, by its name as imports see it."""
    found = {}
    for root, folders in (("server", ("core", "dreamzoom")), (".", ("addon",))):
        for folder in folders:
            for file in sorted((ROOT / root / folder).rglob("*.py")):
                name = ".".join(file.relative_to(ROOT / root).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = file
    return found


@cache
def imported(name: str) -> frozenset[str]:
    """What a module imports, also inside its functions; not what it needs for type checkers alone."""
    file = modules()[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _executed(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            base = base.removeprefix("addon.") if base == "addon.core" or base.startswith("addon.core.") else base
            for alias in node.names:
                if alias.name.startswith("__"):  # of a package that is imported anyway
                    continue
                inner = f"{base}.{alias.name}".replace("addon.core", "core")
                found.add(inner if inner in modules() or inner == "core" else base)
    return frozenset(found - {name})


def _executed(tree: ast.AST):
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield other
                yield from _executed(other)
            continue
        yield node
        yield from _executed(node)


def own(name: str) -> list[str]:
    """What a module imports of the project."""
    return sorted(other for other in imported(name) if other in modules())


def row_of(name: str, root: str, layers: tuple[tuple[str, ...], ...]) -> int | None:
    """The row of a module in the table of layers of `root`; None where it stands in none."""
    inner = name.removeprefix(f"{root}.")
    best, row = -1, None
    for index, prefixes in enumerate(layers):
        for prefix in prefixes:
            if (inner == prefix or inner.startswith(f"{prefix}.")) and len(prefix) > best:
                best, row = len(prefix), index
    return row


@pytest.mark.parametrize(("root", "layers"), [("dreamzoom", SERVER), ("addon", ADDON)])
def test_every_module_stands_in_a_layer(root, layers):
    lost = [
        name for name in modules() if name.partition(".")[0] in (root, "core") and row_of(name, root, layers) is None
    ]
    assert not lost, f"these stand in no layer: {', '.join(lost)}"


@pytest.mark.parametrize(("root", "layers"), [("dreamzoom", SERVER), ("addon", ADDON)])
def test_imports_go_down(root, layers):
    wrong = []
    for name in modules():
        row = row_of(name, root, layers)
        if name.partition(".")[0] not in (root, "core") or row is None:
            continue
        for other in own(name):
            below = row_of(other, root, layers)
            if below is None or below > row:
                wrong.append(f"{name} imports {other}")
    assert not wrong, "these import what lies above them:\n" + "\n".join(wrong)


def test_there_is_no_import_circle():
    circles = [" → ".join([*circle, circle[0]]) for circle in _circles({name: own(name) for name in modules()})]
    assert not circles, "circles of imports:\n" + "\n".join(circles)


def _circles(graph: dict[str, list[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            at = stack.index(node)
            component, stack[at:] = stack[at:], []
            if len(component) > 1:
                found.append(component)

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_a_circle_is_found_even_inside_functions():
    assert _circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    tree = ast.parse("def f():\n    import x\nif TYPE_CHECKING:\n    import y\n")
    names = [alias.name for node in _executed(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert names == ["x"]


def test_only_what_may_be_used_is_imported():
    wrong = []
    for name in modules():
        root = name.partition(".")[0]
        for other in imported(name):
            top = other.partition(".")[0]
            if top in sys.stdlib_module_names or other in modules() or not top:
                continue
            allowed = (
                top in MAY_USE[root] if root in MAY_USE else top not in ("bpy", "bpy_extras", "mathutils", "addon")
            )
            if not allowed:
                wrong.append(f"{name} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_core_imports_itself_by_relative_names():
    absolute = [
        f"{name}: {ast.unparse(node)}"
        for name, file in modules().items()
        if name.partition(".")[0] == "core"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "core"
    ]
    assert not absolute, "the add-on reaches core under another name:\n" + "\n".join(absolute)


def test_a_job_without_networks_does_without_torch():
    """Its import takes a second and much memory."""
    code = (
        "import sys; from dreamzoom import cli; from dreamzoom.engines.procedural import engine; "
        "from dreamzoom.pipeline import generate; from dreamzoom.stages import all_stages; all_stages(); "
        "sys.exit('torch' in sys.modules)"
    )
    variables = os.environ | {"PYTHONPATH": str(ROOT / "server")}
    assert subprocess.run([sys.executable, "-c", code], env=variables, check=False).returncode == 0


def test_no_module_is_too_long():
    sizes = {file: file.read_bytes().count(b"\n") for folder in SOURCES for file in (ROOT / folder).rglob("*.py")}
    long = [f"{file.relative_to(ROOT)}: {lines}" for file, lines in sizes.items() if lines > MOST_LINES]
    assert not long, f"more than {MOST_LINES} lines:\n" + "\n".join(long)


def test_no_folder_is_crowded():
    crowded = []
    for top in SOURCES:
        for folder in [ROOT / top, *(ROOT / top).rglob("*/")]:
            count = len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
            if count > MOST_MODULES:
                crowded.append(f"{folder.relative_to(ROOT)}: {count}")
    assert not crowded, f"more than {MOST_MODULES} modules:\n" + "\n".join(crowded)

"""Blender's Python and the server's both import `core`: it may need nothing that one of them lacks."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "server" / "core"
MODULES = sorted(path.relative_to(CORE).as_posix() for path in CORE.rglob("*.py"))
OPTIONAL = {"formats/spz.py": {"zstandard"}, "transfer/packing.py": {"zstandard"}}
"""What a module imports within a function, and does without where it is missing."""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_numpy_and_the_standard_library_and_its_own_kind_by_relative_names(name):
    found = set()
    for node in ast.walk(ast.parse((CORE / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    assert found - OPTIONAL.get(name, set()) <= {"numpy", *sys.stdlib_module_names}


def test_no_relative_import_leads_out_of_it():
    for name in MODULES:
        depth = len(Path(name).parts)
        for node in ast.walk(ast.parse((CORE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, name

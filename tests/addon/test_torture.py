"""A short run of every torture that runs in Blender, each in a process of its own."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
torture = importlib.import_module("torture")

SHORT = {"many_imports": 3, "hostile_imports": 12, "killed_blender": 1}


@pytest.mark.slow
@pytest.mark.skipif(bpy.app.version < (5, 3, 0), reason="once is enough")
@pytest.mark.parametrize("name", [name for name in torture.names() if torture.environment_of(name) != "server"])
def test_short_run(name, server_python):
    paths = [str(ROOT / "server"), str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "DREAMZOOM_SERVER_PYTHON": server_python}
    command = [sys.executable, "-P", "-c", torture._CODE, name, "1", str(SHORT[name])]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr

"""A server on another machine, as far as its files and the connection go: its own root, 50 ms, 10 MB/s."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _module():
    spec = importlib.util.spec_from_file_location("distant", ROOT / "scripts/benchmarks/cluster/distant.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


distant = _module()

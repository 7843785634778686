"""The folder of compiled kernels follows the sources of all kernels."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dreamzoom.numba_cache import choose_folder, is_first_start

pytestmark = pytest.mark.slow


def chosen(package: Path, home: Path) -> str:
    code = (
        "import os, sys; from pathlib import Path; from dreamzoom.numba_cache import choose_folder; "
        "os.environ.pop('NUMBA_CACHE_DIR', None); choose_folder(Path(sys.argv[1])); "
        "print(os.environ.get('NUMBA_CACHE_DIR', ''))"
    )
    server = Path(choose_folder.__code__.co_filename).parents[1]
    variables = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "LOCALAPPDATA": str(home),
        "PYTHONPATH": str(server),
    }
    done = subprocess.run([sys.executable, "-c", code, str(package)], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_changed_kernel_gets_another_folder_and_other_code_does_not(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "kernel.py").write_text("import numba\n", encoding="utf-8")
    (package / "plain.py").write_text("x = 1\n", encoding="utf-8")
    first = chosen(package, tmp_path / "home")
    assert Path(first).is_dir()
    (package / "plain.py").write_text("x = 2\n", encoding="utf-8")
    assert chosen(package, tmp_path / "home") == first
    (package / "kernel.py").write_text("import numba  # changed\n", encoding="utf-8")
    assert chosen(package, tmp_path / "home") != first


def test_where_nothing_can_be_written_numba_chooses(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    package = tmp_path / "package"
    package.mkdir()
    assert chosen(package, tmp_path / "file") == ""


def test_a_first_start_is_one_without_kernels(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert is_first_start()
    (tmp_path / "module_123").mkdir()
    (tmp_path / "module_123" / "kernel-10.py311.nbi").write_bytes(b"index")
    assert not is_first_start()
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert not is_first_start()


COMPILE = """
import dreamzoom
from dreamzoom.geometry.depth_edges import estimate_noise
import numpy as np
from dreamzoom.geometry.depth_cleaning import _replace_isolated
_replace_isolated(np.ones((4, 4), np.float32), np.float32(0.1))
print(sum(_replace_isolated.stats.cache_hits.values()), sum(_replace_isolated.stats.cache_misses.values()))
"""


def test_the_same_code_in_another_place_is_not_compiled_again(tmp_path):
    server = Path(choose_folder.__code__.co_filename).parents[1]
    found = []
    for name in ("one", "other"):
        copy = tmp_path / name / "server"
        for part in ("dreamzoom", "core"):
            shutil.copytree(
                server / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
            )
        shutil.copyfile(server.parent / "blender_manifest.toml", copy.parent / "blender_manifest.toml")
        home = {key: str(tmp_path / "home") for key in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
        variables = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CACHE")} | home
        variables["PYTHONPATH"] = str(copy)
        done = subprocess.run([sys.executable, "-c", COMPILE], env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found == [["0", "1"], ["1", "0"]]

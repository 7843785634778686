"""The folder of compiled kernels follows the sources of all kernels; damage there, or a full disk, costs time only."""

import importlib
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_stages import Listener, chain

from dreamzoom import jit, numba_cache
from dreamzoom.numba_cache import choose_folder, is_first_start
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

kernel_cache = importlib.import_module("tortures.files.kernel_cache")

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


def test_where_nothing_can_be_written_there_is_no_folder(tmp_path):
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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own; messages of other tests are forgotten."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(numba_cache, "_told", set())
    monkeypatch.setattr(numba_cache, "_messages", [])
    return tmp_path / "kernels"


def doubled(values):
    return values * 2.0


def call():
    """The result of a kernel as a new start computes it, and whether its code was found on the disk."""
    kernel = jit.njit(cache=True)(doubled)
    return float(kernel(np.ones(3)).sum()), bool(sum(kernel.stats.cache_hits.values()))


class TestDamage:
    @pytest.mark.parametrize("damage", kernel_cache.DAMAGES, ids=lambda damage: damage.__name__)
    @pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
    def test_each_kind_in_each_file(self, cache, damage, suffix):
        assert call() == (6.0, False)
        [file] = cache.rglob(f"*{suffix}")
        damage(random.Random(1), file)
        assert call()[0] == 6.0
        assert call() == (6.0, True)

    def test_it_is_said_once_and_in_the_jobs_log(self, cache, tmp_path):
        for _ in range(2):
            call()
            for file in cache.rglob("*.nbi"):
                file.write_bytes(b"torn")
            call()
        sink = Listener()
        run(chain(), Folder(tmp_path / "job"), sink)
        [(level, message)] = sink.logged
        assert level == "warning"
        assert str(cache) in message
        assert "compiled again" in message

    def test_code_of_another_version_is_compiled_again_without_a_word(self, cache, monkeypatch):
        call()
        monkeypatch.setattr(jit, "_stamp", lambda: ("another numba", "other sources"))
        assert call() == (6.0, False)
        assert call() == (6.0, True)
        assert numba_cache.take_messages() == []

    def test_the_file_of_another_variant_is_not_run(self, cache):
        kernel = jit.njit(cache=True)(doubled)
        kernel(np.ones(3))
        kernel(np.ones(3, np.float32))
        one, other = sorted(cache.rglob("*.nbc"))
        shutil.copyfile(other, one)
        assert call() == (6.0, False)

    def test_nothing_is_unpickled_before_its_checksum_is_right(self, cache):
        class Evil:
            def __reduce__(self):
                return (exec, ("raise SystemExit('this ran')",))

        call()
        for file in cache.rglob("*.nb[ic]"):
            file.write_bytes(jit.MAGIC + bytes(jit.CHECKSUM) + pickle.dumps(Evil()))
        assert call() == (6.0, False)


class TestNoSpace:
    def test_where_nothing_can_be_stored_everything_works_and_it_is_said(self, cache):
        cache.write_text("a file where the folder should be")
        assert [call(), call()] == [(6.0, False), (6.0, False)]
        [message] = numba_cache.take_messages()
        assert str(cache) in message
        assert "each start takes" in message

    @pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files stands for a full disk")
    def test_a_disk_that_fills_up_leaves_nothing_half_written(self, tmp_path):
        code = (
            "import resource, signal, sys; sys.path.insert(0, 'server'); sys.path.insert(0, 'tests/server');"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700));"
            "import numpy as np; from dreamzoom import jit, numba_cache; f = lambda x: x * 2.0;"
            "print(jit.njit(cache=True)(f)(np.ones(3)).sum(), numba_cache.take_messages())"
        )
        variables = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("6.0")
        assert str(tmp_path) in done.stdout
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_kernel_uses_numbas_own_cache():
    """Numba's own stops a job at the first torn file."""
    for file in (ROOT / "server" / "dreamzoom").rglob("*.py"):
        if file.name != "jit.py" and "cache=True" in (text := file.read_text(encoding="utf-8")):
            assert "from numba import njit" not in text, file
            assert "numba.njit" not in text, file

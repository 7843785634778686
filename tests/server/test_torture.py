"""A short run of every torture that runs in the server's environment."""

import importlib
import os
import random
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
torture = importlib.import_module("torture")


LIMITS = {"SECONDS", "MOST_SECONDS", "SLOWEST", "GONE", "ANSWERED", "STOPPED"}
"""Names of seconds in the tortures."""


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    """The processes that tortures start find what `scripts/torture.py` would show them."""
    paths = [str(SCRIPTS.parent / "server"), str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in torture.names() if torture.environment_of(name) == "server"])
def test_short_run(name, tmp_path, monkeypatch):
    """A short run shows that nothing hangs: how fast all is, is measured by a full one on an idle machine."""
    module = importlib.import_module(torture.module_of(name))
    for part in (module, importlib.import_module("tortures.support.wrong_requests")):
        for limit in LIMITS & vars(part).keys():
            monkeypatch.setattr(part, limit, 20 * getattr(part, limit))
    passed, line = module.run(random.Random(f"1/{name}"), module.SHORT, tmp_path)
    assert passed, line


def test_a_torture_that_fails_gives_its_exit_code_and_says_so(tmp_path, monkeypatch, capfd):
    group = tmp_path / "tortures" / "files"
    group.mkdir(parents=True)
    (tmp_path / "tortures" / "__init__.py").touch()
    (group / "__init__.py").touch()
    (group / "broken.py").write_text("def run(rng, rounds, folder):\n    return rounds == 3, 'told'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(torture, "MODULES", tmp_path / "tortures")
    for known in [name for name in sys.modules if name.startswith("tortures")]:
        monkeypatch.delitem(sys.modules, known)
    assert torture.run_here("broken", "1", "3") == 0
    assert torture.run_here("broken", "1", "") == 1
    assert [line.split(" (")[0] for line in capfd.readouterr().out.splitlines()] == [
        "passed  broken: told",
        "FAILED  broken: told",
    ]

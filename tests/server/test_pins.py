"""The server's packages are pinned with the hashes of their files, and nothing else is installed."""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import package_index
import pytest
from packaging.requirements import Requirement

from core import installation

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "server"))

import renew_pins  # noqa: E402


def needed():
    """Name and version of all that the server's requirements need in this environment, as its packages say."""
    waiting = [Requirement(name) for name in renew_pins.wanted(ROOT / "server" / "requirements.txt")]
    found = {}
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("_", "-").replace(".", "-")
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        here = importlib.metadata.distribution(wanted.name)
        found[name] = here.version
        extras = wanted.extras or {""}
        for text in here.requires or []:
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
                one.marker = None
                waiting.append(one)
    return found


def test_versions_and_hashes_fit_together():
    assert renew_pins.faults() == []


def test_everything_that_the_server_needs_is_in_the_lock():
    locked = renew_pins.pins(installation.LOCK.read_text(encoding="utf-8"))
    theirs = {name: version for name, version in needed().items() if not installation.of_torch(name)}
    assert {name: locked.get(name) for name in theirs} == theirs
    assert not [name for name in locked if installation.of_torch(name)]


def test_a_changed_pin_is_found(tmp_path, monkeypatch):
    text = installation.LOCK.read_text(encoding="utf-8")
    lock = tmp_path / "requirements.lock.txt"
    lock.write_text(text.replace("numba==", "numba==9."), encoding="utf-8")
    monkeypatch.setattr(renew_pins, "LOCK", lock)
    assert any("numba" in fault for fault in renew_pins.faults())
    lock.write_text("\n".join(line for line in text.splitlines() if "--hash" not in line), encoding="utf-8")
    assert any("has no hash" in fault for fault in renew_pins.faults())


@pytest.mark.slow
def test_a_file_that_is_not_the_pinned_one_is_not_installed(tmp_path):
    """Even if the index states the hash of the file that it sends."""
    wheels = package_index.stand_ins(size=1000)
    script = package_index.skeleton(ROOT / "server", tmp_path / "server", wheels)
    lock = [
        f"{name.partition('-')[0]}=={name.split('-')[1]} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"
        for name, data in wheels
        if not name.startswith(("pip", "torch"))
    ]
    script.with_name("requirements.lock.txt").write_text("".join(lock), encoding="utf-8")
    changed = [package_index.wheel("msgspec", size=1001) if name.startswith("msgspec") else (name, data)
               for name, data in wheels]  # fmt: skip
    answers = []
    for served in (changed, wheels):
        index = package_index.Index(*served)
        command = [sys.executable, "-I", str(script), "--device", "cpu", "--python", sys.executable]
        variables = {**os.environ, **index.variables(tmp_path / "cache"), "PYTHONUTF8": "1"}
        done = subprocess.run(
            [*command, "--into", str(tmp_path / "environment")], env=variables, capture_output=True, text=True
        )
        answers.append(done)
        index.close()
    assert answers[0].returncode == 1
    assert "hash" in answers[0].stdout.lower(), answers[0].stdout
    assert answers[1].returncode == 0, answers[1].stdout

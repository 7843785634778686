"""Whether this machine can dream: one answer, from the stamp, the chosen Python, or the running installation."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import bpy
import package_index
import pytest

from addon.backend import installation, launch, main_loop, model_library, readiness, remedies
from addon.backend.client import Ended
from addon.core import installation as environments
from addon.core.installation import Failure

ROOT = Path(__file__).resolve().parents[3]
FLOW_IN = (5, 2)
"""The Blender in which a whole installation runs; it is the same process in each."""


@pytest.fixture
def bare(root, monkeypatch):
    """A rig on a machine on which nothing is installed or chosen."""
    monkeypatch.delenv("DREAMZOOM_SERVER_PYTHON", raising=False)
    return root


def whole(digest=None, device="cpu"):
    """Make the environment look whole; returns its folder."""
    folder = launch.environment_folder()
    python = environments.environment_python(folder)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text("")
    environments.write_stamp(folder, digest or readiness.wanted_digest(launch.code_folder()), device)
    return folder


class TestState:
    def test_nothing_is_installed(self, bare):
        found = readiness.current()
        assert found.state == readiness.NOT_SET_UP and found.error.operator == "dreamzoom.install_server"
        assert not bpy.ops.dreamzoom.generate.poll()
        assert not bpy.ops.dreamzoom.test_server.poll()
        assert not bpy.ops.dreamzoom.refresh_models.poll()
        assert bpy.ops.dreamzoom.create_rig.poll()

    def test_a_half_made_environment_is_not_taken_for_whole(self, bare):
        folder = whole()
        (folder / environments.STAMP).unlink()
        found = readiness.current()
        assert (found.state, found.failure.cause) == (readiness.BROKEN, environments.INTERRUPTED)
        assert launch.server_python() is None
        assert not bpy.ops.dreamzoom.generate.poll()

    def test_a_whole_one_is_ready(self, bare):
        whole()
        assert readiness.current().state == readiness.READY
        assert bpy.ops.dreamzoom.generate.poll()

    def test_other_packages_are_wanted(self, bare):
        whole("another digest")
        assert readiness.current().state == readiness.OUTDATED
        assert not bpy.ops.dreamzoom.generate.poll()

    def test_its_python_is_gone(self, bare):
        environments.environment_python(whole()).unlink()
        assert readiness.current().state == readiness.BROKEN

    def test_why_it_failed_is_known_after_a_restart(self, bare):
        told = Failure(environments.TLS, "the packages could not be found", "self-signed certificate")
        environments.write_failure(launch.environment_folder(), told)
        assert readiness.current().failure == told

    @pytest.mark.parametrize(
        ("lines", "broken"),
        [(("ModuleNotFoundError: No module named 'scipy'",), True), (("MemoryError",), False), ((), False)],
    )
    def test_a_server_that_lacks_a_package_is_broken(self, bare, lines, broken):
        whole()
        installation.note_end(Ended(1, "it ended", lines))
        assert (readiness.current().state == readiness.BROKEN) == broken

    def test_current_takes_no_time(self, bare):
        whole()
        before = time.thread_time()
        for _ in range(100):
            readiness.current()
        assert time.thread_time() - before < 10


class TestChosenPython:
    def answers(self):
        """What each place says about the server's Python."""
        error = readiness.current().error
        generating = None
        try:
            from addon.jobs import generation

            generation.generate(bpy.context.scene.dreamzoom.rig, bpy.context.scene, bpy.context.view_layer)
        except Exception as caught:
            generating = str(caught)
        return {str(error), generating}, error

    @pytest.mark.parametrize("kind", ["missing", "folder", "no python", "another version", "without packages"])
    def test_a_wrong_one_gets_one_answer_everywhere(self, bare, monkeypatch, tmp_path, kind):
        chosen = tmp_path / "python 中文"
        if kind == "folder":
            chosen.mkdir()
        elif kind != "missing":
            told = json.dumps(["3.8", []] if kind == "another version" else ["3.11", ["torch"]])
            chosen.write_text(f"#!/bin/sh\necho '{told}'\n" if kind != "no python" else "#!/bin/sh\necho hello\n")
            chosen.chmod(0o755)
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", str(chosen))
        told, error = self.answers()
        assert len(told) == 1
        assert readiness.current().state == readiness.WRONG_PYTHON
        assert str(chosen) in str(error) and error.operator == "dreamzoom.choose_python"
        reason = {
            "missing": "does not exist",
            "folder": "is a folder",
            "no python": "is no Python",
            "another version": "Python 3.8",
            "without packages": "torch",
        }
        assert reason[kind] in str(error)
        assert not bpy.ops.dreamzoom.generate.poll()

    def test_the_right_one_is_ready(self, bare, monkeypatch, server_python):
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
        assert readiness.is_ready()
        assert not bpy.ops.dreamzoom.install_server.poll()  # it would not be used


class TestRemedies:
    @pytest.mark.parametrize("cause", environments.CAUSES)
    def test_every_cause_has_one_that_can_be_pressed(self, dreamzoom, cause):
        remedy = remedies.of(Failure(cause, "a message", bytes=5_000_000_000))
        assert remedy.title and (remedy.text or remedy.operator)
        if remedy.operator:
            category, name = remedy.operator.split(".")
            assert getattr(getattr(bpy.ops, category), name).get_rna_type()

    def test_how_much_to_free_is_told(self, dreamzoom):
        assert "5.0 GB" in remedies.of(Failure(environments.DISK_FULL, "full", bytes=5_000_000_000)).text


class TestDiffusion:
    def test_without_a_model_generate_is_off_and_says_why(self, bare):
        whole()
        bare.dreamzoom.engine = "diffusion"
        model_library.library.entries = []
        assert "picture model" in model_library.missing("", "")
        assert not bpy.ops.dreamzoom.generate.poll()
        model_library.library.entries = [{"name": "a", "use": "picture", "reason": ""}]
        assert "depth model" in model_library.missing("", "")
        assert not bpy.ops.dreamzoom.generate.poll()
        bare.dreamzoom.diffusion.depth_model = "some/folder"
        assert bpy.ops.dreamzoom.generate.poll()
        bare.dreamzoom.engine = "procedural"
        model_library.library.entries = []
        assert bpy.ops.dreamzoom.generate.poll()


@pytest.mark.slow
@pytest.mark.skipif(bpy.app.version[:2] != FLOW_IN, reason=f"one Blender is enough: {FLOW_IN[0]}.{FLOW_IN[1]}")
@pytest.mark.skipif(shutil.which("python3.11") is None and sys.version_info[:2] != (3, 11), reason="no Python 3.11")
def test_install_fails_goes_on_is_stopped_and_ends_ready(bare, monkeypatch, tmp_path):
    wheels = package_index.stand_ins()
    index = package_index.Index(*wheels)
    script = package_index.skeleton(ROOT / "server", tmp_path / "中文 server", wheels)
    monkeypatch.setattr(launch, "code_folder", lambda: script.parent)
    closed = package_index.Index()
    closed.close()
    for variables, until in (
        (closed.variables(tmp_path / "cache"), lambda: installation.state.running is None),
        (index.variables(tmp_path / "cache"), lambda: installation.state.running.standing.get("done", 0) > 0),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        index.seconds_per_chunk = 0.01
        installation.start()
        assert readiness.current().state == readiness.INSTALLING
        pump(until)
        if installation.state.running is None:
            failure = readiness.current().failure
            assert failure.cause == environments.NO_NETWORK and "refused" in failure.detail
            assert "refused" in installation.log_text()
    installation.stop()
    assert readiness.current().failure.cause == environments.INTERRUPTED
    index.seconds_per_chunk = 0.0
    installation.start()
    pump(lambda: installation.state.running is None)
    assert readiness.current().state == readiness.READY, installation.log_text()[-3000:]
    assert os.access(launch.server_python(), os.X_OK)
    index.close()


def pump(until, seconds=240):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, installation.log_text()[-3000:]
        main_loop.pump()
        time.sleep(0.02)

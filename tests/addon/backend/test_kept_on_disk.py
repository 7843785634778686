"""What Dreamzoom keeps on disk, listed and removed from the preferences, with the real server."""

import time

import bpy
import pytest

from addon.backend import job_folders, machine_report, main_loop
from addon.backend.connection import connection


@pytest.fixture
def jobs(dreamzoom, server_python, monkeypatch, tmp_path):
    """A folder with one job in it, the only place where jobs are looked for."""
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    monkeypatch.setattr(job_folders, "places", lambda: [str(tmp_path)])
    (tmp_path / "one" / "stages").mkdir(parents=True)
    (tmp_path / "one" / "request.json").write_text("{}")
    yield tmp_path
    machine_report.forget_kept()


def wait():
    until = time.monotonic() + 120
    while machine_report.kept.is_running:
        assert time.monotonic() < until
        main_loop.pump()
        connection.wait(0.05)


def listed():
    assert machine_report.kept.error is None
    return [one["path"] for one in machine_report.kept.found if one["kind"] == "job"]


def test_a_job_is_listed_removed_and_gone(jobs):
    assert bpy.ops.dreamzoom.find_kept() == {"FINISHED"}
    assert not bpy.ops.dreamzoom.find_kept.poll()
    wait()
    assert listed() == [str(jobs / "one")]
    bpy.ops.dreamzoom.remove_kept(path=str(jobs / "one"))
    wait()
    assert listed() == []
    assert not (jobs / "one").exists()


def test_what_is_not_listed_is_not_removed(jobs):
    bpy.ops.dreamzoom.remove_kept(path=str(jobs))
    wait()
    assert "must be one of those" in str(machine_report.kept.error)
    assert (jobs / "one").is_dir()

"""A job on a machine that does not see the job folder: the real server there, and the operators as ever."""

import contextlib
import os
import signal
import subprocess
import time

import bpy
import numpy as np
import pytest
from distant_server import ROOT, distant

from addon import rig
from addon.backend import current_job, main_loop, preferences
from addon.backend.connection import connection
from addon.jobs import remote
from addon.ui.panels import jobs as panel

pytestmark = pytest.mark.slow


@pytest.fixture
def connect(server_python, tmp_path, monkeypatch):
    """Chooses the connection, as the artist chooses the server's command. The far machine's root lasts for the test."""
    if not distant.can_change_root():
        pytest.skip("no process can have a root of its own here: that needs Linux, unshare and user namespaces")
    far = tmp_path / "far"
    far.mkdir()

    def choose(*options):
        words = distant.server_command(server_python, far, *options)
        monkeypatch.setitem(preferences.DEFAULTS, "server_command", " ".join(words))
        return far

    return choose


@pytest.fixture
def flight(root, tmp_path):
    """A rig of three levels with a photo, whose job takes seconds."""
    bpy.ops.dreamzoom.level_remove()
    root.dreamzoom.quality, root.dreamzoom.size = "draft", 64
    root.dreamzoom.job_folder = str(tmp_path / "job")
    photo = bpy.data.images.new("photo", 512, 288)
    photo.pixels.foreach_set(np.random.default_rng(1).random(512 * 288 * 4, np.float32))
    photo.filepath_raw, photo.file_format = str(tmp_path / "photo.png"), "PNG"
    photo.save()
    root.dreamzoom.levels[0].image = str(tmp_path / "photo.png")
    return root


def arrived(folder):
    """The sizes of what has arrived of files on their way."""
    return [path.stat().st_size for path in folder.glob(".receiving-*")]


def run_to_the_end(seconds=300, cut=lambda: False):
    """Pump until no job is active, and cut the connection when that is asked for; what the panel said meanwhile."""
    until, said = time.monotonic() + seconds, {"statuses": [], "lines": set(), "early": set()}
    while current_job.is_busy():
        assert time.monotonic() < until, f"still {current_job.get()}"
        if connection.client is not None and cut():
            with contextlib.suppress(ProcessLookupError):
                os.kill(connection.client.pid, signal.SIGKILL)
        main_loop.pump()
        time.sleep(0.02)
        job = current_job.get()
        if said["statuses"][-1:] != [job.status]:
            said["statuses"].append(job.status)
        said["lines"] |= {panel.where(), panel.still_to_come(job)}
        if 2 not in job.finished_levels:
            said["early"] |= job.imported_levels
    return current_job.get(), said


def test_the_same_flow_over_a_connection_that_is_cut(flight, connect, server_python, tmp_path):
    far = connect("--rate", 200_000)
    assert bpy.ops.dreamzoom.generate() == {"FINISHED"}
    failed, said = run_to_the_end(cut=lambda: max(arrived(tmp_path / "job"), default=0) > 200_000)
    assert failed.status == "failed" and "was cut" in str(failed.error), failed
    assert (failed.error.remedy, failed.error.operator) == ("Go On", "dreamzoom.go_on")
    assert "sending" in said["statuses"] and any(line.endswith(" sent") for line in said["lines"])
    assert 200_000 < sum(arrived(tmp_path / "job")) < 400_000
    assert not (tmp_path / "job/levels/000/splats.ply").exists()
    photo = next((far / distant.JOBS).glob(".received/*/photo.png")).stat().st_ino

    connect("--rate", 1_000_000)
    assert bpy.ops.dreamzoom.go_on() == {"FINISHED"}
    done, said = run_to_the_end()
    assert (done.status, done.error) == ("done", None)
    assert photo == next((far / distant.JOBS).glob(".received/*/photo.png")).stat().st_ino, "it was not sent again"
    assert 0 in said["early"], "the first level is seen before the last one is here"
    assert any(line.startswith("Runs on ") for line in said["lines"])
    assert any(line.endswith(" fetched") for line in said["lines"])
    for empty in rig.level_empties(flight):
        assert {obj.type for obj in rig.contents(empty)} == {"POINTCLOUD", "MESH"}
    # what is here is the server's, file by file; nothing unfinished is left, and nothing of this machine is there
    home, here = next((far / distant.JOBS).glob("job-*")), tmp_path / "job"
    names = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()} - {".remote.json"}
    assert {"result.json", "request.json", "levels/002/splats.ply", "levels/000/image.png"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert all((here / name).read_bytes() == (home / name).read_bytes() for name in names)
    assert not (far / str(tmp_path)[1:]).exists() and str(tmp_path) not in (home / "request.json").read_text()
    words = [server_python, "-m", "dreamzoom", "verify", str(here)]
    done = subprocess.run(words, env={"PYTHONPATH": str(ROOT / "server")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    # a damaged file is fetched again, a damaged one there is made again; nothing else is done
    for folder, name in ((here, "levels/001/splats.ply"), (home, "levels/000/cloud.ply")):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert bpy.ops.dreamzoom.repair() == {"FINISHED"}
    repaired, said = run_to_the_end()
    assert (repaired.status, repaired.error) == ("done", None)
    assert all((here / name).read_bytes() == (home / name).read_bytes() for name in names)
    assert repaired.transfer.fetched == (here / "levels/001/splats.ply").stat().st_size


def test_a_server_that_sees_the_folder_gets_no_files(flight, server_python, tmp_path, monkeypatch):
    words = f"env PYTHONPATH={ROOT / 'server'} {server_python} -m dreamzoom serve"
    monkeypatch.setitem(preferences.DEFAULTS, "server_command", words)
    bpy.ops.dreamzoom.generate()
    job, until = current_job.get(), time.monotonic() + 100
    while job.transfer is not None:
        assert job.is_active and time.monotonic() < until, job
        main_loop.pump()
        time.sleep(0.02)
    assert job.request_id >= 0 and remote.place(job) == {"out": str(tmp_path / "job")}
    assert not list((tmp_path / "job").glob(".[rh]e*")), "nothing of a transfer is left"
    bpy.ops.dreamzoom.cancel()
    assert run_to_the_end()[0].status == "cancelled"


def test_a_machine_that_is_not_there_is_named(flight, monkeypatch):
    words = "sh -c 'echo Could not resolve hostname gpu-box >&2; exit 255'"
    monkeypatch.setitem(preferences.DEFAULTS, "server_command", words)
    bpy.ops.dreamzoom.generate()
    failed, _ = run_to_the_end(30)
    assert failed.status == "failed"
    assert str(failed.error) == "The server can't be reached: Could not resolve hostname gpu-box"
    assert bpy.ops.dreamzoom.go_on.poll()

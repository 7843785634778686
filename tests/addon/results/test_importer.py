"""Import of job folders that someone else made, or that are damaged: one clear error, nothing of it in the scene."""

import json
import os
import time

import bpy
import numpy as np
import pytest

from addon import rig
from addon.backend import current_job, job_folders, main_loop
from addon.core.errors import DreamzoomError
from addon.core.safety import limits
from addon.results import importer

GOOD = {"version": 1, "zoom_factor": 2.0}
SPLATS = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", *[f"scale_{k}" for k in range(3)])
SPLATS += tuple(f"rot_{k}" for k in range(4))


def entries(count=4):
    return [{"index": k, "cloud": f"levels/{k}/cloud.ply", "splats": f"levels/{k}/splats.ply"} for k in range(count)]


@pytest.fixture
def job(root, tmp_path):
    """A rig of four levels with the folder of a job, whose files are there."""
    folder = tmp_path / "job"
    points = np.zeros(20, [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")])
    surfels = np.zeros(20, [(name, "<f4") for name in SPLATS])
    surfels["rot_0"], surfels["opacity"], surfels["x"] = 1, 3, np.arange(20)
    for entry in entries():
        (folder / entry["cloud"]).parent.mkdir(parents=True)
        write_ply(folder / entry["cloud"], points)
        write_ply(folder / entry["splats"], surfels)
    (folder / "request.json").write_text("{}")
    root.dreamzoom.job_folder = str(folder)
    write_result(folder)
    return folder


def write_ply(path, table):
    kinds = {"f4": "float", "u1": "uchar"}
    lines = [f"property {kinds[kind[1:]]} {name}" for name, kind in table.dtype.descr]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}", *lines, "end_header", ""]
    path.write_bytes("\n".join(header).encode() + table.tobytes())


def write_result(folder, levels=None, **values):
    found = GOOD | {"levels": levels or entries()} | values
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")


def import_it():
    """Press Import and wait; the job as it ended, and the longest time that Blender was kept from drawing."""
    bpy.ops.dreamzoom.import_job()
    longest, until = 0.0, time.monotonic() + 60
    while current_job.is_busy():
        assert time.monotonic() < until
        began = time.thread_time()
        main_loop.pump()
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.01)
    return current_job.get(), longest


def contents(root):
    return [obj for empty in rig.level_empties(root) for obj in rig.contents(empty)]


def test_a_good_one(root, job):
    done, _ = import_it()
    assert (done.status, done.error) == ("done", None)
    assert len(contents(root)) >= 8


def test_what_was_guessed_in_the_artists_files_stays_with_the_rig(root, job):
    """Lines of a foreign result stay lines: none can pass for another."""
    picture = {"level": 0, "field": "levels[0].image", "text": "a.jpg: cropped to 48×32"}
    write_result(job, notes=[picture, {"level": None, "field": "prompt", "text": "x\nforged \u202eline"}, 7, {}])
    done, _ = import_it()
    assert done.status == "done"
    assert root.dreamzoom.notes.split("\n") == ["0: a.jpg: cropped to 48×32", "x forged line"]
    write_result(job)
    assert import_it()[0].status == "done"
    assert root.dreamzoom.notes == ""


def changed(**values):
    return [entry | values if entry["index"] == 1 else entry for entry in entries()]


BAD = {
    "text for the zoom factor": {"zoom_factor": "2"},
    "a list for the zoom factor": {"zoom_factor": [2.0]},
    "another zoom factor": {"zoom_factor": 3.0},
    "truth for the zoom factor": {"zoom_factor": True},
    "an endless zoom factor": {"zoom_factor": 1e308},
    "NUL in a name": {"levels": changed(cloud="levels/1/cl\0oud.ply")},
    "a name that leads out": {"levels": changed(splats="../../x.ply")},
    "a device": {"levels": changed(splats="NUL")},
    "a long name": {"levels": changed(cloud="x" * 5000)},
    "a number for a name": {"levels": changed(cloud=5)},
    "a level twice": {"levels": changed(index=0)},
    "truth for an index": {"levels": changed(index=True)},
    "a level too few": {"levels": entries(3)},
    "a level that is a list": {"levels": [[]] * 4},
    "thousands of levels": {"levels": entries(5000)},
    "a file that is not there": {"levels": changed(splats="levels/1/gone.ply")},
    "a folder for a file": {"levels": changed(splats="levels/1")},
    "another kind of file": {"levels": changed(cloud="request.json")},
    "a version of the future": {"version": 99},
    "a version that is none": {"version": [1]},
    "a prompt that is none": {"levels": changed(prompt=5)},
    "a count below zero": {"levels": changed(points=-1)},
    "hashes that are none": {"files": {"x": 5}},
}


@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
def test_a_malformed_result_is_one_error(root, job, values):
    write_result(job, **values)
    failed, _ = import_it()
    assert failed.status == "failed"
    assert str(failed.error) and "Traceback" not in str(failed.error) and "\n" not in str(failed.error)
    assert failed.error.remedy


TEXTS = {
    "nothing": "",
    "half": '{"levels": [',
    "deep": '{"levels": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "NaN": '{"zoom_factor": NaN, "levels": []}',
    "another encoding": json.dumps(GOOD).encode("utf-16"),
    "half a character": b'{"x": "\xff"}',
    "a number of many digits": '{"zoom_factor": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_is_one_error(root, job, text):
    (job / "result.json").write_bytes(text.encode() if isinstance(text, str) else text)
    failed, _ = import_it()
    assert (failed.status, contents(root)) == ("failed", [])
    assert "result" in str(failed.error)


class TestLarge:
    @pytest.mark.parametrize("piece", [b"[],", b'{"index":0},'], ids=["lists", "levels"])
    def test_eighty_megabytes_do_not_block(self, root, job, piece):
        (job / "result.json").write_bytes(b'{"levels":[' + piece * (80_000_000 // len(piece)) + b"1]}")
        failed, longest = import_it()
        assert failed.status == "failed"
        assert longest < 1  # its JSON alone takes several

    def test_beyond_the_limit_nothing_is_read(self, root, job):
        with (job / "result.json").open("wb") as file:
            file.truncate(limits.RESULT_BYTES + 1)
        failed, _ = import_it()
        assert "at most" in str(failed.error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
class TestWhatIsNoFile:
    def test_a_loop_of_links(self, root, job):
        (job / "levels/1/splats.ply").unlink()
        (job / "levels/1/splats.ply").symlink_to("splats.ply")
        self.refused("link")

    def test_a_link_to_another_file(self, root, job, tmp_path):
        (job / "levels/1").rename(tmp_path / "elsewhere")
        (job / "levels/1").symlink_to(tmp_path / "elsewhere")
        self.refused("link")

    def test_a_pipe(self, root, job):
        (job / "levels/1/cloud.ply").unlink()
        os.mkfifo(job / "levels/1/cloud.ply")
        self.refused("pipe")

    def test_a_result_that_is_a_pipe(self, root, job):
        (job / "result.json").unlink()
        os.mkfifo(job / "result.json")
        with pytest.raises(DreamzoomError, match="pipe"):
            importer.read_result(job)

    def refused(self, why):
        failed, _ = import_it()
        assert failed.status == "failed"
        assert why in str(failed.error)


def test_an_error_of_ours_fails_the_job_and_does_not_end_it_as_done(root, job, monkeypatch):
    monkeypatch.setattr(importer.splats, "import_cloud", lambda *_: 1 / 0)
    failed, _ = import_it()
    assert failed.status == "failed"
    assert "ZeroDivisionError" in str(failed.error)


class TestFolder:
    def test_polls_do_not_look_at_the_disk(self, root, job, monkeypatch):
        looks = []
        monkeypatch.setattr(job_folders.FolderState, "_look", lambda self: looks.append(time.monotonic()))
        monkeypatch.setattr(job_folders, "_states", {})
        for _ in range(50):
            assert bpy.ops.dreamzoom.import_job.poll() and bpy.ops.dreamzoom.open_job_folder.poll()
        time.sleep(0.05)
        assert len(looks) == 1

    def test_a_folder_without_a_result_is_told_after_a_moment(self, root, job, monkeypatch):
        monkeypatch.setattr(job_folders, "_states", {})
        (job / "result.json").unlink()
        until = time.monotonic() + 20
        while bpy.ops.dreamzoom.import_job.poll():
            assert time.monotonic() < until
            time.sleep(0.02)
        assert bpy.ops.dreamzoom.open_job_folder.poll()

    @pytest.mark.parametrize("kind", ["file", "empty folder", "program", "nothing", "address"])
    def test_only_a_job_is_handed_to_the_system(self, root, job, tmp_path, kind):
        place = tmp_path / kind
        if kind == "file":
            place.write_text("x")
        elif kind == "empty folder":
            place.mkdir()
        elif kind == "program":
            place = tmp_path / "x.app"
            place.mkdir()
            (place / "request.json").write_text("{}")
        root.dreamzoom.job_folder = "https://example.org/x" if kind == "address" else str(place)
        with pytest.raises(DreamzoomError):
            job_folders.check_can_open(job_folders.of_rig(root))

    def test_a_job_is(self, root, job):
        job_folders.check_can_open(job_folders.of_rig(root))

    def test_a_share_of_another_machine_is_not_looked_at(self, monkeypatch):
        monkeypatch.setattr(job_folders.os, "name", "nt")
        assert not job_folders.is_trusted_place(r"\\machine\share\job")
        assert job_folders.is_trusted_place(r"C:\jobs\job")


def test_a_level_whose_splats_are_damaged_leaves_nothing(root, job):
    """Also not its points, which come first."""
    path = job / entries()[1]["splats"]
    path.write_bytes(path.read_bytes()[:-1])
    before = {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "pointclouds")}
    done, _ = import_it()
    assert done.status == "failed" and "Level 1" in str(done.error)
    assert [len(rig.contents(empty)) for empty in rig.level_empties(root)] == [2, 0, 0, 0]
    assert len(bpy.data.objects) == before["objects"] + 2

"""A whole job as the artist has it: the operators, the real server, and `pump` in the timer's place."""

import json
import shutil
import time

import bpy
import pytest

from addon import rig
from addon.backend import current_job, job_folders, main_loop
from addon.backend.connection import connection
from addon.core import camera_files, formats
from addon.core.errors import DreamzoomError
from addon.jobs import generation


@pytest.fixture
def small(root, server_python, monkeypatch, tmp_path):
    """A rig whose job takes seconds."""
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    while len(root.dreamzoom.levels) > 2:
        bpy.ops.dreamzoom.level_remove()
    root.dreamzoom.quality, root.dreamzoom.size = "draft", 64
    root.dreamzoom.job_folder = str(tmp_path / "job")
    return root


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("finished") / "job"


@pytest.fixture
def finished(small, finished_folder, tmp_path):
    """The same with its job done: the server finds every step finished. The first test does it for all."""
    if not finished_folder.is_dir():
        small.dreamzoom.import_when_done = False
        bpy.ops.dreamzoom.generate()
        assert pump_to_the_end().status == "done"
        shutil.copytree(tmp_path / "job", finished_folder)
        small.dreamzoom.import_when_done = True
        current_job.clear()
    else:
        shutil.copytree(finished_folder, tmp_path / "job")
    return small


def pump_until(condition, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"still {current_job.get()}"
        main_loop.pump()
        connection.wait(0.05)


def pump_to_the_end():
    pump_until(lambda: not current_job.is_busy())
    return current_job.get()


class TestGenerate:
    def test_prompts_to_objects(self, finished, tmp_path):
        assert bpy.ops.dreamzoom.generate() == {"FINISHED"}
        assert not bpy.ops.dreamzoom.generate.poll()
        done = pump_to_the_end()
        assert (done.status, done.fraction, done.error) == ("done", 1.0, None)
        assert (tmp_path / "job/result.json").is_file()
        for level, empty in enumerate(rig.level_empties(finished)):
            kinds = {obj.type for obj in rig.contents(empty)}
            assert kinds == {"POINTCLOUD", "MESH"}, level
        assert finished.dreamzoom.points_collection.hide_render

    def test_importing_again_replaces(self, finished):
        bpy.ops.dreamzoom.import_job()
        pump_to_the_end()
        before = len(bpy.data.objects), len(bpy.data.meshes)
        assert bpy.ops.dreamzoom.import_job() == {"FINISHED"}
        assert pump_to_the_end().status == "done"
        assert (len(bpy.data.objects), len(bpy.data.meshes)) == before

    def test_a_damaged_file_is_not_imported_and_a_button_repairs_it(self, finished, tmp_path):
        path = tmp_path / "job/levels/001/splats.ply"
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        bpy.ops.dreamzoom.import_job()
        failed = pump_to_the_end()
        assert (failed.status, failed.error.operator) == ("failed", "dreamzoom.repair")
        assert "levels/001/splats.ply" in str(failed.error)
        assert bpy.ops.dreamzoom.repair() == {"FINISHED"}
        repaired = pump_to_the_end()
        assert (repaired.status, repaired.error) == ("done", None)
        assert path.read_bytes() == before
        assert {obj.type for obj in rig.contents(rig.level_empties(finished)[1])} == {"POINTCLOUD", "MESH"}

    def test_import_can_be_left_to_the_button(self, finished):
        finished.dreamzoom.import_when_done = False
        bpy.ops.dreamzoom.generate()
        assert pump_to_the_end().status == "done"
        assert not any(rig.contents(empty) for empty in rig.level_empties(finished))
        assert bpy.ops.dreamzoom.import_job.poll()

    def test_pump_takes_milliseconds(self, finished):
        finished.dreamzoom.import_when_done = False
        bpy.ops.dreamzoom.generate()
        took = []
        while current_job.is_busy():
            before = time.thread_time()
            main_loop.pump()
            took.append(time.thread_time() - before)
            connection.wait(0.02)
        # garbage of the whole of Blender is collected in one of them now and then
        assert len(took) > 20 and sorted(took)[int(len(took) * 0.9)] < 0.016


class TestExportForViewers:
    def test_a_finished_flight_becomes_one_file_in_the_background(self, finished, tmp_path):
        out = tmp_path / "flight.ply"
        assert bpy.ops.dreamzoom.export_for_viewers(filepath=str(out), rounds=1) == {"FINISHED"}
        assert current_job.is_busy() and not bpy.ops.dreamzoom.export_for_viewers.poll()
        done = pump_to_the_end()
        assert (done.status, done.error) == ("done", None)
        assert done.outcome.startswith("flight.ply: ") and "dB" in done.outcome
        assert len(formats.read(out).splats) > 1000
        assert len(camera_files.read(tmp_path / "flight.cameras.json").cameras) > 10
        assert not any(rig.contents(empty) for empty in rig.level_empties(finished))

    def test_cancel_leaves_no_file(self, finished, tmp_path):
        folder = tmp_path / "exports"
        folder.mkdir()
        bpy.ops.dreamzoom.export_for_viewers(filepath=str(folder / "flight.ply"), rounds=1000)
        pump_until(lambda: current_job.get().status == "running")
        bpy.ops.dreamzoom.cancel()
        assert pump_to_the_end().status == "cancelled"
        assert not list(folder.iterdir())

    def test_what_is_wrong_is_told(self, finished, tmp_path):
        with pytest.raises(RuntimeError, match="There is no folder"):
            bpy.ops.dreamzoom.export_for_viewers(filepath=str(tmp_path / "gone" / "flight.ply"))
        finished.dreamzoom.job_folder = str(tmp_path / "another")
        pump_until(lambda: not bpy.ops.dreamzoom.export_for_viewers.poll(), 10)  # a thread looks at the disk


class TestTrouble:
    def test_cancel(self, small):
        bpy.ops.dreamzoom.generate()
        pump_until(lambda: current_job.get().status == "running")
        assert bpy.ops.dreamzoom.cancel() == {"FINISHED"}
        assert pump_to_the_end().status == "cancelled"
        assert connection.client.is_alive

    def test_a_killed_server_is_reported_and_generate_goes_on(self, small):
        bpy.ops.dreamzoom.generate()
        pump_until(lambda: current_job.get().status == "running")
        connection.client._process.kill()
        failed = pump_to_the_end()
        assert failed.status == "failed"
        assert "signal 9" in str(failed.error) or "code" in str(failed.error)
        assert "Generate" in failed.error.remedy
        assert bpy.ops.dreamzoom.generate() == {"FINISHED"}
        pump_until(lambda: current_job.get().status == "running")

    def test_a_picture_that_is_none_is_named(self, small, tmp_path):
        picture = tmp_path / "broken.png"
        picture.write_bytes(b"no picture")
        small.dreamzoom.levels[0].image = str(picture)
        bpy.ops.dreamzoom.generate()
        failed = pump_to_the_end()
        assert failed.status == "failed"
        assert "broken.png" in str(failed.error)

    def test_without_an_environment_the_remedy_is_to_install(self, root, monkeypatch):
        monkeypatch.delenv("DREAMZOOM_SERVER_PYTHON", raising=False)
        assert not bpy.ops.dreamzoom.generate.poll()
        with pytest.raises(DreamzoomError) as caught:
            generation.generate(root, bpy.context.scene, bpy.context.view_layer)
        assert caught.value.operator == "dreamzoom.install_server"

    def test_a_python_that_is_none(self, small, monkeypatch):
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", "/nowhere/python")
        assert not bpy.ops.dreamzoom.generate.poll()
        with pytest.raises(DreamzoomError, match="/nowhere/python") as caught:
            generation.generate(small, bpy.context.scene, bpy.context.view_layer)
        assert caught.value.operator == "dreamzoom.choose_python"

    def test_a_rig_that_was_deleted_meanwhile(self, finished):
        bpy.ops.dreamzoom.generate()
        bpy.data.objects.remove(finished)
        assert pump_to_the_end().status == "done"

    def test_another_file_opened_meanwhile(self, finished):
        bpy.ops.dreamzoom.generate()
        bpy.ops.wm.read_homefile(app_template="", use_empty=True)
        assert pump_to_the_end().status == "done"


class TestImport:
    def test_a_result_that_points_out_of_its_folder_is_refused(self, small, tmp_path):
        folder = tmp_path / "job"
        folder.mkdir()
        entry = {"index": 0, "cloud": "../../etc/passwd", "splats": "x.ply"}
        result = {"version": 1, "zoom_factor": 2.0, "levels": [entry, entry | {"index": 1}]}
        (folder / "result.json").write_text(json.dumps(result))
        bpy.ops.dreamzoom.import_job()
        failed = pump_to_the_end()
        assert failed.status == "failed"
        assert "outside" in str(failed.error)

    def test_a_broken_result_is_refused(self, small, tmp_path):
        (tmp_path / "job").mkdir()
        for text in ("", "[]", "{}", '{"levels": []}', '{"levels": [{}, {}]}', '{"levels": [1, 2]}'):
            (tmp_path / "job/result.json").write_text(text)
            if bpy.ops.dreamzoom.import_job() == {"FINISHED"}:
                pump_to_the_end()
            assert current_job.get().status == "failed", text
            assert not any(rig.contents(empty) for empty in rig.level_empties(small))


class TestFolder:
    def test_lies_beside_a_saved_file(self, root, tmp_path):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        folder = job_folders.ensure(root)
        assert folder.is_relative_to(tmp_path) and folder.is_dir()
        assert root.dreamzoom.job_folder.startswith("//")

    def test_of_a_copied_rig_is_another(self, root):
        first = job_folders.ensure(root)
        copy = root.copy()
        bpy.context.scene.collection.objects.link(copy)
        assert job_folders.ensure(copy) != first
        assert job_folders.ensure(root) == first

"""A job belongs to its rig: its state is shown there alone, several wait in turn, and it is found again."""

import json

import bpy
import pytest

from addon import rig
from addon.backend import current_job, job_folders, main_loop
from addon.backend.connection import connection
from addon.jobs import generation, importing
from addon.results import importer
from addon.ui.panels import jobs

from .test_job import pump_until


@pytest.fixture
def two(dreamzoom, server_python, monkeypatch, tmp_path):
    """Two rigs of one level, each with a job of a second or so."""
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    rigs = []
    for name in ("first", "second"):
        bpy.ops.dreamzoom.create_rig(levels=1, frames_per_level=2)
        root = bpy.context.view_layer.objects.active
        root.name, root.dreamzoom.levels[0].prompt = name, "a forest"
        root.dreamzoom.quality, root.dreamzoom.size = "draft", 64
        root.dreamzoom.job_folder = str(tmp_path / name)
        rigs.append(root)
    return rigs


def press(root):
    bpy.context.view_layer.objects.active = root
    assert bpy.ops.dreamzoom.generate() == {"FINISHED"}
    return current_job.of_rig(root.session_uid)


class TestSeveral:
    def test_wait_in_turn_and_each_keeps_its_own_state(self, two):
        first, second = two
        one, other = press(first), press(second)
        assert (one.status, other.status) == ("starting", "queued")
        assert not bpy.ops.dreamzoom.generate.poll()  # the second is active, and has its job
        assert jobs.activity(other) and jobs._whose(other).startswith("second")
        pump_until(lambda: not one.is_active)
        assert one.status == "done" and other.is_active
        assert rig.contents(rig.level_empties(first)[0]) and not rig.contents(rig.level_empties(second)[0])
        pump_until(lambda: not other.is_active)
        assert other.status == "done" and rig.contents(rig.level_empties(second)[0])

    def test_a_waiting_one_can_be_cancelled_and_the_running_one_goes_on(self, two):
        one, other = press(two[0]), press(two[1])
        bpy.ops.dreamzoom.cancel()
        assert (other.status, one.is_active) == ("cancelled", True)
        bpy.ops.dreamzoom.cancel(rig_uid=str(two[0].session_uid))
        pump_until(lambda: not one.is_active)
        assert one.status == "cancelled"

    def test_dismissing_forgets_only_its_own(self, two):
        for root in two:
            current_job.refuse(importing.DreamzoomError("no"), root.session_uid)
        bpy.context.view_layer.objects.active = two[0]
        bpy.ops.dreamzoom.dismiss()
        assert current_job.of_rig(two[0].session_uid) is None
        assert current_job.of_rig(two[1].session_uid).status == "failed"


class TestProgress:
    def test_the_bar_never_falls_from_the_capture_to_the_import(self, two):
        scene, root = bpy.context.scene, two[0]
        job = generation.generate(root, scene, bpy.context.view_layer, seconds=0.0)
        current_job.get()
        totals = []
        while job.is_active:
            totals.append(job.total)
            main_loop.pump()
            connection.wait(0.05)
        totals.append(job.total)
        assert totals == sorted(totals) and totals[-1] == 1.0 and job.status == "done"
        assert any(0 < total < 0.03 for total in totals)

    def test_time_left_counts_down(self, dreamzoom):
        job = current_job.Job(1, job_folders.NONE, False, status="running")
        generation._take_progress(job, {"fraction": 0.5, "seconds_left": 30.0})
        assert 29 < job.seconds_left <= 30 and "30 s" in jobs.time_left(job)
        job.ends_at -= 10
        assert 19 < job.seconds_left <= 20
        job.ends_at -= 100
        assert job.seconds_left is None and jobs.time_left(job) == ""


class TestFoundAgain:
    def test_a_job_whose_rig_was_removed_says_so(self, two):
        job = press(two[0])
        bpy.data.objects.remove(two[0])
        pump_until(lambda: not job.is_active)
        assert job.status == "done" and importing.rig_of(job) is None
        assert job in jobs._others(bpy.context) and "first" in jobs._whose(job)
        bpy.ops.dreamzoom.dismiss()
        assert job not in current_job.all_jobs()

    def test_after_its_file_was_opened_again_it_is_the_rig_s_once_more(self, two, tmp_path):
        file = str(tmp_path / "shot.blend")
        bpy.ops.wm.save_as_mainfile(filepath=file)
        job = press(bpy.data.objects["first"])
        uid = job.rig_uid
        bpy.ops.wm.read_homefile(app_template="", use_empty=True)
        assert importing.rig_of(job) is None
        bpy.ops.wm.open_mainfile(filepath=file)
        root = bpy.data.objects["first"]
        assert current_job.of_rig(root.session_uid) is job and root.session_uid != uid
        pump_until(lambda: not job.is_active)
        assert rig.contents(rig.level_empties(root)[0])

    def test_go_on_after_a_crash(self, two, tmp_path):
        """Blender ended in the middle of a job, before the file knew of it."""
        file = str(tmp_path / "shot.blend")
        root = two[0]
        root.dreamzoom.job_folder = ""
        bpy.ops.wm.save_as_mainfile(filepath=file)
        job = press(root)
        pump_until(lambda: job.status == "running")
        connection.client._process.kill()
        pump_until(lambda: not job.is_active)
        folder = job.folder
        current_job.clear()
        bpy.ops.wm.open_mainfile(filepath=file)
        root = bpy.data.objects["first"]
        bpy.context.view_layer.objects.active = root
        root.dreamzoom.levels[0].prompt = ""
        assert root.dreamzoom.job_folder == "" and job_folders.find(root) == folder
        assert bpy.ops.dreamzoom.go_on() == {"FINISHED"}
        job = current_job.of_rig(root.session_uid)
        pump_until(lambda: not job.is_active)
        assert job.status == "done" and rig.contents(rig.level_empties(root)[0])
        assert root.dreamzoom.levels[0].prompt == "a forest"
        assert not bpy.ops.dreamzoom.go_on.poll()

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"levels": 3}', "\0"])
    def test_a_damaged_job_is_refused(self, two, tmp_path, text):
        (tmp_path / "first").mkdir()
        (tmp_path / "first/request.json").write_text(text)
        bpy.context.view_layer.objects.active = two[0]
        assert bpy.ops.dreamzoom.go_on() == {"CANCELLED"}
        assert current_job.of_rig(two[0].session_uid).status == "failed"


class TestLevelStates:
    def test_follow_the_list_and_the_job(self, two):
        from addon.scene import prompt_changes

        root = two[0]
        settings = root.dreamzoom
        states = lambda: prompt_changes.states(settings, current_job.of_rig(root.session_uid))  # noqa: E731
        assert states() == ["missing"]
        job = press(root)
        pump_until(lambda: job.status == "running" and job.level == 0)
        assert states() == ["dreaming"]
        pump_until(lambda: not job.is_active)
        assert states() == ["dreamed"] and settings.levels[0].seconds > 0
        (level,) = importer.read_result(job.folder)["levels"]
        assert level["key"] == settings.levels[0].key > 0
        assert json.loads(settings.dreamed)[1][0][0] == "a forest"
        settings.levels[0].prompt = "a desert"
        assert states() == ["stale"] and prompt_changes.seconds_for(settings, [0]) > 0
        settings.levels[0].prompt = "a forest"
        settings.active_level = -1 + 1
        bpy.ops.dreamzoom.level_add()
        assert states() == ["stale", "missing"]
        bpy.ops.dreamzoom.level_move(direction="UP")
        assert states() == ["missing", "stale"]
        settings.active_level = 0
        bpy.ops.dreamzoom.level_remove()
        assert states() == ["dreamed"]

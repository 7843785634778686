"""The state in each row of the level list is true: of what was dreamed, of what the scene shows, and of the disk."""

import json
import shutil

import bpy
import pytest

from addon import rig
from addon.backend import current_job
from addon.core.protocol import messages
from addon.jobs import importing
from addon.results import level_states, versions
from addon.ui.panels import levels

from ..jobs.test_rig_changes import LEVELS, begin, finish, new_rig, present, pump
from ..ui.drawing import all_drawn


@pytest.fixture
def root(dreamzoom, tmp_path):
    made = new_rig("mine")
    made.dreamzoom.job_folder = str(tmp_path / "job")
    return made


@pytest.fixture
def dreamed(root):
    finish(begin(root))
    return root


def states(root):
    level_states.forget()
    return level_states.of_rig(root, current_job.of_rig(root.session_uid))


def test_every_state_has_an_icon_and_words(dreamed):
    of_work = "missing", "stale", "dreamed", "waiting", "dreaming"
    assert levels.STATES.keys() == {*of_work, "lost", "earlier", "left", "shown"}
    told = "".join(all_drawn()["DREAMZOOM_PT_levels"].texts).replace(" ", "")  # lines are short without a window
    assert "Level0:Dreamed(1sthelasttime)" in told


def by_script(_root, name, level):
    assert bpy.ops.dreamzoom.level_version(version=name, level=level) == {"FINISHED"}


def by_button(root, name, level):
    """As the button does in a window: it is imported once a thread has compared the files with their hashes."""
    version = versions.find(root, name)
    before = rig.contents(rig.level_empties(root)[level])
    job = importing.start_version(root, version, version.index_of(root, level), level)
    assert job.is_active and rig.contents(rig.level_empties(root)[level]) == before
    pump(job)


class TestDisk:
    def test_a_file_that_is_gone(self, dreamed, tmp_path):
        (tmp_path / "job/levels/001/splats.ply").unlink()
        assert states(dreamed) == ["dreamed", "lost", "dreamed"]

    def test_a_result_that_is_gone_or_damaged(self, dreamed, tmp_path):
        (tmp_path / "job/result.json").write_bytes(b"\0")
        assert states(dreamed) == ["lost"] * LEVELS
        (tmp_path / "job/result.json").unlink()
        assert states(dreamed) == ["lost"] * LEVELS

    def test_a_folder_that_was_moved_and_chosen_again(self, dreamed, tmp_path):
        shutil.move(tmp_path / "job", tmp_path / "moved")
        assert states(dreamed) == ["lost"] * LEVELS
        dreamed.dreamzoom.job_folder = str(tmp_path / "moved")
        assert states(dreamed) == ["dreamed"] * LEVELS

    def test_a_folder_that_can_not_be_read(self, dreamed, tmp_path):
        shutil.rmtree(tmp_path / "job")
        (tmp_path / "job").write_bytes(b"")
        assert states(dreamed) == ["lost"] * LEVELS

    def test_a_rig_without_a_folder(self, dreamed):
        dreamed.dreamzoom.job_folder = ""
        assert states(dreamed) == ["lost"] * LEVELS

    def test_after_the_file_was_opened_again(self, dreamed, tmp_path):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        current_job.clear()
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
        assert states(bpy.data.objects["mine"]) == ["dreamed"] * LEVELS


class TestShown:
    def test_a_locked_level_keeps_the_earlier_one(self, dreamed):
        dreamed.dreamzoom.levels[1].lock = True
        assert states(dreamed) == ["dreamed"] * LEVELS
        finish(begin(dreamed), seed=50)
        assert states(dreamed) == ["dreamed", "earlier", "dreamed"]

    @pytest.fixture
    def dreamed_twice(self, dreamed, tmp_path):
        """The first result is kept as a version."""
        shutil.copytree(tmp_path / "job", tmp_path / "kept")
        finish(begin(dreamed), seed=50)
        (tmp_path / "job/versions").mkdir()
        (tmp_path / "kept").rename(tmp_path / "job/versions/0001")
        versions.forget()
        return dreamed

    def test_a_version_and_the_newest_again(self, dreamed_twice):
        dreamed = dreamed_twice
        for use in (by_script, by_button):
            use(dreamed, "0001", 2)
            assert states(dreamed) == ["dreamed", "dreamed", "earlier"] and dreamed.dreamzoom.levels[2].lock
            use(dreamed, "", 2)
            assert states(dreamed) == ["dreamed"] * LEVELS and not dreamed.dreamzoom.levels[2].lock

    def test_undone_and_redone_they_are_those_of_the_objects_that_are_there(self, dreamed_twice):
        """Blender 4.5 to 5.3 keep a list of a collection's objects across an undo that has freed some of them."""
        job = current_job.of_rig(dreamed_twice.session_uid)
        bpy.ops.ed.undo_push(message="newest")
        for _ in range(6):
            by_script(present(job), "0001", 2)
            bpy.ops.ed.undo_push(message="Use Version")
            assert states(present(job)) == ["dreamed", "dreamed", "earlier"]
            bpy.ops.ed.undo()
            assert states(present(job)) == ["dreamed"] * LEVELS
            bpy.ops.ed.redo()
            assert states(present(job)) == ["dreamed", "dreamed", "earlier"]
            bpy.ops.ed.undo()

    def test_a_damaged_version_changes_nothing(self, dreamed, tmp_path):
        told = json.loads((tmp_path / "job/result.json").read_text())
        told["files"] = {told["levels"][2]["splats"]: "0" * 64}
        (tmp_path / "job/result.json").write_text(json.dumps(told))
        versions.forget()
        dreamed.dreamzoom.levels[2].lock = True
        before = rig.contents(rig.level_empties(dreamed)[2])
        by_button(dreamed, "", 2)
        assert current_job.get().status == "failed" and "damaged" in str(current_job.get().error)
        assert rig.contents(rig.level_empties(dreamed)[2]) == before and dreamed.dreamzoom.levels[2].lock

    def test_what_was_not_imported_or_was_deleted(self, root):
        job = begin(root)
        job.import_when_done = False
        finish(job)
        assert states(root) == ["left"] * LEVELS
        bpy.ops.dreamzoom.import_job()
        pump(current_job.get())
        assert states(root) == ["dreamed"] * LEVELS
        rig.remove_content(rig.level_empties(root)[0])
        assert states(root) == ["left", "dreamed", "dreamed"]

    def test_levels_of_a_job_that_was_stopped(self, root):
        job = begin(root)
        finish(job)
        root.dreamzoom.dreamed = ""
        rig.remove_content(rig.level_empties(root)[2])
        current_job.clear()
        assert states(root) == ["shown", "shown", "missing"]


class TestChanges:
    @pytest.mark.parametrize("name", ["seed", "quality", "engine", "size", "zoom_factor"])
    def test_of_the_whole_rig_and_back(self, dreamed, name):
        settings = dreamed.dreamzoom
        before = getattr(settings, name)
        setattr(settings, name, {"quality": "final", "engine": "spectral", "zoom_factor": 3.0}.get(name, 100))
        assert states(dreamed) == ["stale"] * LEVELS
        setattr(settings, name, before)
        assert states(dreamed) == ["dreamed"] * LEVELS

    def test_of_the_picture_s_shape(self, dreamed):
        render = bpy.context.scene.render
        render.resolution_x, render.resolution_y = render.resolution_y, render.resolution_x
        assert states(dreamed) == ["stale"] * LEVELS

    def test_of_a_job_that_failed_or_was_cancelled(self, dreamed):
        dreamed.dreamzoom.seed = 5
        for status in ("failed", "cancelled"):
            job = begin(dreamed)
            assert states(dreamed) == ["waiting"] * LEVELS
            job.level = 1
            assert states(dreamed) == ["waiting", "dreaming", "waiting"]
            job.finish(status)
            assert states(dreamed) == ["stale"] * LEVELS
        dreamed.dreamzoom.seed = 0
        assert states(dreamed) == ["dreamed"] * LEVELS

    @pytest.mark.parametrize("method", [messages.VERIFY, messages.EXPORT])
    def test_a_check_or_an_export_dreams_nothing(self, dreamed, method):
        dreamed.dreamzoom.levels[2].prompt = "other"
        before = states(dreamed)
        assert before[2] == "stale"
        job = current_job.Job(dreamed.session_uid, current_job.of_rig(dreamed.session_uid).folder, True, method=method)
        job.status, job.level, job.levels = "running", 0, LEVELS
        current_job.add(job)
        assert states(dreamed) == before

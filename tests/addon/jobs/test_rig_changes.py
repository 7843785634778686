"""What becomes of a job whose rig is undone, renamed, copied, removed, or lies in another file when it ends: the result
reaches that rig and each of its levels, or waits for it.
"""

import json

import bpy
import pytest

from addon import rig
from addon.backend import current_job, job_folders, main_loop
from addon.core.errors import DreamzoomError
from addon.jobs import generation, importing, undo_steps
from addon.results import importer, level_states, versions
from addon.scene import prompt_changes, request
from addon.ui.panels import jobs

from ..results.test_edits_are_kept import of_level, write_level
from ..ui.drawing import all_drawn

LEVELS = 3


@pytest.fixture
def root(dreamzoom):
    return new_rig("mine")


def new_rig(name):
    bpy.ops.dreamzoom.create_rig(levels=LEVELS, frames_per_level=2)
    root = bpy.context.view_layer.objects.active
    root.name = name
    for index, level in enumerate(root.dreamzoom.levels):
        level.prompt = f"prompt {index}"
    return root


def save(tmp_path, name="shot"):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / f"{name}.blend"))


def reopen(tmp_path, name="shot"):
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{name}.blend"))


def elsewhere():
    bpy.ops.wm.read_homefile(app_template="", use_empty=True)


def begin(root):
    """A job as Generate leaves it while the server works."""
    asked = request.build_request(root, bpy.context.scene, bpy.context.view_layer)
    job = current_job.Job(root.session_uid, job_folders.ensure(root), True, rig_name=root.name, status="running")
    job.request, job.pictures = asked, prompt_changes.note_sent(root.dreamzoom)
    current_job.add(job)
    return job


def finish(job, seed=0, imported=True):
    """What the server leaves on disk and says at the end."""
    levels = []
    for index, level in enumerate(job.request["levels"]):
        write_level(job.folder, index, seed + index)
        names = {kind: f"levels/{index:03d}/{kind}.ply" for kind in ("cloud", "splats")}
        levels.append({"index": index, "prompt": level["prompt"], "key": level["key"]} | names)
    told = {"version": 1, "zoom_factor": job.request["zoom_factor"], "levels": levels}
    (job.folder / "request.json").write_text(json.dumps(job.request))
    (job.folder / "result.json").write_text(json.dumps(told))
    generation._take_result(job, {"seconds": 2.0, "level_seconds": [1.0] * len(levels)})
    if imported:
        pump(job)


def show_live(job, level):
    """The server tells that a level of a running job is finished."""
    for path in (job.folder / f"levels/{level:03d}").glob("*"):
        path.unlink()  # as the server, which writes a new file in the place of one that a branch may share
    write_level(job.folder, level, level)
    job.finished_levels.add(level)
    importing.import_while_running(job)
    while job.importing in main_loop._tasks:
        main_loop.pump()


def pump(job):
    while job.status == "importing":
        main_loop.pump()


def present(job):
    """The rig as it is now, since undo replaces it."""
    return importing.rig_of(job)


def shown(root, folder):
    """For each level of the list, which level of the result it shows."""
    found = []
    for level in range(len(root.dreamzoom.levels)):
        splats = [obj for obj in rig.contents(rig.level_empties(root)[level]) if importer.kind_of(obj) == "splats"]
        stamps = {obj["dreamzoom_source"] for obj in splats}
        files = [path for path in sorted(folder.glob("levels/*/splats.ply")) if importer._stamp(path) in stamps]
        found += [int(path.parent.name) for path in files] or [None]
    return found


class TestUndo:
    @pytest.fixture
    def added(self, root):
        """A level was added after level 0, then Generate pressed."""
        bpy.ops.ed.undo_push(message="rig")
        root.dreamzoom.active_level = 0
        bpy.ops.dreamzoom.level_add()
        bpy.ops.ed.undo_push(message="level")
        return begin(root)

    def test_the_added_level_undone_and_redone_while_the_job_runs(self, added):
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
        assert job_folders.of_rig(present(added)) == added.folder
        finish(added)
        assert shown(present(added), added.folder) == [0, 1, 2, 3]

    def test_undone_for_good_the_others_get_what_is_theirs(self, added):
        bpy.ops.ed.undo()
        assert added.status == "running" and len(present(added).dreamzoom.levels) == LEVELS
        finish(added)
        assert shown(present(added), added.folder) == [0, 2, 3]
        assert current_job.of_rig(present(added).session_uid) is added

    def test_an_import_that_was_undone_can_be_done_again(self, added):
        finish(added)
        bpy.ops.ed.undo_push(message="import")
        bpy.ops.ed.undo()
        root = present(added)
        assert shown(root, added.folder) == [None] * 4 and job_folders.of_rig(root) == added.folder
        assert set(level_states.of_rig(root, added)) == {level_states.LEFT}
        current_job.clear()
        bpy.context.view_layer.objects.active = root
        root.dreamzoom.dreamed = ""
        assert bpy.ops.dreamzoom.import_job() == {"FINISHED"}
        pump(current_job.get())
        assert shown(root, added.folder) == [0, 1, 2, 3]
        assert level_states.of_rig(root, None) == ["dreamed"] * 4

    def test_while_levels_arrive_all_of_them_are_one_step(self, root, monkeypatch):
        """A timer's changes without a step of undo let Blender crash at the next undo."""
        monkeypatch.setattr(undo_steps, "is_wanted", lambda: True)
        bpy.ops.ed.undo_push(message="rig")
        root.dreamzoom.levels[0].prompt = "another"
        bpy.ops.ed.undo_push(message="prompt")
        job = begin(root)
        root.dreamzoom.levels[1].hide = True
        bpy.ops.ed.undo_push(message="hide")
        for arrived in ([0], [1, 2]):
            for level in arrived:
                show_live(job, level)
            assert [level for level in range(LEVELS) if shown(present(job), job.folder)[level] is not None][-1:] == (
                arrived[-1:]
            )
            bpy.ops.ed.undo()
            assert shown(present(job), job.folder) == [None] * LEVELS
            assert present(job).dreamzoom.levels[0].prompt == "another" and present(job).dreamzoom.levels[1].hide
            all_drawn()
        bpy.ops.ed.redo()
        assert shown(present(job), job.folder) == [None, 1, 2]
        finish(job)
        assert shown(present(job), job.folder) == [0, 1, 2] and job.error is None
        assert len(job.made_ready) == len(set(job.made_ready)) > 0, "what was set again is told once"

    def test_a_rig_that_was_deleted_takes_its_result_when_it_is_back(self, root):
        bpy.ops.ed.undo_push(message="rig")
        job = begin(root)
        bpy.data.objects.remove(root)
        bpy.ops.ed.undo_push(message="removed")
        finish(job)
        assert job.status == "done" and jobs._whose(job) == "mine, not in this file"
        bpy.ops.ed.undo()
        pump(job)
        assert shown(present(job), job.folder) == [0, 1, 2] and job.error is None


class TestInTheMiddleOfAnImport:
    @pytest.fixture
    def importing_job(self, root, tmp_path, monkeypatch):
        """One level of three is imported."""
        monkeypatch.setattr(undo_steps, "is_wanted", lambda: True)
        save(tmp_path)
        bpy.ops.ed.undo_push(message="rig")
        root.dreamzoom.levels[1].hide = True
        bpy.ops.ed.undo_push(message="hide")
        job = begin(root)
        finish(job, imported=False)
        while shown(root, job.folder)[0] is None:
            main_loop.pump()
        assert job.status == "importing"
        return job

    def test_an_undo_lets_it_begin_again(self, importing_job):
        bpy.ops.ed.undo()
        assert shown(present(importing_job), importing_job.folder) == [None] * LEVELS
        pump(importing_job)
        assert (importing_job.status, importing_job.error) == ("done", None)
        assert shown(present(importing_job), importing_job.folder) == [0, 1, 2]

    @pytest.mark.parametrize("after", [False, True])
    def test_a_rig_that_is_deleted_gets_all_of_it_when_it_is_back(self, importing_job, after):
        bpy.data.objects.remove(present(importing_job))
        bpy.ops.ed.undo_push(message="removed")
        if after:
            pump(importing_job)
            assert importing_job.status == "done" and importing_job.is_left
        bpy.ops.ed.undo()
        pump(importing_job)
        assert shown(present(importing_job), importing_job.folder) == [0, 1, 2]
        assert (importing_job.status, importing_job.error, importing_job.is_left) == ("done", None, False)

    @pytest.mark.parametrize("saved", [False, True])
    def test_a_file_that_is_opened_again(self, importing_job, tmp_path, saved):
        if saved:
            save(tmp_path)
        reopen(tmp_path)
        bpy.ops.ed.undo_push(message="opened")
        pump(importing_job)
        assert (importing_job.status, importing_job.error) == ("done", None)
        assert shown(present(importing_job), importing_job.folder) == [0, 1, 2]

    def test_another_file_meanwhile(self, importing_job, tmp_path):
        elsewhere()
        bpy.ops.ed.undo_push(message="opened")
        pump(importing_job)
        assert importing_job.status == "done" and importing_job.is_left
        reopen(tmp_path)
        bpy.ops.ed.undo_push(message="opened")
        pump(importing_job)
        assert shown(present(importing_job), importing_job.folder) == [0, 1, 2] and not importing_job.is_left


class TestNames:
    def test_a_new_name_is_shown_and_the_job_stays(self, root):
        job = begin(root)
        root.name = "other"
        assert jobs._whose(job).startswith("other")
        finish(job)
        assert shown(root, job.folder) == [0, 1, 2]

    def test_a_rig_in_no_scene_waits_until_it_is_in_one(self, root):
        job, home = begin(root), root.dreamzoom.collection
        bpy.data.scenes.new("kept")
        bpy.data.scenes.remove(bpy.context.scene)
        finish(job)
        assert shown(root, job.folder) == [None] * LEVELS and jobs._whose(job) == "mine, in no scene"
        assert "mine, in no scene" in all_drawn()["DREAMZOOM_PT_jobs"].texts
        bpy.context.scene.collection.children.link(home)
        generation.take_up()
        pump(job)
        assert shown(root, job.folder) == [0, 1, 2]


class TestFiles:
    def test_a_result_that_came_while_another_file_was_open_is_taken_later(self, root, tmp_path):
        save(tmp_path)
        job = begin(root)
        elsewhere()
        new_rig("mine")
        finish(job)
        assert job.is_left and "mine, not in this file" in all_drawn()["DREAMZOOM_PT_jobs"].texts
        reopen(tmp_path)  # saved before the job: it knows no folder
        pump(job)
        assert shown(present(job), job.folder) == [0, 1, 2] and not job.is_left
        assert level_states.of_rig(present(job), job) == ["dreamed"] * LEVELS

    def test_saved_under_another_name_while_it_runs(self, root, tmp_path):
        save(tmp_path)
        job = begin(root)
        save(tmp_path, "second")
        finish(job)
        assert shown(root, job.folder) == [0, 1, 2]
        assert job_folders.of_rig(root) == job.folder

    @pytest.mark.parametrize("how", ["Shift D", "Duplicate Flight"])
    def test_of_two_copies_the_first_has_the_job_and_keeps_the_folder(self, root, tmp_path, how):
        save(tmp_path)
        job = begin(root)
        (job.folder / "request.json").write_text(json.dumps(job.request))
        if how == "Shift D":
            bpy.ops.object.select_all(action="DESELECT")
            root.select_set(True)
            bpy.ops.object.duplicate()
        else:
            bpy.ops.dreamzoom.duplicate_rig()
        copy = bpy.context.view_layer.objects.active
        copy.name = "a copy"
        assert copy != root and not job_folders.is_stopped(copy) and not bpy.ops.dreamzoom.go_on.poll()
        assert not job_folders.owns_folder(copy) and job_folders.owns_folder(root)
        (tmp_path / "deeper").mkdir()
        save(tmp_path / "deeper")  # its folder is written in another way then
        reopen(tmp_path / "deeper")
        root, copy = bpy.data.objects["mine"], bpy.data.objects["a copy"]
        assert present(job) == root and job_folders.owns_folder(root) and not job_folders.owns_folder(copy)
        assert job_folders.ensure(root) == job.folder and job_folders.ensure(copy) != job.folder

    def test_an_appended_rig_shows_the_other_s_result_and_writes_elsewhere(self, root, tmp_path):
        save(tmp_path)
        job = begin(root)
        finish(job)
        bpy.ops.wm.save_mainfile()
        elsewhere()
        (tmp_path / "deeper").mkdir()
        save(tmp_path / "deeper", "other")
        bpy.ops.wm.append(directory=str(tmp_path / "shot.blend/Object"), filename="mine")
        appended = bpy.data.objects["mine"]
        assert job_folders.of_rig(appended) == job.folder and not job_folders.owns_folder(appended)
        versions.forget()
        assert [version.name for version in versions.of_rig(appended)] == [""]
        assert job_folders.ensure(appended) != job.folder and job_folders.owns_folder(appended)

    def test_a_linked_rig_never_gets_a_job(self, root, tmp_path):
        save(tmp_path)
        job = begin(root)
        bpy.ops.wm.save_mainfile()
        elsewhere()
        save(tmp_path, "other")
        with bpy.data.libraries.load(str(tmp_path / "shot.blend"), link=True) as (_, wanted):
            wanted.objects = ["mine"]
        linked = bpy.data.objects["mine"]
        bpy.context.scene.collection.objects.link(linked)
        bpy.ops.wm.save_mainfile()
        reopen(tmp_path, "other")
        linked = bpy.data.objects["mine"]
        assert linked.library is not None and present(job) is None
        assert job_folders.of_rig(linked) == job.folder  # seen from the library's file
        assert "mine, not in this file" in all_drawn()["DREAMZOOM_PT_jobs"].texts


class TestMessages:
    def test_a_job_of_another_rig_that_failed_says_so_until_it_is_closed(self, root):
        other = new_rig("other")
        for one in (root, other):
            current_job.refuse(DreamzoomError(f"{one.name} failed", "Try again"), one.session_uid)
        bpy.context.view_layer.objects.active = other
        told = "".join(all_drawn()["DREAMZOOM_PT_jobs"].texts).replace(" ", "")  # lines are short without a window
        assert "minefailed" in told and "Tryagain" in told and "otherfailed" not in told
        bpy.ops.dreamzoom.dismiss(rig_uid=str(root.session_uid))
        assert [job.rig_uid for job in current_job.all_jobs()] == [other.session_uid]

    def test_a_waiting_job_whose_rig_is_gone_can_be_stopped_alone(self, root):
        running, waiting = begin(root), begin(new_rig("other"))
        waiting.status = "queued"
        bpy.data.objects.remove(bpy.data.objects["other"])
        assert "other, not in this file" in all_drawn()["DREAMZOOM_PT_jobs"].texts
        bpy.ops.dreamzoom.cancel(rig_uid=str(waiting.rig_uid))
        assert (running.status, waiting.status) == ("running", "cancelled")


class TestKeys:
    def test_levels_of_an_old_file_get_the_same_keys_whenever_it_is_opened(self, root, tmp_path):
        for item in root.dreamzoom.levels:
            item.key = 0
        save(tmp_path)
        for _ in range(2):
            reopen(tmp_path)
            assert [item.key for item in bpy.data.objects["mine"].dreamzoom.levels] == [1, 2, 3]

    def test_two_levels_never_have_the_same(self, root):
        settings = root.dreamzoom
        for item, key in zip(settings.levels, (7, 7, 2)):
            item.key = key
        rig.give_keys(settings)
        keys = [item.key for item in settings.levels]
        assert keys[0] == 7 and keys[2] == 2 and len(set(keys)) == 3 and all(keys)

    @pytest.mark.parametrize("levels", [[{"key": "a"}], [{"key": 1}], [1], [{"key": 5, "prompt": {}}] * LEVELS])
    def test_a_request_that_makes_no_sense_keeps_no_result_from_being_imported(self, root, levels):
        job = begin(root)
        finish(job)
        (job.folder / "request.json").write_text(json.dumps({"levels": levels}))
        rig.remove_content(rig.level_empties(root)[0])
        current_job.clear()
        bpy.ops.dreamzoom.import_job()
        pump(current_job.get())
        assert current_job.get().error is None and shown(root, job.folder) == [0, 1, 2]

    def test_versions_are_found_by_them(self, root):
        job = begin(root)
        finish(job)
        (job.folder / "versions/0001/levels").mkdir(parents=True)
        for name in ("result.json", "request.json"):
            (job.folder / "versions/0001" / name).write_bytes((job.folder / name).read_bytes())
        for index in range(LEVELS):
            write_level(job.folder / "versions/0001", index, 50 + index)
        root.dreamzoom.active_level = 0
        bpy.ops.dreamzoom.level_add()
        finish(begin(root), seed=90)
        versions.forget()
        assert bpy.ops.dreamzoom.level_version(version="0001", level=2) == {"FINISHED"}
        source = importer._stamp(job.folder / "versions/0001/levels/001/splats.ply")
        assert of_level(root, 2)["dreamzoom_source"] == source
        assert bpy.ops.dreamzoom.level_version(version="0001", level=1) == {"CANCELLED"}  # the new one is not in it

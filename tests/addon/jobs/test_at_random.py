"""Whatever an artist presses, undoes and redoes in whatever order: Blender lives, and every panel can be drawn."""

import random
import shutil

import bpy
import pytest

from addon import rig
from addon.backend import current_job, main_loop
from addon.jobs import importing, undo_steps
from addon.results import level_states, versions

from ..results.test_edits_are_kept import write_level
from ..ui.drawing import all_drawn
from .test_rig_changes import begin, new_rig, pump
from .test_rig_changes import finish as finish_job

STEPS = 80
OFTEN = {"undo": 4, "redo": 2, "live": 3, "finish": 2, "version": 2}
"""How many times as often as others these are done."""

IN_EDIT_MODE = {"undo", "redo", "edit", "edit_mode", "frame", "live", "finish", "wait", "import", "forget_jobs"}
"""What can be done in edit mode too."""


class Artist:
    """Does one thing after the other.

    Attributes:
        done: Names of what was done, for the message of a failure.
    """

    def __init__(self, seed, folder):
        self.random, self.folder, self.done = random.Random(seed), folder, []
        self.kept = 0

    def step(self):
        """Do one thing, then look at all panels."""
        name = self.random.choice(NAMES)
        self.done.append(name)
        if bpy.context.mode != "OBJECT" and name not in IN_EDIT_MODE:
            name = "edit"
        getattr(self, f"do_{name}")()
        level_states.forget()
        versions.forget()
        bpy.context.view_layer.update()
        all_drawn()

    @property
    def root(self):
        """The active rig; a new one where there is none."""
        return rig.active_rig(bpy.context) or self.do_new_rig()

    def press(self, name, **options):
        """Press a button, if it is not greyed."""
        operator = getattr(bpy.ops.dreamzoom, name)
        if operator.poll():
            try:
                operator("EXEC_DEFAULT", True, **options)  # with its step of undo
            except RuntimeError as error:
                if "poll()" not in str(error):  # what the disk holds may be known in between
                    raise

    def push(self, name):
        bpy.ops.ed.undo_push(message=name)

    def do_new_rig(self):
        made = new_rig(f"rig {self.random.randrange(100)}")
        made.dreamzoom.job_folder = str(self.folder / f"job {len(self.done)} {self.random.randrange(10**9)}")
        self.push("new rig")
        return made

    def do_undo(self):
        for _ in range(self.random.randint(1, 4)):
            if bpy.ops.ed.undo.poll():
                bpy.ops.ed.undo()
                all_drawn()

    def do_redo(self):
        for _ in range(self.random.randint(1, 4)):
            if bpy.ops.ed.redo.poll():
                bpy.ops.ed.redo()
                all_drawn()

    def do_begin(self):
        """Generate; the files of an earlier result are kept as a version."""
        if current_job.of_rig(self.root.session_uid) is not None:
            return self.do_finish()
        return begin(self.root)

    def do_finish(self):
        for job in current_job.all_jobs():
            if job.status != "running":
                continue
            if (job.folder / "result.json").exists():
                self.kept += 1
                kept = shutil.copytree(job.folder, self.folder / f"kept {self.kept}")
                shutil.rmtree(kept / "versions", ignore_errors=True)
                (job.folder / "versions").mkdir(exist_ok=True)
                kept.rename(job.folder / f"versions/{self.kept:04d}")
                for name in ("levels", "stages", "inputs"):
                    shutil.rmtree(job.folder / name, ignore_errors=True)
                for name in ("request.json", "result.json"):  # links, where the rig is a branch
                    (job.folder / name).unlink()
            finish_job(job, self.random.randrange(1000), imported=False)
            for _ in range(self.random.choice([1, 2, 3, 4, 50])):
                main_loop.pump()

    def do_live(self):
        """A running job tells of its next level, which is shown at once."""
        for job in current_job.all_jobs():
            level = len(job.finished_levels)
            if job.status != "running" or level >= len(job.request["levels"]):
                continue
            (job.folder / f"levels/{level:03d}").mkdir(parents=True, exist_ok=True)
            for path in (job.folder / f"levels/{level:03d}").iterdir():
                path.unlink()
            write_level(job.folder, level, self.random.randrange(1000))
            job.finished_levels.add(level)
            importing.import_while_running(job)
            for _ in range(4):
                main_loop.pump()

    def do_import(self):
        """Begin an import; the next steps find it at some level."""
        self.press("import_job")
        for _ in range(self.random.randrange(1, 9)):
            main_loop.pump()

    def do_edit_mode(self):
        """Into edit mode with an object of the artist's own, or out of it."""
        if bpy.context.mode != "OBJECT":
            bpy.ops.object.mode_set("EXEC_DEFAULT", True, mode="OBJECT")
            return
        bpy.ops.mesh.primitive_cube_add("EXEC_DEFAULT", True)
        bpy.ops.object.mode_set("EXEC_DEFAULT", True, mode="EDIT")
        self.do_edit()

    def do_edit(self):
        if bpy.context.mode == "EDIT_MESH":
            bpy.ops.mesh.vertices_smooth("EXEC_DEFAULT", True, factor=0.1)

    def do_forget_jobs(self):
        for job in current_job.all_jobs():
            if not job.is_active:
                current_job.remove(job)

    def do_version(self):
        found = versions.of_rig(self.root)
        if found:
            version = self.random.choice(found)
            level = self.random.randrange(len(self.root.dreamzoom.levels))
            self.press("level_version", version=version.name, level=level)
            self.push("Use Version")

    def do_add_level(self):
        self.root.dreamzoom.active_level = self.random.randrange(len(self.root.dreamzoom.levels))
        self.press("level_add")

    def do_remove_level(self):
        self.press("level_remove")

    def do_move_level(self):
        self.press("level_move", direction=self.random.choice(["UP", "DOWN"]))

    def do_redo_level(self):
        self.root.dreamzoom.levels[0].prompt = f"prompt {self.random.randrange(9)}"
        self.push("prompt")

    def do_lock(self):
        item = self.random.choice(list(self.root.dreamzoom.levels))
        item.lock = not item.lock
        self.push("lock")

    def do_hide(self):
        item = self.random.choice(list(self.root.dreamzoom.levels))
        item.hide = not item.hide
        self.push("hide")

    def do_branch(self):
        self.press("branch")

    def do_duplicate(self):
        self.press("duplicate_rig")

    def do_delete(self):
        self.press("delete_rig")

    def do_zoom_here(self):
        self.press("zoom_here", point=(self.random.uniform(-0.5, 0.5), 0.1, 0.0))

    def do_key_flight(self):
        self.press("key_flight")

    def do_check(self):
        self.press("check_flight")

    def do_settings(self):
        self.press("render_settings", samples=4)

    def do_frame(self):
        bpy.context.scene.frame_set(self.random.randrange(1, 20))

    def do_loop(self):
        if len(self.root.dreamzoom.levels) > 1:
            self.root.dreamzoom.loop = not self.root.dreamzoom.loop
            self.push("loop")

    def do_delete_content(self):
        found = [obj for empty in rig.level_empties(self.root) for obj in rig.contents(empty)]
        if found:
            bpy.data.objects.remove(self.random.choice(found))
            self.push("deleted")

    def do_delete_empty(self):
        bpy.data.objects.remove(self.random.choice(rig.level_empties(self.root) or [self.root]))
        self.push("deleted")

    def do_move_content(self):
        found = [obj for empty in rig.level_empties(self.root) for obj in rig.contents(empty)]
        if found:
            self.random.choice(found).location.x += 1
            self.push("moved")

    def do_delete_root(self):
        bpy.data.objects.remove(self.root)
        self.push("deleted")

    def do_select_another(self):
        chosen = self.random.choice(list(bpy.context.view_layer.objects) or [None])
        bpy.context.view_layer.objects.active = chosen
        self.push("selected")

    def do_purge(self):
        bpy.data.orphans_purge()
        self.push("purged")

    def do_save_and_open(self):
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "shot.blend"))
        bpy.ops.wm.open_mainfile(filepath=str(self.folder / "shot.blend"))
        self.push("opened")  # as Blender does with a window

    def do_wait(self):
        for _ in range(5):
            main_loop.pump()


NAMES = [
    name
    for name in (part.removeprefix("do_") for part in vars(Artist) if part.startswith("do_"))
    for _ in range(OFTEN.get(name, 1))
]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_breaks(dreamzoom, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(undo_steps, "is_wanted", lambda: True)
    artist = Artist(seed, tmp_path)
    artist.do_new_rig()
    try:
        for _ in range(STEPS):
            artist.step()
    except Exception as error:
        pytest.fail(f"{artist.done}: {error!r}")
    for job in current_job.all_jobs():
        pump(job)

"""Import: a finished job's result under its rig, one level at a time; also while the server still works on others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import bpy

from .. import rig
from ..backend import current_job, job_folders, main_loop
from ..backend.current_job import DREAMED, Job
from ..core.errors import DreamzoomError
from ..core.protocol import result
from ..results import importer, render_settings
from ..scene.time_slicing import is_scene_in_use


def start_import(root: bpy.types.Object) -> Job:
    """Import a rig's finished job in the background.

    Raises:
        DreamzoomError: There is nothing to import.
    """
    current_job.check_free(root.session_uid)
    folder = job_folders.adopt(root)
    importer.read_result(result.newest(folder))
    job = Job(root.session_uid, folder, True, rig_name=root.name, levels=len(root.dreamzoom.levels))
    current_job.add(job)
    import_result(job, root)
    return job


def import_result(job: Job, root: bpy.types.Object) -> None:
    """Begin to import a job's result under a rig, in the background."""
    job.status, job.stage, job.ends_at = "importing", "import", None
    job.advance(0.0, DREAMED, 1.0)
    levels = importer.import_levels(root, job.folder, job.kept)
    job.work = levels
    main_loop.start(partial(_step, job, levels))


def import_while_running(job: Job) -> None:
    """Import the levels that a running job has finished, each as soon as Blender is free.

    A level that shows an earlier result keeps it until the whole job is done, so that a job that fails changes nothing.
    """
    if job.importing is None:
        job.importing = partial(_import_finished, job)
    main_loop.start(job.importing)


def rig_of(job: Job) -> bpy.types.Object | None:
    """The root of a job's rig; None if it was removed, or another file is open."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == job.rig_uid and rig.is_rig(obj)), None)


def find_rigs() -> None:
    """Let the jobs find their rigs again in a file that has been opened: the rigs that have the same job folders."""
    rigs = {job_folders.of_rig(obj): obj.session_uid for obj in bpy.data.objects if rig.is_rig(obj)}
    for job in current_job.all_jobs():
        if job.folder in rigs and job.folder != job_folders.NONE:
            job.rig_uid = rigs[job.folder]


def _import_finished(job: Job) -> float | None:
    """Import one of the levels that are finished and not shown yet."""
    root = rig_of(job)
    if root is None or not job.is_active or job.status == "importing":
        return None
    if is_scene_in_use():
        return main_loop.TICK
    for level, item in enumerate(root.dreamzoom.levels):
        if item.sent_as not in job.finished_levels or item.sent_as in job.imported_levels:
            continue
        job.imported_levels.add(item.sent_as)
        if rig.contents(rig.level_empties(root)[level]):
            continue
        try:
            importer.import_one(root, job.folder, item.sent_as, level)
        except DreamzoomError as error:
            job.warning = str(error)  # it is tried again with the whole result
        _make_ready(job, root)
        main_loop.redraw()
        return main_loop.TICK
    return None


def _step(job: Job, levels: Iterator[tuple[int, int]]) -> float | None:
    """Import one level."""
    if job.work is not levels:
        return None  # cancelled
    try:
        if rig_of(job) is None:
            raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
        done, count = next(levels)
        job.level, job.levels = done - 1, count
        job.advance(done / count, DREAMED, 1.0)
    except StopIteration:
        _make_ready(job, rig_of(job))
        job.finish("done")
        _push_undo("Import Dreamzoom")
        if job.play_when_done:
            _play()
        return None
    except DreamzoomError as error:
        job.finish("failed", error)
        return None
    main_loop.redraw()
    return main_loop.TICK


def _make_ready(job: Job, root: bpy.types.Object | None) -> None:
    """Make the scenes that show a rig ready to render it; what was changed is shown with the job."""
    for scene in bpy.data.scenes if root is not None else ():
        if root.name in scene.objects:
            job.made_ready = render_settings.make_ready(scene, root) or job.made_ready


def _play() -> None:
    """Begin to play the animation, unless it plays."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and len(windows) and not windows[0].screen.is_animation_playing:
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.screen.animation_play()


def _push_undo(message: str) -> None:
    """Add the import to the undo history, since changes by a timer are not added by themselves."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)

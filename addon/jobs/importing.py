"""Import: a finished job's result under its rig, one level at a time; also while the server still works on others."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from functools import partial

import bpy

from .. import rig
from ..backend import current_job, job_folders, main_loop
from ..backend.current_job import DREAMED, Job
from ..core.errors import DreamzoomError
from ..results import importer, render_settings
from ..scene.time_slicing import is_scene_in_use

CHECKED = 0.3
"""Fraction of an import at which all files have been compared with their hashes."""


def start_import(root: bpy.types.Object) -> Job:
    """Import a rig's finished job in the background.

    Raises:
        DreamzoomError: There is nothing to import.
    """
    current_job.check_free(root.session_uid)
    folder = job_folders.adopt(root)
    job = Job(root.session_uid, folder, True, rig_name=root.name, levels=len(root.dreamzoom.levels))
    current_job.add(job)
    import_result(job)
    return job


def import_result(job: Job) -> None:
    """Begin to import a job's result under its rig, in the background."""
    job.status, job.stage, job.ends_at = "importing", "import", None
    job.advance(0.0, DREAMED, 1.0)
    reader = importer.ResultReader(job.folder)
    job.work = reader
    main_loop.start(partial(_await, job, reader))


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


def _await(job: Job, reader: importer.ResultReader) -> float | None:
    """Wait for the result; then import its levels."""
    if job.work is not reader:
        return None  # cancelled
    if not reader.is_done:
        job.advance(CHECKED * reader.fraction, DREAMED, 1.0)
        return main_loop.TICK
    with _failing(job):
        folder, found = reader.found()
        levels = importer.import_levels(_present_rig(job), folder, job.kept, found)
        job.work = levels
        main_loop.start(partial(_step, job, levels))
    return None


def _step(job: Job, levels: Iterator[tuple[int, int]]) -> float | None:
    """Import one level."""
    if job.work is not levels:
        return None  # cancelled
    with _failing(job):
        root = _present_rig(job)
        done, count = next(levels, (0, 0))
        if not done:
            _make_ready(job, root)
            job.finish("done")
            _push_undo("Import Dreamzoom")
            if job.play_when_done:
                _play()
            return None
        job.level, job.levels = done - 1, count
        job.advance(CHECKED + (1 - CHECKED) * done / count, DREAMED, 1.0)
    main_loop.redraw()
    return main_loop.TICK if job.is_active else None


@contextlib.contextmanager
def _failing(job: Job) -> Iterator[None]:
    """Any error in the block fails the job, and the panel shows it."""
    try:
        yield
    except DreamzoomError as error:
        job.finish("failed", error)
    except Exception as error:
        traceback.print_exc()
        message = f"The result in {job.folder} can't be imported: {type(error).__name__}: {error}"
        job.finish("failed", DreamzoomError(message, "Press Generate again; Blender's console has the details"))


def _present_rig(job: Job) -> bpy.types.Object:
    """The root of a job's rig. Raises DreamzoomError if it was removed."""
    root = rig_of(job)
    if root is None:
        raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
    return root


def _make_ready(job: Job, root: bpy.types.Object | None) -> None:
    """Make the scenes that show a rig ready to render it; what was changed is shown with the job."""
    for scene in bpy.data.scenes if root is not None else ():
        if root.name in scene.objects:
            changed = render_settings.make_ready(scene, root)
            if changed:
                job.made_ready += changed
                _show_colours(scene)


def _show_colours(scene: bpy.types.Scene) -> None:
    """Let the 3D viewports that show a scene in grey show colours: splats have no shape that Solid could show."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas if window.scene == scene else ():
            if area.type == "VIEW_3D" and area.spaces.active.shading.type in ("SOLID", "WIREFRAME"):
                area.spaces.active.shading.type = "MATERIAL"


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

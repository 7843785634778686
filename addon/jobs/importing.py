"""Import: a finished job's result under its rig, one level at a time."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from functools import partial

import bpy

from .. import rig
from ..backend import current_job, job_folders, main_loop
from ..backend.current_job import Job
from ..core.errors import DreamzoomError
from ..results import importer


def start_import(root: bpy.types.Object) -> Job:
    """Import a rig's finished job in the background.

    Raises:
        DreamzoomError: There is nothing to import.
    """
    current_job.check_free()
    folder = job_folders.of_rig(root)
    if folder is None:
        raise DreamzoomError("This rig has no job yet", "Press Generate first")
    job = Job(root.session_uid, folder, True, levels=len(root.dreamzoom.levels))
    current_job.replace(job)
    import_result(job)
    return job


def import_result(job: Job) -> None:
    """Begin to import a job's result under its rig, in the background."""
    job.status, job.stage, job.level, job.fraction, job.seconds_left = "importing", "import", None, 0.0, None
    reader = importer.ResultReader(job.folder)
    job.work = reader
    main_loop.start(partial(_await, job, reader))


def rig_of(job: Job) -> bpy.types.Object | None:
    """The root of a job's rig; None if it was removed."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == job.rig_uid and rig.is_rig(obj)), None)


def _await(job: Job, reader: importer.ResultReader) -> float | None:
    """Wait for the result; then import its levels."""
    if job.work is not reader:
        return None  # cancelled
    if not reader.is_done:
        return main_loop.TICK
    with _failing(job):
        levels = importer.import_levels(_present_rig(job), *reader.found())
        job.work = levels
        main_loop.start(partial(_step, job, levels))
    return None


def _step(job: Job, levels: Iterator[tuple[int, int]]) -> float | None:
    """Import one level."""
    if job.work is not levels:
        return None  # cancelled
    with _failing(job):
        _present_rig(job)
        done, count = next(levels, (0, 0))
        if not done:
            job.finish("done")
            _push_undo("Import Dreamzoom")
            return None
        job.level, job.levels, job.fraction = done - 1, count, done / count
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


def _push_undo(message: str) -> None:
    """Add the import to the undo history, since changes by a timer are not added by themselves."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)

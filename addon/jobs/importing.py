"""Import: a finished job's result under its rig, one level at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import bpy

from .. import rig
from ..backend import current_job, job_folders, main_loop
from ..backend.current_job import Job
from ..core.errors import DreamzoomError
from ..core.protocol import result
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
    importer.read_result(result.newest(folder))
    job = Job(root.session_uid, folder, True, levels=len(root.dreamzoom.levels))
    current_job.replace(job)
    import_result(job, root)
    return job


def import_result(job: Job, root: bpy.types.Object) -> None:
    """Begin to import a job's result under a rig, in the background."""
    job.status, job.stage, job.fraction, job.seconds_left = "importing", "import", 0.0, None
    levels = importer.import_levels(root, job.folder)
    job.work = levels
    main_loop.start(partial(_step, job, levels))


def rig_of(job: Job) -> bpy.types.Object | None:
    """The root of a job's rig; None if it was removed."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == job.rig_uid and rig.is_rig(obj)), None)


def _step(job: Job, levels: Iterator[tuple[int, int]]) -> float | None:
    """Import one level."""
    if job.work is not levels:
        return None  # cancelled
    try:
        if rig_of(job) is None:
            raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
        done, count = next(levels)
        job.level, job.levels, job.fraction = done - 1, count, done / count
    except StopIteration:
        job.finish("done")
        _push_undo("Import Dreamzoom")
        return None
    except DreamzoomError as error:
        job.finish("failed", error)
        return None
    main_loop.redraw()
    return main_loop.TICK


def _push_undo(message: str) -> None:
    """Add the import to the undo history, since changes by a timer are not added by themselves."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)

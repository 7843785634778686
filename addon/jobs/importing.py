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
from ..core.protocol import messages
from ..results import importer, render_settings, versions
from ..scene import prompt_changes
from ..scene.time_slicing import is_scene_in_use
from . import undo_steps

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


def start_version(root: bpy.types.Object, version: versions.Version, index: int, level: int) -> Job:
    """Import a level of an earlier result, or of the newest, in the background.

    Args:
        root: The rig.
        version: The result.
        index: Which of its levels.
        level: Which level of the rig that is.

    Raises:
        DreamzoomError: A job of the rig is running.
    """
    current_job.check_free(root.session_uid)
    folder = job_folders.of_rig(root) or job_folders.NONE
    rig.give_keys(root.dreamzoom)
    key = root.dreamzoom.levels[level].key
    job = Job(root.session_uid, folder, True, rig_name=root.name, status="importing", stage="import")
    job.level, job.levels = level, len(root.dreamzoom.levels)
    reader = importer.ResultReader(version.folder, index)
    job.work = reader
    current_job.add(job)
    main_loop.start(partial(_await_version, job, reader, version, index, key))
    return job


def use_version(root: bpy.types.Object, version: versions.Version, index: int, level: int) -> list[str]:
    """Import a level of a result whose files have been checked. One of an earlier result is locked.

    Returns:
        The names of objects that the artist had changed, and that are kept in a hidden collection.

    Raises:
        DreamzoomError: A file is missing or can't be read; the level is as it was.
    """
    item = root.dreamzoom.levels[level]
    was_locked, item.lock = item.lock, False
    try:
        kept = importer.import_one(root, version.folder, index, level)
    except DreamzoomError:
        item.lock = was_locked
        raise
    item.lock = bool(version.name)
    return kept


def _await_version(
    job: Job, reader: importer.ResultReader, version: versions.Version, index: int, key: int
) -> float | None:
    """Wait for the files of a level to be checked; then import it."""
    if job.work is not reader:
        return None  # cancelled
    if not reader.is_done or is_scene_in_use():
        return main_loop.TICK
    with _failing(job):
        reader.found()
        root = _present_rig(job)
        row = rig.rows_of_keys(root.dreamzoom, [key]).get(0)
        if row is None:
            raise DreamzoomError("The level was removed meanwhile", "Undo its removal, then choose the version again")
        with undo_steps.step("Use Version"):
            job.kept += use_version(root, version, index, row)
        job.finish("done")
    return None


def import_while_running(job: Job) -> None:
    """Import the levels that a running job has finished, each as soon as Blender is free.

    A level that shows an earlier result keeps it until the whole job is done, so that a job that fails changes nothing.
    """
    if job.importing is None:
        job.importing = partial(_import_finished, job)
    main_loop.start(job.importing)


def rig_of(job: Job) -> bpy.types.Object | None:
    """The root of a job's rig; None if it was removed, is in no scene any more, or another file is open."""
    found = next((obj for obj in bpy.data.objects if obj.session_uid == job.rig_uid and rig.is_rig(obj)), None)
    return found if found is not None and found.users_scene else None


def find_rigs() -> None:
    """Let the jobs find their rigs again in a file that has been opened: the rigs that have the same job folders; of
    several copies the one that has the name.
    """
    rigs = [obj for obj in bpy.data.objects if rig.is_rig(obj) and not rig.why_locked(obj)]
    for root in rigs:
        rig.give_keys(root.dreamzoom)
    for job in current_job.all_jobs():
        if job.folder == job_folders.NONE or rig_of(job) is not None:
            continue
        free = [root for root in rigs if current_job.of_rig(root.session_uid) is None]
        found = [root for root in free if job_folders.place_of(root) == job.folder]
        if found:
            root = min(found, key=lambda root: (root.dreamzoom.folder_origin != "OWN", root.name != job.rig_name))
            job.rig_uid = root.session_uid
            restore(job, root)


def note_names() -> None:
    """Remember how the rigs of all jobs are called in the file that has been saved."""
    for job in current_job.all_jobs():
        root = rig_of(job)
        if root is not None:
            job.rig_name = root.name


def restore(job: Job, root: bpy.types.Object) -> None:
    """Let a rig know its job again after an undo, or in a file that was saved before the job began."""
    if job_folders.of_rig(root) is None and job.folder != job_folders.NONE:
        job_folders.remember(root, job.folder)
    if job.request is not None and job.method == messages.GENERATE and job.status == "done" and not job.is_left:
        prompt_changes.note_dreamed(root.dreamzoom, job.request, job.level_seconds, job.pictures)


def _import_finished(job: Job) -> float | None:
    """Import one of the levels that are finished and not shown yet."""
    root = rig_of(job)
    if root is None or not job.is_active or job.status == "importing":
        return None
    if is_scene_in_use():
        return main_loop.TICK
    for level, index in enumerate(prompt_changes.sent_as(root.dreamzoom, job.request)):
        if index not in job.finished_levels or index in job.imported_levels:
            continue
        job.imported_levels.add(index)
        if any(rig.contents(empty) for empty in rig.level_empties(root) if empty[rig.LEVEL] == level):
            continue
        with undo_steps.import_step():
            try:
                importer.import_one(root, job.folder, index, level)
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
    with _failing(job), _going_on_later(job):
        folder, found = reader.found()
        root = _present_rig(job)
        if job.request is None and reader.request is not None:
            prompt_changes.note_dreamed(root.dreamzoom, reader.request, [])
        levels = importer.import_levels(root, folder, job.kept, found)
        job.work = levels
        main_loop.start(partial(_step, job, levels))
    return None


def _step(job: Job, levels: Iterator[tuple[int, int]]) -> float | None:
    """Import one level."""
    if job.work is not levels:
        return None  # cancelled
    if is_scene_in_use():
        return main_loop.TICK
    with _failing(job), _going_on_later(job):
        root = _present_rig(job)
        with undo_steps.import_step():
            done, count = next(levels, (0, 0))
            if not done:
                _make_ready(job, root)
        if not done:
            job.finish("done")
            if job.play_when_done:
                _play()
            return None
        job.level, job.levels = done - 1, count
        job.advance(CHECKED + (1 - CHECKED) * done / count, DREAMED, 1.0)
    main_loop.redraw()
    return main_loop.TICK if job.is_active else None


@contextlib.contextmanager
def _going_on_later(job: Job) -> Iterator[None]:
    """The import of a dream that an undo or another file interrupts in the block begins again, at once or when its rig
    is back. One that *Import* began is thereby taken back.
    """
    try:
        yield
    except importer.Interrupted:
        if job.request is None:
            raise
        if rig_of(job) is not None:
            import_result(job)
        else:
            job.is_left = True
            job.finish("done")


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
    """The root of a job's rig. Raises Interrupted if it was removed."""
    root = rig_of(job)
    if root is None:
        raise importer.rig_is_gone()
    return root


def _make_ready(job: Job, root: bpy.types.Object | None) -> None:
    """Make the scenes that show a rig ready to render it; what was changed is shown with the job."""
    for scene in bpy.data.scenes if root is not None else ():
        if root.name in scene.objects:
            changed = render_settings.make_ready(scene, root)
            if changed:
                job.made_ready += [each for each in changed if each not in job.made_ready]  # again, after an undo
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

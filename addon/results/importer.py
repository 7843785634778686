"""Import of a job's result as objects under the rig, level by level, so that Blender can draw in between."""

from __future__ import annotations

import contextlib
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

from .. import rig, splats
from ..backend import job_folders
from ..core.errors import DamagedJob, DreamzoomError
from ..core.protocol import result
from ..core.safety.contained import ContainedFolder
from ..rig import coverage
from ..scene import prompt_changes, splat_scene

CLOUD, SPLATS = "cloud", "splats"
KIND = "dreamzoom_kind"
"""Custom property of an imported object: `CLOUD` or `SPLATS`."""

SOURCE, PARTS = "dreamzoom_source", "dreamzoom_parts"
"""Custom properties of an imported object: which file it shows, and how many objects show that file."""


def read_result(folder: Path) -> result.Result:
    """The job's result, all of whose files are there. Needs no Blender, so it may run in any thread.

    Raises:
        DreamzoomError: The job has no result yet, or one that can't be read.
        DamagedJob: The result is damaged, or lacks a file; the error offers the repair.
    """
    name = result.NAME
    try:
        found = result.read(folder)
        inside = ContainedFolder(folder)
        for entry in found["levels"]:
            for name in (entry["cloud"], entry["splats"]):
                inside.stat(name)
    except FileNotFoundError:
        if name == result.NAME:
            raise DreamzoomError(f"There is no result in {folder}", "Press Generate first") from None
        raise DamagedJob(f"The result in {folder} lacks {name}", "Repair", (name,)) from None
    except result.NewerResult:
        raise
    except ValueError as error:
        raise DamagedJob(f"The result in {folder} is damaged: {error}", "Repair", (name,)) from None
    except OSError as error:
        raise DreamzoomError(f"The result in {folder} can't be read: {error}", "Press Generate again") from None
    return found


def read_newest(folder: Path) -> tuple[Path, result.Result]:
    """The folder of a job's newest result, and that result: an earlier one while a new one is not whole.

    Raises:
        DreamzoomError: As by `read_result`.
    """
    newest = result.newest(folder)
    return newest, read_result(newest)


def read_checked(
    folder: Path, progress: Callable[[float], None] | None = None, is_stopped: Callable[[], bool] = lambda: False
) -> tuple[Path, result.Result]:
    """`read_newest`, with every file of its levels compared with its hash. Needs no Blender.

    Args:
        folder: The job's folder.
        progress: Called with the fraction that is done.
        is_stopped: Whether nobody waits for the result any more.

    Raises:
        DreamzoomError: As by `read_newest`.
        DamagedJob: A file is not as the job made it; the error offers the repair.
    """
    newest, found = read_newest(folder)
    for index in range(len(found["levels"])):
        if is_stopped():
            break
        result.check_level(newest, found, index)
        if progress is not None:
            progress((index + 1) / len(found["levels"]))
    return newest, found


class Interrupted(DreamzoomError):
    """An undo, or another file, took away what is being imported."""


def rig_is_gone() -> Interrupted:
    """The error of an import whose rig was removed."""
    return Interrupted("The rig of this job is gone", "Undo its removal or open its file, then press Import")


class ResultReader:
    """Reads and checks a job's newest result in a thread, so that Blender can draw meanwhile.

    Args:
        folder: The job's folder.
        level: If given, only this level of the result that lies in the folder itself is checked.

    Attributes:
        fraction: How much is done, 0 to 1.
        request: What the newest result was asked for; None where that is not known.
    """

    def __init__(self, folder: Path, level: int | None = None):
        self._folder, self._level = folder, level
        self.fraction = 0.0
        self.request: dict[str, Any] | None = None
        self._is_closed = False
        self._outcome: tuple[Path, result.Result] | DreamzoomError | None = None
        self._thread = threading.Thread(target=self._read, name="dreamzoom-result", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether the result, or an error, is there."""
        return not self._thread.is_alive()

    def found(self) -> tuple[Path, result.Result]:
        """The folder of the result, and the result. Raises DreamzoomError as `read_checked` does."""
        self._thread.join()
        if isinstance(self._outcome, DreamzoomError):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    def close(self) -> None:
        """Nobody waits for the result any more."""
        self._is_closed = True

    def _note(self, fraction: float) -> None:
        self.fraction = fraction

    def _read(self) -> None:
        try:
            if self._level is not None:
                self._outcome = self._folder, check_version(self._folder, self._level)
                return
            self._outcome = read_checked(self._folder, self._note, lambda: self._is_closed)
            self.request = _request_of(self._outcome[0])
        except DreamzoomError as error:
            self._outcome = error
        except Exception as error:
            traceback.print_exc()
            self._outcome = DreamzoomError(f"The result in {self._folder} can't be read: {error!r}")


def _request_of(folder: Path) -> dict[str, Any] | None:
    """The request of a result, whose levels have keys; None where there is none, as of results of earlier versions."""
    with contextlib.suppress(DreamzoomError, LookupError, TypeError, ValueError, AttributeError):
        request = job_folders.read_request(folder)
        prompt_changes.prompts_in(request)  # the job may be a foreign one: whether it tells all that is asked of it
        if all(level.get("key") for level in request["levels"]):
            return request
    return None


def import_levels(
    root: bpy.types.Object, folder: Path, kept: list[str] | None = None, found: result.Result | None = None
) -> Iterator[tuple[int, int]]:
    """Import points and splats of every level, in place of those of an earlier import.

    Args:
        root: The rig.
        folder: The job folder, or the one that holds `found`.
        kept: Gets the names of objects that the artist had changed, and that are kept in a hidden collection.
        found: The result, where it has been read and checked already.

    Yields:
        After each level: how many levels are done, and how many there are.

    Raises:
        Interrupted: The rig, or an object that was imported so far, no longer exists.
        DreamzoomError: The result does not fit the rig, or a file can't be read; also as by `read_checked`.
    """
    return _each_level(root.session_uid, folder, [] if kept is None else kept, found)


def _each_level(rig_uid: int, folder: Path, kept: list[str], found: result.Result | None) -> Iterator[tuple[int, int]]:
    if found is None:
        folder, found = read_checked(folder)
    done: set[int] = set()
    root = _resolve(rig_uid, done)
    rows = _rows(root, found)
    if abs(found["zoom_factor"] - root.dreamzoom.zoom_factor) > 1e-6:
        raise DreamzoomError("The result was made with another zoom factor", "Press Generate again")
    coverage.remember(root, found.get("cameras") or [])
    entries = [entry for entry in found["levels"] if entry["index"] in rows]
    for count, entry in enumerate(entries):
        root = _resolve(rig_uid, done)
        level = _rows(root, found).get(entry["index"])  # the artist may have moved or removed levels meanwhile
        if level is not None:
            done |= {obj.session_uid for obj in _import_level(root, folder, entry, level, kept)}
        yield count + 1, len(entries)
    root = _resolve(rig_uid, done)
    root.dreamzoom.notes = "\n".join(_lines(found))
    if 0 in rows.values():
        splat_scene.hide_imported(root)


def _lines(found: result.Result) -> list[str]:
    """What was guessed or changed in the artist's files, as the panel shows it."""
    notes = result.notes_of(found)
    return [note["text"] if note["level"] is None else f"{note['level']}: {note['text']}" for note in notes]


def check_version(folder: Path, index: int) -> result.Result:
    """Check the files of level `index` of a result, and return the result. Needs no Blender.

    Raises:
        DreamzoomError: One is damaged.
    """
    found = read_result(folder)
    try:
        result.check_level(folder, found, index)
    except DamagedJob as error:
        raise DreamzoomError(str(error), "Use another version") from None
    return found


def import_one(root: bpy.types.Object, folder: Path, index: int, level: int) -> list[str]:
    """Import level `index` of a job, or of one of its versions, as level `level` of the rig.

    Returns:
        The names of objects that the artist had changed, and that are kept in a hidden collection.

    Raises:
        DreamzoomError: A file is missing or can't be read.
    """
    base = f"levels/{index:03d}"
    entry: Any = {"index": index, "cloud": f"{base}/cloud.ply", "splats": f"{base}/splats.ply"}
    kept: list[str] = []
    _import_level(root, folder, entry, level, kept)
    return kept


def _rows(root: bpy.types.Object, found: result.Result) -> dict[int, int]:
    """For each level of a result that the rig has, which of the rig's levels it is: by their keys, in whatever order
    they are now.

    Raises:
        DreamzoomError: The rig does not know the result, and has another count of levels.
    """
    levels, count = root.dreamzoom.levels, len(found["levels"])
    rows = rig.rows_of_keys(root.dreamzoom, [entry.get("key", 0) for entry in found["levels"]])
    if rows:
        return rows
    rows = {item.dreamed_as: level for level, item in enumerate(levels) if item.dreamed_as >= 0}
    if rows and max(rows) < count:
        return rows
    if count != len(levels):
        raise DreamzoomError(
            f"The result has another count of levels: {count}, and the rig {len(levels)}", "Press Generate again"
        )
    return {level: level for level in range(count)}


def _resolve(rig_uid: int, done: set[int]) -> bpy.types.Object:
    """The rig as it is now, by its `session_uid`: undo replaces objects by others.

    Raises:
        Interrupted: The rig, or an object of the set `done` that was imported so far, no longer exists.
    """
    present = {obj.session_uid: obj for obj in bpy.data.objects}
    if rig_uid not in present:
        raise rig_is_gone()
    if not done <= present.keys():
        raise Interrupted("The import was undone before it was complete", "Press Import to begin again")
    return present[rig_uid]


def import_job(root: bpy.types.Object, folder: Path) -> None:
    """Import all levels at once. Raises DreamzoomError as `import_levels` does."""
    for _ in import_levels(root, folder):
        pass


def _import_level(
    root: bpy.types.Object, folder: Path, entry: result.LevelResult, level: int, kept: list[str]
) -> list[bpy.types.Object]:
    """Import one level of a result as level `level` of the rig, and return its objects.

    What was imported from the same files before stays as it is, and so does all of a locked level. Objects that the
    artist has changed are not removed; their names are added to `kept`.
    """
    rig.restore_levels(root)
    points = _collection(root, "points_collection", "Points")
    surfels = _collection(root, "splats_collection", "Splats")
    present = rig.contents(rig.level_empty(root, level))
    if present and root.dreamzoom.levels[level].lock:
        return present
    before = {kind: [obj for obj in present if kind_of(obj) == kind] for kind in (CLOUD, SPLATS)}
    inside, made = ContainedFolder(folder), {}
    try:
        for kind, home in ((CLOUD, points), (SPLATS, surfels)):
            path = inside.path(entry[kind])
            if not _is_current(before[kind], path):
                made[kind] = _read_kind(path, kind, _name(root, level, kind), home)
    except (OSError, ValueError, splats.SplatFileError) as error:
        _remove_all(made)
        raise DreamzoomError(f"Level {level} can't be imported: {error}", "Press Generate again") from error
    except BaseException:
        _remove_all(made)
        raise
    for kind, new in made.items():
        _put_in_place(root, level, kind, new, before[kind], kept)
    return [obj for kind in before for obj in made.get(kind, before[kind])]


def _name(root: bpy.types.Object, level: int, kind: str) -> str:
    return f"{root.name} {level} {'points' if kind == CLOUD else 'splats'}"


def _read_kind(path: Path, kind: str, name: str, home: bpy.types.Collection) -> list[bpy.types.Object]:
    """Import the points or splats of a level; they are not under its rig yet."""
    stamp = _stamp(path)
    new = [splats.import_cloud(path, name, home)] if kind == CLOUD else splats.import_splats(path, name, home)
    for obj in new:
        obj[KIND], obj[SOURCE], obj[PARTS] = kind, stamp, len(new)
    return new


def _remove_all(made: dict[str, list[bpy.types.Object]]) -> None:
    """Remove what was imported of a level that can't be imported as a whole."""
    for obj in [obj for new in made.values() for obj in new]:
        data = obj.data
        bpy.data.objects.remove(obj)
        if data is not None and data.users == 0:
            bpy.data.batch_remove([data])


def _put_in_place(
    root: bpy.types.Object, level: int, kind: str, new: list[bpy.types.Object], old: list, kept: list[str]
) -> None:
    """Let the new points or splats of a level take the place of the old ones."""
    name = _name(root, level, kind)
    kept += rig.remove_content(rig.level_empty(root, level), old)
    for obj in new:
        obj.name = f"{name} superseded" if obj.get(splats.SUPERSEDED) else name  # the old one's name is free now
        rig.attach(root, obj, level, bool(obj.get(splats.SUPERSEDED)))
        rig.mark_as_made(obj)


def kind_of(obj: bpy.types.Object) -> str:
    """Whether an imported object shows the points or the splats of a level."""
    return obj.get(KIND) or (CLOUD if obj.type == "POINTCLOUD" and not splats.holds_splats(obj) else SPLATS)


def _is_current(objects: list, path: Path) -> bool:
    """Whether these are all objects that were imported from the file as it is now."""
    stamp = _stamp(path)
    return bool(objects) and all(obj.get(SOURCE) == stamp and obj.get(PARTS) == len(objects) for obj in objects)


def _stamp(path: Path) -> str:
    """Tells a file from an earlier one at its place."""
    return stamp_of(path.stat())


def stamp_of(found: os.stat_result) -> str:
    """`_stamp` of a file that has this state. It is what `SOURCE` holds."""
    return f"{found.st_size} {found.st_mtime_ns}"


def _collection(root: bpy.types.Object, attribute: str, name: str) -> bpy.types.Collection:
    """The rig's collection for one kind of content. The artist has to show that of the points."""
    settings = root.dreamzoom
    found = getattr(settings, attribute)
    if found is None:
        found = bpy.data.collections.new(f"{root.name} {name}")
        setattr(settings, attribute, found)
    if found.name not in settings.collection.children:
        settings.collection.children.link(found)
        if attribute == "points_collection":
            rig.hide(found)
    return found

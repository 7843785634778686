"""Import of a job's result as objects under the rig, level by level, so that Blender can draw in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy

from .. import rig, splats
from ..core.errors import DamagedJob, DreamzoomError
from ..core.protocol import result


def read_result(folder: Path) -> result.Result:
    """The job's result.

    Raises:
        DreamzoomError: The job has no result yet, or one that can't be read or is damaged.
    """
    try:
        return result.read(folder)
    except FileNotFoundError:
        raise DreamzoomError(f"There is no result in {folder}", "Press Generate first") from None
    except result.NewerResult:
        raise
    except ValueError as error:
        raise DamagedJob(f"The result in {folder} is damaged: {error}", "Repair", (result.NAME,)) from None
    except OSError as error:
        raise DreamzoomError(f"The result in {folder} can't be read: {error}", "Press Generate again") from None


def import_levels(root: bpy.types.Object, folder: Path) -> Iterator[tuple[int, int]]:
    """Import points and splats of every level, in place of those of an earlier import.

    Yields:
        After each level: how many levels are done, and how many there are.

    Raises:
        DreamzoomError: The result does not fit the rig, or a file can't be read; also as by `read_result`.
        DamagedJob: A file is not as the job made it; the error offers the repair.
    """
    found = read_result(folder)
    count = len(found["levels"])
    if count != len(root.dreamzoom.levels):
        raise DreamzoomError(
            f"The result has {count} levels, the rig {len(root.dreamzoom.levels)}", "Press Generate again"
        )
    if abs(found["zoom_factor"] - root.dreamzoom.zoom_factor) > 1e-6:
        raise DreamzoomError("The result was made with another zoom factor", "Press Generate again")
    rig.sync_levels(root)  # creates the level empties that the artist deleted by hand
    rig_uid, done = root.session_uid, set()
    for entry in found["levels"]:
        result.check_level(Path(folder), found, entry["index"])
        root = _resolve(rig_uid, done)
        points = _collection(root, "points_collection", "Points")
        surfels = _collection(root, "splats_collection", "Splats")
        done |= {obj.session_uid for obj in _import_level(root, Path(folder), entry, points, surfels)}
        yield entry["index"] + 1, count
    _resolve(rig_uid, done)


def _resolve(rig_uid: int, done: set[int]) -> bpy.types.Object:
    """The rig as it is now, by its `session_uid`: undo replaces objects by others.

    Raises:
        DreamzoomError: The rig, or an object of the set `done` that was imported so far, no longer exists.
    """
    present = {obj.session_uid: obj for obj in bpy.data.objects}
    if rig_uid not in present:
        raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
    if not done <= present.keys():
        raise DreamzoomError("The import was undone before it was complete", "Press Import to begin again")
    return present[rig_uid]


def import_job(root: bpy.types.Object, folder: Path) -> None:
    """Import all levels at once. Raises DreamzoomError as `import_levels` does."""
    for _ in import_levels(root, folder):
        pass


def _import_level(
    root: bpy.types.Object, folder: Path, entry: result.LevelResult, points, surfels
) -> list[bpy.types.Object]:
    """Import one level and return the new objects; `points` and `surfels` are the collections that get them."""
    level = entry["index"]
    rig.remove_content(rig.level_empties(root)[level])
    name = f"{root.name} {level}"
    try:
        found = [splats.import_cloud(_inside(folder, entry["cloud"]), f"{name} points", points)]
        found += splats.import_splats(_inside(folder, entry["splats"]), f"{name} splats", surfels)
    except (OSError, splats.SplatFileError) as error:
        raise DreamzoomError(f"Level {level} can't be imported: {error}", "Press Generate again") from error
    for obj in found:
        rig.attach(root, obj, level, bool(obj.get(splats.SUPERSEDED)))
    return found


def _inside(folder: Path, name: str) -> Path:
    """The path of a file in the job folder. Raises DreamzoomError for a path that leads out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DreamzoomError(f"The result names a file outside its folder: {name}", "Do not use this job folder")
    return path


def _collection(root: bpy.types.Object, attribute: str, name: str) -> bpy.types.Collection:
    """The rig's collection for one kind of content. The artist has to show that of the points."""
    settings = root.dreamzoom
    found = getattr(settings, attribute)
    if found is None:
        found = bpy.data.collections.new(f"{root.name} {name}")
        found.hide_render = found.hide_viewport = attribute == "points_collection"
        setattr(settings, attribute, found)
    if found.name not in settings.collection.children:
        settings.collection.children.link(found)
    return found

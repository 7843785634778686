"""A job's result to objects under the rig. Level after level, so that Blender can draw in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy

from .. import rig, splats
from ..core.errors import DreamzoomError
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
    except (OSError, ValueError) as error:
        raise DreamzoomError(f"The result in {folder} can't be read: {error}", "Press Generate again") from None


def import_levels(root: bpy.types.Object, folder: Path) -> Iterator[tuple[int, int]]:
    """Bring points and splats of every level under the rig, in place of what an earlier import brought.

    Yields (levels done, levels) after each level. Raises DreamzoomError as `read_result` does, and for a bad file.
    """
    found = read_result(folder)
    count = len(found["levels"])
    if count != len(root.dreamzoom.levels):
        raise DreamzoomError(
            f"The result has {count} levels, the rig {len(root.dreamzoom.levels)}", "Press Generate again"
        )
    if abs(found["zoom_factor"] - root.dreamzoom.zoom_factor) > 1e-6:
        raise DreamzoomError("The result was made with another zoom factor", "Press Generate again")
    rig.sync_levels(root)  # levels that the artist deleted by hand come back
    rig_uid, done = root.session_uid, set()
    for entry in found["levels"]:
        root = _found(rig_uid, done)
        homes = _collection(root, "points_collection", "Points"), _collection(root, "splats_collection", "Splats")
        done |= {obj.session_uid for obj in _import_level(root, Path(folder), entry, *homes)}
        yield entry["index"] + 1, count
    _found(rig_uid, done)


def _found(rig_uid: int, done: set[int]) -> bpy.types.Object:
    """The rig as it is now: undo puts other objects into the place of those from before.

    Raises:
        DreamzoomError: The rig is gone, or what was imported so far.
    """
    there = {obj.session_uid: obj for obj in bpy.data.objects}
    if rig_uid not in there:
        raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
    if not done <= there.keys():
        raise DreamzoomError("The import was undone before its end", "Press Import to begin again")
    return there[rig_uid]


def import_job(root: bpy.types.Object, folder: Path) -> None:
    """Import all levels at once. Raises DreamzoomError."""
    for _ in import_levels(root, folder):
        pass


def _import_level(
    root: bpy.types.Object, folder: Path, entry: result.LevelResult, points, surfels
) -> list[bpy.types.Object]:
    """Bring one level in; the new objects."""
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
    """A file of the job folder; a result can't point out of it."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DreamzoomError(f"The result names a file outside its folder: {name}", "Do not use this job folder")
    return path


def _collection(root: bpy.types.Object, attribute: str, name: str) -> bpy.types.Collection:
    """The rig's collection for one kind of content. Points show in neither view nor render until asked for."""
    settings = root.dreamzoom
    found = getattr(settings, attribute)
    if found is None:
        found = bpy.data.collections.new(f"{root.name} {name}")
        found.hide_render = found.hide_viewport = attribute == "points_collection"
        setattr(settings, attribute, found)
    if found.name not in settings.collection.children:
        settings.collection.children.link(found)
    return found

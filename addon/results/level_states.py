"""The states of a rig's levels as the list shows them: what was dreamed, what the scene shows, what is on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

from .. import rig
from ..backend import job_folders
from ..backend.current_job import Job
from ..core.protocol import messages, result
from ..core.safety.contained import ContainedFolder
from ..scene import prompt_changes
from ..scene.disk_looks import DiskLooks
from ..scene.prompt_changes import DREAMED, MISSING
from . import importer, versions

LOST, EARLIER, LEFT, SHOWN = "lost", "earlier", "left", "shown"
"""Further states: dreamed, and its files can't be read; dreamed, and an earlier version is shown; dreamed, and not
imported; never dreamed to the end, but shown."""

MOST_OBJECTS = 2000
"""In larger files only the rig's collection is looked through, since panels ask whenever they are drawn."""

Files = dict[str, str]
"""Stamp of each file of a level by its kind, `importer.CLOUD` or `SPLATS`."""


def of_rig(root: bpy.types.Object, job: Job | None) -> list[str]:
    """The state of each level, as far as it is known. Fast enough to be asked at every redraw.

    Args:
        root: The rig.
        job: Its running or last job.
    """
    found = prompt_changes.states(root.dreamzoom, job)
    if job is not None and job.is_active and job.method == messages.GENERATE:
        return found
    shown = _shown(root, len(found))
    on_disk = _on_disk(root)
    for level, state in enumerate(found):
        if state == MISSING and shown[level]:
            found[level] = SHOWN
        elif state == DREAMED and on_disk is not None:
            found[level] = _compared(on_disk[level], shown[level])
    return found


def forget() -> None:
    """Look at the disk again at the next call."""
    _looks.forget()


def _shown(root: bpy.types.Object, count: int) -> list[list[bpy.types.Object]]:
    """The imported objects of each level, in one pass: `Object.children` looks at all objects of the file each time."""
    home = root.dreamzoom.collection
    # Not `all_objects`: after an undo Blender reads freed memory there (measured in 4.5, 5.2 and 5.3)
    homes = () if home is None else (home, *home.children_recursive)
    found = _contents(root, {obj for one in homes for obj in one.objects}, count)
    if not all(found) and len(bpy.data.objects) <= MOST_OBJECTS:  # the artist may have sorted them elsewhere
        found = _contents(root, bpy.data.objects, count)
    return found


def _contents(root: bpy.types.Object, objects: Iterable[bpy.types.Object], count: int) -> list[list[bpy.types.Object]]:
    found: list[list[bpy.types.Object]] = [[] for _ in range(count)]
    for obj in objects:
        empty = obj.parent if rig.CONTENT in obj else None
        if empty is not None and empty.parent == root and 0 <= empty.get(rig.LEVEL, -1) < count:
            found[empty[rig.LEVEL]].append(obj)
    return found


def _compared(files: Files, shown: list[bpy.types.Object]) -> str:
    """The state of a dreamed level whose files are these, and of which these objects are shown."""
    if not files:
        return LOST
    if not shown:
        return LEFT
    stamps = [(obj.get(importer.SOURCE), files[importer.kind_of(obj)]) for obj in shown]
    return EARLIER if any(stamp and stamp != now for stamp, now in stamps) else DREAMED


def _on_disk(root: bpy.types.Object) -> list[Files] | None:
    """The files of each level of a rig, empty where one is missing; None where that is not known yet."""
    levels, folder = range(len(root.dreamzoom.levels)), job_folders.of_rig(root)
    if folder is None:
        return [{} for _ in levels]
    looked = _looks.get(folder) if job_folders.is_trusted_place(folder) else None
    if looked is None:
        return None
    version, files = looked
    if version is None:
        return [{} for _ in levels]
    indices = [version.index_of(root, level) for level in levels]
    return [files[index] if 0 <= index < len(files) else {} for index in indices]


def _look(folder: Path) -> tuple[versions.Version | None, list[Files]]:
    """The newest result of a job, None where none can be read, and the files of its levels."""
    newest = result.newest(folder)
    version = versions.read(newest, newest == folder)
    return version, [] if version is None else [_files(newest, index) for index in range(len(version.prompts))]


def _files(folder: Path, index: int) -> Files:
    """The stamps of a level's files; none where one is missing."""
    inside, found = ContainedFolder(folder), {}
    for kind in (importer.CLOUD, importer.SPLATS):
        try:
            found[kind] = importer.stamp_of(inside.stat(f"levels/{index:03d}/{kind}.ply"))
        except (OSError, ValueError):
            return {}
    return found


_looks: DiskLooks[Path, tuple[versions.Version | None, list[Files]]] = DiskLooks(_look, versions.REFRESH_SECONDS)

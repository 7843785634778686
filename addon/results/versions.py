"""The versions of a level: those of earlier results of its job, and the newest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from ..backend import job_folders
from ..core.protocol import result
from ..core.safety.contained import ContainedFolder
from ..core.safety.seal import stamp
from ..scene.disk_looks import DiskLooks

REFRESH_SECONDS = 2.0
"""How often the disk is looked at again, since panels ask whenever they are drawn."""


@dataclass(frozen=True)
class Version:
    """An earlier or the newest result of a job.

    Attributes:
        name: Number of an earlier result, as "0003"; empty for the newest.
        folder: Which holds it.
        prompts: Of its levels.
        keys: Of its levels, 0 for one without.
    """

    name: str
    folder: Path
    prompts: tuple[str, ...]
    keys: tuple[int, ...] = ()

    def index_of(self, root: bpy.types.Object, level: int) -> int:
        """Which of its levels a level of a rig is; -1 for one that it has not."""
        item = root.dreamzoom.levels[level]
        if self.keys and all(self.keys) and any(other.key in self.keys for other in root.dreamzoom.levels):
            return self.keys.index(item.key) if item.key in self.keys else -1
        index = item.dreamed_as if any(other.dreamed_as >= 0 for other in root.dreamzoom.levels) else level
        return index if index < len(self.prompts) else -1

    def preview(self, level: int) -> str:
        """Path of a level's small picture."""
        return str(self.folder / f"levels/{level:03d}/preview.png")


MOST_SHOWN = 16
"""Earlier results; a job keeps fewer."""

_known: dict[Path, tuple[list[int], Version]] = {}
"""What was read of each result.json, and its stamp then: a large one takes a second, in which Blender waits."""


def of_rig(root: bpy.types.Object) -> list[Version]:
    """The results of a rig's job, the newest first, as they were found last: for panels, which must not wait for a
    disk.
    """
    folder = job_folders.of_rig(root)
    if folder is None or not job_folders.is_trusted_place(folder):
        return []
    return _looks.get(folder) or []


def find(root: bpy.types.Object, name: str) -> Version | None:
    """One of the results of a rig's job; None where it is not on the disk."""
    folder = job_folders.of_rig(root)
    if folder is None or not job_folders.is_trusted_place(folder):
        return None
    return next((version for version in _read_all(folder) if version.name == name), None)


def forget() -> None:
    """Look at the disk again at the next call."""
    _looks.forget()
    _known.clear()


def _read_all(folder: Path) -> list[Version]:
    """All results in a job's folder. Needs no Blender."""
    found = [read(path, path == folder) for path in (folder, *result.versions(folder)[: -MOST_SHOWN - 1 : -1])]
    return [version for version in found if version is not None]


_looks: DiskLooks[Path, list[Version]] = DiskLooks(_read_all, REFRESH_SECONDS)


def read(folder: Path, newest: bool) -> Version | None:
    """What a result tells, if it can be read; each is read once."""
    try:
        now = stamp(ContainedFolder(folder).stat(result.NAME))
        before, version = _known.get(folder, (None, None))
        if before != now or version is None:
            levels = result.read(folder)["levels"]
            prompts = tuple(str(level.get("prompt", "")) for level in levels)
            keys = tuple(level.get("key", 0) for level in levels)
            version = Version("" if newest else folder.name, folder, prompts, keys)
            _known[folder] = now, version
        return version
    except (OSError, ValueError):
        return None

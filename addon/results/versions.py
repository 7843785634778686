"""The versions of a level: those of earlier results of its job, and the newest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from ..backend import job_folders
from ..core.protocol import result
from ..core.safety.contained import ContainedFolder
from ..core.safety.seal import stamp
from .disk_looks import DiskLooks

REFRESH_SECONDS = 2.0
"""So long what was found on disk is taken for true, since panels ask whenever they are drawn."""

MOST_SHOWN = 16
"""A job keeps fewer."""


@dataclass(frozen=True)
class Version:
    """An earlier or the newest result of a job.

    Attributes:
        name: Number of an earlier result, as "0003"; empty for the newest.
        folder: Which holds it.
        prompts: Of its levels.
    """

    name: str
    folder: Path
    prompts: tuple[str, ...]

    def preview(self, level: int) -> str:
        """Path of a level's small picture."""
        return str(self.folder / f"levels/{level:03d}/preview.png")


_read: dict[Path, tuple[list[int], Version]] = {}
"""What was read of each result.json, and its stamp then."""


def of_rig(root: bpy.types.Object) -> list[Version]:
    """The results of a rig's job, the newest first, as they are on disk now: reads it, so it is not for panels."""
    folder = job_folders.of_rig(root)
    return _look(folder) if folder is not None and job_folders.is_trusted_place(folder) else []


def shown(root: bpy.types.Object) -> list[Version]:
    """The same as they were found a moment ago; never waits for the disk."""
    folder = job_folders.of_rig(root)
    return _looks.get(folder) if folder is not None and job_folders.is_trusted_place(folder) else []


def forget() -> None:
    """Look at the disk again at the next call."""
    _looks.forget()


def _look(folder: Path) -> list[Version]:
    """All results in a job's folder. Needs no Blender."""
    found = [_version(path, path == folder) for path in (folder, *result.versions(folder)[: -MOST_SHOWN - 1 : -1])]
    return [version for version in found if version is not None]


def _version(folder: Path, newest: bool) -> Version | None:
    """What a result tells, if it can be read; each is read once."""
    try:
        now = stamp(ContainedFolder(folder).stat(result.NAME))
        before, version = _read.get(folder, (None, None))
        if before != now or version is None:
            levels = result.read(folder)["levels"]
            prompts = tuple(str(level.get("prompt", "")) for level in levels)
            version = Version("" if newest else folder.name, folder, prompts)
            _read[folder] = now, version
        return version
    except (OSError, ValueError):
        return None


_looks: DiskLooks[Path, list[Version]] = DiskLooks(_look, [], REFRESH_SECONDS)

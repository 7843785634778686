"""The versions of a level: those of earlier results of its job, and the newest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from ..backend import job_folders
from ..core.protocol import result
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
    """

    name: str
    folder: Path
    prompts: tuple[str, ...]

    def preview(self, level: int) -> str:
        """Path of a level's small picture."""
        return str(self.folder / f"levels/{level:03d}/preview.png")


_known: dict[Path, Version] = {}
"""Earlier results that have been read: they do not change."""


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
    found = [_read(path, path == folder) for path in _folders(folder)]
    return [version for version in found if version is not None]


_looks: DiskLooks[Path, list[Version]] = DiskLooks(_read_all, REFRESH_SECONDS)


def _folders(folder: Path) -> list[Path]:
    newest = [folder] if (folder / result.NAME).is_file() else []
    return [*newest, *reversed(result.versions(folder))]


def _read(folder: Path, newest: bool) -> Version | None:
    """Read a result."""
    if folder in _known:
        return _known[folder]
    try:
        levels = result.read(folder)["levels"]
    except (OSError, ValueError):
        return None
    prompts = tuple(str(level.get("prompt", "")) for level in levels)
    found = Version("" if newest else folder.name, folder, prompts)
    if not newest:
        _known[folder] = found
    return found

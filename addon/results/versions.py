"""The versions of a level: those of earlier results of its job, and the newest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..backend import job_folders
from ..core.protocol import result

REFRESH_SECONDS = 2.0
"""So long what was found on disk is taken for true, since panels ask whenever they are drawn."""


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


_found: dict[Path, tuple[float, list[Version]]] = {}


def of_rig(root: bpy.types.Object) -> list[Version]:
    """The results of a rig's job, the newest first."""
    folder = job_folders.of_rig(root)
    if folder is None:
        return []
    until, found = _found.get(folder, (0.0, []))
    if time.monotonic() > until:
        known = {version.folder: version for version in found if version.name}
        found = [version for version in (_read(path, path == folder, known) for path in _folders(folder)) if version]
        _found[folder] = time.monotonic() + REFRESH_SECONDS, found
    return found


def forget() -> None:
    """Look at the disk again at the next call."""
    _found.clear()


def _folders(folder: Path) -> list[Path]:
    newest = [folder] if (folder / result.NAME).is_file() else []
    return [*newest, *reversed(result.versions(folder))]


def _read(folder: Path, newest: bool, known: dict[Path, Version]) -> Version | None:
    """Read a result; earlier ones do not change."""
    if folder in known:
        return known[folder]
    try:
        levels = result.read(folder)["levels"]
    except (OSError, ValueError):
        return None
    prompts = tuple(str(level.get("prompt", "")) for level in levels)
    return Version("" if newest else folder.name, folder, prompts)

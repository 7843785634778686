"""Space and permission on the disk, before anything is begun."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from core import installation
from core.installation import Failure
from installer.causes import InstallError

GB = 1_000_000_000
NEEDED = {"cpu": 2.5, "mps": 2.5, "cuda": 9.0, "rocm": 18.0}
"""GB that an environment takes, by device, downloads kept by pip included; measured for cpu, from the sizes of the
packages for the others."""

UNPACKED = 4.2
"""Bytes on the disk for each byte of downloads: the packages (3.2 times as large), and pip's copy of the downloads."""

RESERVE = 200_000_000
"""Bytes that must be left."""


def check(folder: Path, needed: float) -> None:
    """Make sure that `folder` can be written to and has room.

    Args:
        folder: The environment to be made; it need not exist.
        needed: Bytes.

    Raises:
        InstallError: It can't be written to, or its disk has too little space.
    """
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"dreamzoom" * 512)
    except OSError as error:
        full = error.errno in (28, 122)  # ENOSPC, EDQUOT
        cause = installation.DISK_FULL if full else installation.NOT_WRITABLE
        text = f"{place} can't be written to: {error.strerror or error}"
        raise InstallError(text, Failure(cause, text, bytes=int(needed) if full else 0)) from error
    need_free(place, needed)


def need_free(place: Path, needed: float) -> None:
    """Raise InstallError where the disk of `place` has less than `needed` bytes free, and the reserve."""
    free = free_bytes(place)
    if free < needed + RESERVE:
        lacking = needed + RESERVE - free
        text = (
            f"the disk of {place} has {free / GB:.1f} GB free, and about {(needed + RESERVE) / GB:.1f} GB are "
            f"needed: free {max(lacking / GB, 0.1):.1f} GB"
        )
        raise InstallError(text, Failure(installation.DISK_FULL, text, bytes=int(lacking)))


def free_bytes(place: Path) -> int:
    """Bytes free on the disk of a folder; those that DREAMZOOM_FREE_BYTES states in their place, for trying it out."""
    stated = os.environ.get("DREAMZOOM_FREE_BYTES", "")
    return int(stated) if stated.isdigit() else shutil.disk_usage(place).free

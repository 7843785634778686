"""Disks: the folders for caches and data, free space, and the errors of one that is full, read-only or gone, in words
that say where, how much, and what to do.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
"""Errors of a disk or quota without room."""

NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a place that may not be written."""


def why_not_written(path: Path, error: OSError, needed: int = 0) -> tuple[str, str]:
    """One line that says why a file could not be written, with its path, and one that says what to do.

    Args:
        path: The file, or the folder that was to be made.
        error: What the system said.
        needed: The size in bytes that the file was to have at least; 0 if unknown.
    """
    message, remedy = _explained(Path(path), error, needed)
    return f"{path} can't be written: {message}", remedy


def cache_home() -> Path:
    """The user's cache folder on this operating system."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def data_home() -> Path:
    """The folder for the user's data on this operating system."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def free_bytes(path: Path) -> int | None:
    """Free space, for this user, on the disk of a file or folder that need not exist; None if it can't be told."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return None


def size_text(count: int) -> str:
    """A size as people read it: 3 kB, 12 MB, 1.5 GB."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:.0f} {unit}"
    return f"{-(-count // 1000)} kB"


def _explained(path: Path, error: OSError, needed: int) -> tuple[str, str]:
    again = "then generate again: it goes on from where it stopped"
    free = free_bytes(path)
    if error.errno in FULL or (error.errno is None and free is not None and free < max(needed, 1 << 20)):
        return _full(path, error, needed, free), f"free some space there, {again}"
    if error.errno == errno.EROFS:
        return "the disk is read-only", f"make it writable or copy the folder to another disk, {again}"
    if error.errno in NOT_WRITABLE:
        return "you may not write there", f"change its permissions or choose another folder, {again}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"the folder {path.parent} is no longer there", "put it back, or generate again"
    if error.errno == errno.ENAMETOOLONG:
        return "its path is too long", "choose a folder with a shorter path"
    return error.strerror or str(error), f"check that disk, {again}"


def _full(path: Path, error: OSError, needed: int, free: int | None) -> str:
    if error.errno == errno.EFBIG:
        return f"a file of {size_text(max(needed, 1))} is larger than this disk or a limit of this system allows"
    if error.errno != errno.ENOSPC and error.errno is not None:
        return f"your quota there is used up{_needed(needed)}"
    if hasattr(os, "statvfs") and free:
        found = os.statvfs(_existing(path))
        if found.f_files and not found.f_favail:
            return f"the disk has no room for another file: all {found.f_files:,} are used (inodes)"
    if free is not None and free > 2 * max(needed, 1 << 24):
        return f"the system finds no space{_needed(needed)}, though {size_text(free)} are free: a quota may be used up"
    return f"the disk is full{_needed(needed)}" + ("" if free is None else f", {size_text(free)} are free")


def _needed(count: int) -> str:
    return f": at least {size_text(count)} are needed" if count else ""


def _existing(path: Path) -> Path:
    """The nearest folder above a path that exists."""
    path = Path(path).absolute()
    return next((place for place in (path, *path.parents) if place.is_dir()), Path(path.anchor))

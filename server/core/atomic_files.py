"""Atomic writing of files: after a crash either the old or the new file is there, never a partial one."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .disk import FULL, why_not_written
from .errors import DreamzoomError, NotWritten

TEMPORARY = ".writing-"
"""Prefix of the names of files that are being written."""


def is_temporary(name: str) -> bool:
    """Whether a file of this name was being written when its process was ended."""
    return name.startswith(TEMPORARY)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Context manager that gives a temporary path, with the same suffix, whose file replaces `path` on success.

    On success the file is flushed to disk and renamed, and the rename is made durable. If the block raises, the
    temporary file is removed. Its name can't be foreseen, so that no link can wait there.

    Raises:
        NotWritten: The folder can't be written, or the disk is full; `path` is then unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _put(temporary, path)
    except OSError as error:
        if _is_of_target(error, temporary):
            raise not_written(path, error, _size(temporary)) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Let a whole file replace `path`, durably.

    Raises:
        NotWritten: The folder can't be written, or the disk is full; both files are then as before.
    """
    try:
        _put(temporary, path)
    except OSError as error:
        raise not_written(path, error, _size(temporary)) from error


def _put(temporary: Path, path: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    _replace(temporary, path)
    sync_directory(path.parent)


def not_written(path: Path, error: OSError, needed: int = 0) -> NotWritten:
    """The error that says why a file could not be written (see `disk.why_not_written`)."""
    needed = max(needed, getattr(error, "needed", 0))
    message, remedy = why_not_written(path, error, needed)
    return NotWritten(message, remedy, error.errno or 0, str(path), needed)


def _is_of_target(error: OSError, temporary: Path) -> bool:
    """Whether an error is of the file that is being written, not of another that is read meanwhile."""
    if isinstance(error, DreamzoomError):
        return isinstance(error, NotWritten) and error.filename == str(temporary)  # written through another `beside`
    if error.errno in FULL or not isinstance(error.filename, (str, bytes)):
        return True
    return Path(os.fsdecode(error.filename)).parent == temporary.parent


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Context manager that gives a binary file, open for writing, that replaces `path` on success (see `beside`)."""
    with beside(path) as temporary, temporary.open("wb") as file:
        yield file


if os.name == "nt":

    def _replace(source: Path, target: Path) -> None:
        """Rename; retry for up to 2.5 s while another process (a reader, a virus scanner) holds the target open."""
        for _ in range(50):
            try:
                source.replace(target)
                return
            except PermissionError:
                time.sleep(0.05)
        source.replace(target)

    def sync_directory(path: Path) -> None:
        """Nothing to do: Windows can't sync directories, and NTFS journals the rename."""

else:

    def _replace(source: Path, target: Path) -> None:
        source.replace(target)

    def sync_directory(path: Path) -> None:
        """Make a rename in this directory durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Atomic writing of files: after a crash either the old or the new file is there, never a partial one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".writing-"
"""Prefix of the names of files that are being written."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Context manager that gives a temporary path, with the same suffix, whose file replaces `path` on success.

    On success the file is flushed to disk and renamed, and the rename is made durable. If the block raises, the
    temporary file is removed.

    Raises:
        OSError: The folder can't be written, or the disk is full; `path` is then unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


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

    def _sync_directory(path: Path) -> None:
        """Nothing to do: Windows can't sync directories, and NTFS journals the rename."""

else:

    def _replace(source: Path, target: Path) -> None:
        source.replace(target)

    def _sync_directory(path: Path) -> None:
        """Make a rename in this directory durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

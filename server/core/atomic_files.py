"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".writing-"
"""How names of files begin that are being written."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """The path of a file to write, of the same suffix, that takes `path`'s place when the block ends well.

    It is flushed to the disk and renamed, and the rename made durable; it vanishes when the block does not end well.

    Raises:
        OSError: The folder can't be written, or the disk is full; `path` is then as it was.
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
    """A binary file that takes `path`'s place when the block ends well, as `beside` says."""
    with beside(path) as temporary, temporary.open("wb") as file:
        yield file


if os.name == "nt":

    def _replace(source: Path, target: Path) -> None:
        """Rename; a reader or a virus scanner that has the target open for a moment is waited for."""
        for _ in range(50):
            try:
                source.replace(target)
                return
            except PermissionError:
                time.sleep(0.05)
        source.replace(target)

    def _sync_directory(path: Path) -> None:
        """Windows has no such thing: the rename itself is journalled."""

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

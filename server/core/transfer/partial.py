"""A file that arrives in chunks, in order. What has arrived stays on disk, and goes on after the connection was cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..atomic_files import not_written, put_in_place
from ..errors import RefusedFile
from ..safety.regular_files import check_regular

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_CAUTIOUS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOINHERIT", 0)


class PartialFile:
    """What has arrived of one file.

    Args:
        path: Where it is kept until it is whole. The name must tell the SHA-256, so that what is there is always the
            beginning of the same content.
        sha256: Of the whole content, in hex.
        size: Of the whole content in bytes.

    Raises:
        NotWritten: It can't be written.
        RefusedFile: A link, a pipe or the like stands in its place.

    Attributes:
        at: How many bytes are there.
    """

    def __init__(self, path: Path, sha256: str, size: int):
        self.path, self.sha256, self.size = path, sha256, size
        self._hash = hashlib.sha256()
        try:
            descriptor = os.open(path, _FLAGS | _CAUTIOUS, 0o600)
        except OSError as error:
            raise not_written(path, error, size) from error
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            check_regular(path, os.fstat(descriptor))
            self.at = self._take_over()
        except BaseException:
            self.close()
            raise

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are there."""
        return self.at == self.size

    def add(self, offset: int, chunk: bytes) -> None:
        """Add the next chunk.

        Raises:
            RefusedFile: It is not the next one, or exceeds the size.
            NotWritten: The disk is full or the like; what was there is kept.
        """
        if offset != self.at or self.at + len(chunk) > self.size:
            raise RefusedFile(f"a chunk at {offset:,} of {self.size:,} bytes, where {self.at:,} have arrived")
        try:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise not_written(self.path, error, self.size) from error
        self._hash.update(chunk)
        self.at += len(chunk)

    def finish(self, target: Path) -> None:
        """Put the whole file in its place, durably and in place of what is there.

        Raises:
            RefusedFile: It does not have its SHA-256; it is removed, and has to be sent again.
            NotWritten: The disk is full or the like.
        """
        self.close()
        if not self.is_whole or self._hash.hexdigest() != self.sha256:
            self.path.unlink(missing_ok=True)
            raise RefusedFile(f"{target.name} arrived damaged", "try again: it is sent once more")
        put_in_place(self.path, target)

    def close(self) -> None:
        """Close the file; what is there is kept."""
        self._file.close()

    def _take_over(self) -> int:
        """Hash what an earlier connection left; its size. More than the whole is none of it."""
        if os.fstat(self._file.fileno()).st_size > self.size:
            self._file.truncate(0)
        there = 0
        while piece := self._file.read(1 << 20):
            self._hash.update(piece)
            there += len(piece)
        return there

"""The bytes of a file of splats or points: on disk, or in memory where it was packed; never above the limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..errors import RefusedFile, SplatFileError
from ..safety import limits
from ..safety.regular_files import open_regular

GZIP = b"\x1f\x8b"
PIECE = 1 << 22


class Source:
    """A file to read from.

    Args:
        path: The file. Its name is used in messages.
        data: Its bytes if they are in memory already: unpacked, or out of another file.

    Raises:
        SplatFileError: It is no regular file, or too large.
        OSError: It can't be opened.
    """

    def __init__(self, path: Path, data: bytes | None = None):
        self.path, self.data = Path(path), data
        if data is None:
            with refused(self.name), open_regular(self.path, limits.SPLAT_FILE_BYTES, links=True) as file:
                self.size = file.seek(0, 2)
        else:
            self.size = len(data)

    @staticmethod
    def of(path: Path | Source) -> Source:
        """The source itself, or that of a path."""
        return path if isinstance(path, Source) else Source(Path(path))

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def read(self, offset: int = 0, count: int | None = None) -> bytes:
        """Up to `count` bytes from `offset` on; all where it is None."""
        if self.data is not None:
            return self.data[offset : None if count is None else offset + count]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(-1 if count is None else count)

    def rows(self, dtype: DTypeLike, count: int, offset: int) -> np.ndarray:
        """`count` values of a type, (count,); fewer where the file ends before. May be read-only."""
        if self.data is None:
            return np.fromfile(self.path, dtype, count, offset=offset)
        fit = max(0, self.size - offset) // max(1, np.dtype(dtype).itemsize)
        return np.frombuffer(self.data, dtype, min(count, fit), min(offset, self.size))

    def view(self, offset: int) -> np.ndarray:
        """All bytes from `offset` on, (N,) uint8, read as they are used."""
        if offset >= self.size:
            return np.zeros(0, np.uint8)
        if self.data is not None:
            return np.frombuffer(self.data, np.uint8, offset=offset)
        return np.memmap(self.path, np.uint8, "r", offset)

    def unpacked(self) -> Source:
        """The content of a gzip file; the source itself if it is none.

        Raises:
            SplatFileError: It is damaged, or would unpack to more than the limits.
        """
        if self.read(0, 2) != GZIP:
            return self
        return Source(self.path, b"".join(Inflater(self).pieces()))


class Inflater:
    """Unpacks a gzip file piece by piece, and stops when it unpacks to far more than real files do.

    Args:
        source: The gzip file.
    """

    def __init__(self, source: Source):
        self.source = source
        self._stream, self._rest, self._place, self._made = zlib.decompressobj(31), b"", 0, 0

    def read(self, count: int) -> bytes:
        """The next `count` bytes of the content; fewer at its end."""
        parts, missing = [], count
        while missing:
            part = self._some(min(missing, PIECE))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def pieces(self) -> Iterator[bytes]:
        """The rest of the content."""
        while part := self._some(PIECE):
            yield part

    def _some(self, most: int) -> bytes:
        while True:
            if not self._rest and self._place < self.source.size and not self._stream.eof:
                self._rest = self.source.read(self._place, PIECE >> 2)
                self._place += len(self._rest)
            packed = self._rest
            if self._stream.eof:
                following = self._stream.unused_data
                following += self.source.read(self._place, max(0, 18 - len(following)))
                if not following.startswith(GZIP):
                    return b""  # the end, or zeros that fill up a tape's block
                self._place += len(following) - len(self._stream.unused_data)
                self._stream, packed = zlib.decompressobj(31), following
            try:
                part = self._stream.decompress(packed, most)
            except zlib.error as error:
                raise SplatFileError(f"{self.source.name}: not a gzip file, or a damaged one ({error})") from None
            self._rest = self._stream.unconsumed_tail
            self._made += len(part)
            check_ratio(self.source.name, self._place, self._made)
            if part or self._stream.eof:
                if part:
                    return part
                continue
            if not self._rest and self._place >= self.source.size:
                raise SplatFileError(f"{self.source.name}: the file is truncated", "copy or export it again")


def check_ratio(name: str, packed: int, unpacked: int) -> None:
    """Refuse what unpacks to far more bytes than real files of splats do, before memory is taken.

    Raises:
        SplatFileError: `unpacked` bytes come out of `packed` ones.
    """
    if unpacked > limits.SPLAT_UNPACKED_FREE + packed * limits.SPLAT_UNPACKED_RATIO:
        raise SplatFileError(
            f"{name}: its {packed:,} bytes claim or unpack to {unpacked:,}, which no file of splats does"
        )
    if unpacked > limits.SPLAT_UNPACKED_BYTES:
        raise SplatFileError(
            f"{name}: unpacks to more than {limits.SPLAT_UNPACKED_BYTES:,} bytes, the most that is read"
        )


def check_rows(name: str, count: int) -> None:
    """Refuse more splats or points than one file may have.

    Raises:
        SplatFileError: There are more than `limits.SPLAT_ROWS`.
    """
    if count > limits.SPLAT_ROWS:
        raise SplatFileError(f"{name}: claims {count:,} rows; at most {limits.SPLAT_ROWS:,} are read")


@contextmanager
def refused(name: str) -> Iterator[None]:
    """Turns `RefusedFile` into a `SplatFileError` whose message begins with the file's name."""
    try:
        yield
    except RefusedFile as error:
        text = str(error)
        raise SplatFileError(text if text.startswith(f"{name}: ") else f"{name}: {text}", error.remedy) from None

"""Zip archives from outside. Python reads the whole directory of an archive when it opens it, and makes an object of
each entry; so the size of the directory is checked before.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import RefusedFile

ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, struct.error)
"""What Python's zipfile raises for a damaged, encrypted or unknown kind of entry."""

_END, _END_SIZE = b"PK\5\6", 22
_LOCATOR, _LOCATOR_SIZE = b"PK\6\7", 20
_LARGE_END, _LARGE_END_SIZE = b"PK\6\6", 56
_LONGEST_COMMENT = 1 << 16
_BYTES_PER_ENTRY = 256
"""Of the directory. An entry takes 46 at least, and its name."""


def open_zip(file: BinaryIO, name: str, most_entries: int) -> zipfile.ZipFile:
    """Open an archive for reading.

    Args:
        file: It, seekable; it stays open when the archive is closed.
        name: Its name, for messages.
        most_entries: How many entries it may have.

    Raises:
        RefusedFile: It is no zip, damaged, or has more entries.
    """
    most = most_entries * _BYTES_PER_ENTRY
    if any(size > most for size in _directory_sizes(file, name)):
        raise RefusedFile(f"{name}: the zip claims more files than are read: at most {most_entries:,}")
    try:
        archive = zipfile.ZipFile(file)
    except (*ZIP_DAMAGE, ValueError, OSError) as error:
        raise RefusedFile(f"{name} is damaged: {error}") from None
    if len(archive.infolist()) > most_entries:
        raise RefusedFile(f"{name} holds {len(archive.infolist()):,} files; at most {most_entries:,} are read")
    return archive


def _directory_sizes(file: BinaryIO, name: str) -> Iterator[int]:
    """The directory's size in bytes, as each record claims that Python may go by."""
    size = file.seek(0, 2)
    start = file.seek(max(0, size - _LONGEST_COMMENT - _END_SIZE - _LOCATOR_SIZE - _LARGE_END_SIZE))
    tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or place + _END_SIZE > len(tail):
        raise RefusedFile(f"{name}: the zip is truncated", "copy or export it again")
    (claimed,) = struct.unpack_from("<L", tail, place + 12)
    locator = place - _LOCATOR_SIZE
    if locator < 0 or not tail.startswith(_LOCATOR, locator):
        yield claimed
        return
    (told,) = struct.unpack_from("<Q", tail, locator + 8)
    before = start + locator - _LARGE_END_SIZE  # where Python looks, whatever the locator tells
    records = [_record(file, at) for at in {told, before} if 0 <= at <= size - _LARGE_END_SIZE]
    found = [struct.unpack_from("<Q", record, 40)[0] for record in records if record.startswith(_LARGE_END)]
    if not found:
        raise RefusedFile(f"{name}: the zip is damaged")
    yield from found


def _record(file: BinaryIO, at: int) -> bytes:
    file.seek(at)
    return file.read(_LARGE_END_SIZE)

"""The files of a SOG: in a zip, or beside its meta.json."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from ...errors import RefusedFile, SplatFileError
from ...safety import limits
from ...safety.bounded_arrays import ZIP_DAMAGE
from ...safety.bounded_json import decode_json
from ...safety.contained import ContainedFolder
from ..source import Source, refused

ZIP = b"PK\x03\x04"
META = "meta.json"
_END = struct.Struct("<4s4H2LH")
_DIRECTORY_BYTES = 1 << 20


class Bundle:
    """The metadata and the pictures of a SOG.

    Args:
        source: The zip, or the meta.json of a folder.

    Attributes:
        name: The file's name.
        meta: The metadata.
        size: Bytes of all files.

    Raises:
        SplatFileError: It is damaged, or above a limit.
    """

    def __init__(self, source: Source):
        self.name, self.size = source.name, source.size
        if source.read(0, 4) == ZIP:
            content, self._read = self._of_zip(source)
        else:
            content = source.read(0, limits.SPLAT_HEADER_BYTES + 1)
            folder = ContainedFolder(source.path.parent)
            self._read: Callable[[str], bytes] = lambda name: folder.read(name, limits.SPLAT_FILE_BYTES)
        with refused(self.name):
            self.meta: Any = decode_json(content, META, limits.SPLAT_HEADER_BYTES)
        if not isinstance(self.meta, dict):
            raise SplatFileError(f"{self.name}: the SOG's meta.json is no object")

    def file(self, name: object) -> bytes:
        """The bytes of a file that the metadata name.

        Raises:
            SplatFileError: There is none, or it is not to be read.
        """
        if not isinstance(name, str):
            raise SplatFileError(f"{self.name}: the SOG's meta.json names a file by {name!r:.40}")
        try:
            with refused(self.name):
                data = self._read(name)
        except (KeyError, FileNotFoundError):
            raise SplatFileError(f"{self.name}: the SOG lacks its file {name[:80]!r}") from None
        except ZIP_DAMAGE as error:
            raise SplatFileError(f"{self.name}: the SOG's file {name[:80]!r} is damaged ({error})") from None
        return data

    def _of_zip(self, source: Source) -> tuple[bytes, Callable[[str], bytes]]:
        """The bytes of a zip's meta.json, and what reads the files beside it."""
        data = source.read()
        _check_directory(self.name, data)
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
            entries = {entry.filename: entry for entry in archive.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise SplatFileError(f"{self.name}: the zip is damaged ({error})") from None
        found = sorted((name for name in entries if name.rpartition("/")[2] == META), key=lambda name: name.count("/"))
        if not found:
            streamed = any(name.endswith("lod-meta.json") for name in entries)
            what = "is a streamed SOG, which is not read" if streamed else "is a zip without meta.json, not a SOG"
            raise SplatFileError(f"{self.name}: {what}")
        folder = found[0].removesuffix(META)

        def read(name: str) -> bytes:
            return _unzipped(archive, entries[folder + name], self.size)

        try:
            with refused(self.name):
                return read(META), read
        except ZIP_DAMAGE as error:
            raise SplatFileError(f"{self.name}: the SOG's meta.json is damaged ({error})") from None


def _check_directory(name: str, data: bytes) -> None:
    """Check number and size of a zip's entries before its directory is read."""
    place = data.rfind(b"PK\5\6", max(0, len(data) - (1 << 16) - _END.size))
    if place < 0 or place + _END.size > len(data):
        raise SplatFileError(f"{name}: the zip is truncated", "copy or export it again")
    _, _, _, _, count, size, _, _ = _END.unpack_from(data, place)
    if data[max(0, place - 20) : place].startswith(b"PK\6\7"):  # zip64 has the true numbers elsewhere
        (end,) = struct.unpack_from("<Q", data, place - 12)
        if end + 56 > len(data) or data[end : end + 4] != b"PK\6\6":
            raise SplatFileError(f"{name}: the zip is damaged")
        _, count, size = struct.unpack_from("<QQQ", data, end + 24)
    if count > limits.ZIP_ENTRIES or size > _DIRECTORY_BYTES:
        raise SplatFileError(f"{name}: the zip claims {count:,} files; at most {limits.ZIP_ENTRIES:,} are read")


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> bytes:
    """The bytes of an entry, if they are not many more than the whole zip has."""
    if entry.file_size > 2 * size + limits.SPLAT_HEADER_BYTES:  # pictures don't shrink further
        raise RefusedFile(f"{entry.filename[:80]!r} claims {entry.file_size:,} bytes, far more than the zip has")
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise RefusedFile(f"{entry.filename[:80]!r} has not the size that the zip claims")
    return data

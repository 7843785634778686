"""The files of a SOG: in a zip, or beside its meta.json."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from ...errors import RefusedFile, SplatFileError
from ...safety import limits
from ...safety.bounded_json import decode_json
from ...safety.bounded_zip import ZIP_DAMAGE, open_zip
from ...safety.contained import ContainedFolder
from ..source import Source, refused

ZIP = b"PK\x03\x04"
META = "meta.json"


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
        with refused(self.name):
            archive = open_zip(io.BytesIO(source.read()), self.name, limits.ZIP_ENTRIES)
        entries = {entry.filename: entry for entry in archive.infolist()}
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


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> bytes:
    """The bytes of an entry, if they are not many more than the whole zip has."""
    if entry.file_size > 2 * size + limits.SPLAT_HEADER_BYTES:  # pictures don't shrink further
        raise RefusedFile(f"{entry.filename[:80]!r} claims {entry.file_size:,} bytes, far more than the zip has")
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise RefusedFile(f"{entry.filename[:80]!r} has not the size that the zip claims")
    return data

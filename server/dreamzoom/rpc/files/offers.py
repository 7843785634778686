"""The files of a job that a client may fetch: its request, and what finished steps have exported."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import BinaryIO

from core.errors import DreamzoomError, RefusedFile
from core.safety import limits
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.records import read_record
from dreamzoom.stages.base import layout


@dataclass(frozen=True)
class Offer:
    """A file that is whole.

    Attributes:
        name: Relative to the job's folder.
        bytes: Its size.
        sha256: Of its content, in hex.
    """

    name: str
    bytes: int
    sha256: str


class Offers:
    """The files of one job.

    Args:
        folder: The job's folder.
    """

    def __init__(self, folder: Folder):
        self._folder = folder
        self._records: dict[str, tuple[list[int], dict]] = {}
        self._digests: dict[str, tuple[list[int], str]] = {}
        self._offered: dict[str, Offer] = {}

    def list(self) -> list[Offer]:
        """What is there now: the request, then files in the order in which they were finished."""
        found = {}
        for name, wanted in {layout.REQUEST: None, **self._exported()}.items():
            with contextlib.suppress(FileNotFoundError, RefusedFile):
                offer = self._offer(name, wanted)
                if offer is not None and len(found) < limits.TRANSFER_FILES:
                    found[name] = offer
        self._offered = found
        return list(found.values())

    def open(self, name: str, sha256: str) -> BinaryIO:
        """Open a file that was offered. Raises DreamzoomError if it is another one by now."""
        offer = self._offered.get(name)
        gone = DreamzoomError(f"{name[:80]} is not offered, or has changed", "list the job's files again")
        if offer is None or offer.sha256 != sha256:
            raise gone
        try:
            file = self._folder.open(name)
        except (FileNotFoundError, RefusedFile):
            raise gone from None
        if self._digests[name][0] != self._folder.stamp(name):
            file.close()
            raise gone
        return file

    def _exported(self) -> dict[str, dict]:
        """What the records tell of exported files, by name; where several tell of one, the newest is right."""
        known = {}
        for name in self._folder.names(layout.RECORDS):
            digest = layout.record_digest(name)
            with contextlib.suppress(FileNotFoundError, RefusedFile):
                if digest is not None:
                    known[name] = self._record(f"{layout.RECORDS}/{name}", digest)
        self._records = known
        records = sorted((record for _, record in known.values()), key=lambda record: record["finished"])
        found: dict[str, dict] = {}
        for outputs in (record["outputs"] for record in records):
            for name, entry in outputs.items():
                if f"/{layout.PARTS}/" not in name:
                    found.pop(name, None)
                    found[name] = entry
        return found

    def _record(self, path: str, digest: str) -> tuple[list[int], dict]:
        stamp, name = self._folder.stamp(path), path.rpartition("/")[2]
        known = self._records.get(name)
        return known if known is not None and known[0] == stamp else (stamp, read_record(self._folder, digest))

    def _offer(self, name: str, wanted: dict | None) -> Offer | None:
        """A file, if its content is what its record tells; it is read only where its time is another one."""
        stamp = self._folder.stamp(name)
        known = self._digests.get(name)
        if known is None or known[0] != stamp:
            is_same = wanted is not None and [wanted["bytes"], wanted.get("mtime_ns")] == stamp
            known = self._digests[name] = stamp, wanted["sha256"] if wanted and is_same else self._folder.digest(name)
        if wanted is not None and known[1] != wanted["sha256"]:
            return None  # a step is writing it anew, or it is damaged
        return Offer(name, stamp[0], known[1])

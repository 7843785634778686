"""Files between the machine of the job's folder and a worker's machine that does not see it, by their content.

Each end calls the other through an `Ask`; what a machine has already in its cache is not sent again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from dreamzoom.cluster import cache
from dreamzoom.pipeline.folder import Folder

CHUNK = 8 << 20
"""Bytes of a file that are sent at once."""

Ask = Callable[..., Any]
"""Calls a method of the other machine's `Shelf`, by name, with arguments; returns or raises what it does."""


class Shelf:
    """The files of a worker's machine."""

    def __init__(self):
        self._arriving: dict[str, Path] = {}

    def missing(self, digests: Collection[str]) -> list[str]:
        """Which of the files with these SHA-256 this machine does not have."""
        return [digest for digest in digests if not cache.has(digest)]

    def take(self, digest: str, chunk: bytes, offset: int, last: bool) -> None:
        """Receive a part of a file, in order. Raises `cache.Damaged` after the last one if it is another file."""
        if offset == 0:
            place = cache.place_of(digest)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._arriving[digest] = place.with_name(f"{digest}.{os.getpid()}")
        with self._arriving[digest].open("ab" if offset else "wb") as file:
            file.write(chunk)
        if last:
            arrived = self._arriving.pop(digest)
            try:
                cache.fetched(digest, arrived.replace)
            finally:
                arrived.unlink(missing_ok=True)

    def give(self, digest: str, offset: int) -> bytes:
        """A part of a file of this machine; empty behind its end."""
        with cache.place_of(digest).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)


def send(ask: Ask, reads: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Send the files that a machine does not have.

    Args:
        ask: Reaches the machine.
        reads: The paths of the files here, by name.

    Returns:
        The SHA-256 of each file, by name, and how many bytes were sent.
    """
    files = {name: cache.digest_of(Path(path)) for name, path in reads.items()}
    missing, sent = set(ask("missing", sorted(set(files.values())))), 0
    for name, digest in files.items():
        if digest in missing:
            missing.remove(digest)
            sent += _send(ask, digest, Path(reads[name]))
    return files, sent


def _send(ask: Ask, digest: str, path: Path) -> int:
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            ask("take", digest, chunk, offset, offset + len(chunk) >= size or not chunk)
            offset += len(chunk)
            if offset >= size or not chunk:
                return offset


def fetch(ask: Ask, folder: Folder, names: Collection[str], outputs: Mapping[str, str]) -> int:
    """Fetch what a machine wrote into a folder; returns how many bytes it was.

    Args:
        ask: Reaches the machine.
        folder: Gets the files.
        names: The files that may be written; what else the machine offers is left out.
        outputs: The SHA-256 of each file, by name.

    Raises:
        Damaged: A file is another one than was told.
    """
    fetched = 0
    for name in names:
        if name not in outputs:
            continue

        def receive(path: Path, digest: str = outputs[name]) -> None:
            nonlocal fetched
            whole = hashlib.sha256()
            with path.open("wb") as file:
                while chunk := ask("give", digest, file.tell()):
                    file.write(chunk)
                    whole.update(chunk)
            if whole.hexdigest() != digest:
                raise cache.Damaged(f"a file arrived damaged (SHA-256 {digest[:12]})", "resume the job")
            fetched += path.stat().st_size

        folder.write_with(name, receive)
    return fetched

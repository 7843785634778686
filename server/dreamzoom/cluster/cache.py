"""Files of steps that this machine keeps, by the SHA-256 of their content, so that they are not fetched twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.disk import cache_home
from core.errors import DreamzoomError
from core.safety.seal import sha256_of
from dreamzoom.pipeline.folder import Folder

CACHED = 20 << 30
"""Bytes of files that a machine keeps for later steps; the ones that were used longest ago go first."""


class Damaged(DreamzoomError):
    """A file does not have the content by which it was asked for."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return sha256_of(file)


def cache_folder() -> Path:
    """Where the files lie: DREAMZOOM_CACHE, or a folder among the user's caches."""
    chosen = os.environ.get("DREAMZOOM_CACHE")
    return (Path(chosen) if chosen else cache_home() / "dreamzoom") / "store"


def place_of(digest: str) -> Path:
    """Where the file of this SHA-256 lies if this machine has it. Not to be changed."""
    return cache_folder() / digest[:2] / digest


def has(digest: str) -> bool:
    """Whether this machine has the file of this SHA-256, whole; it counts as used now."""
    place = place_of(digest)
    if not place.is_file() or digest_of(place) != digest:
        return False
    os.utime(place)
    return True


def fetched(digest: str, fetch: Callable[[Path], Any]) -> Path:
    """The file of this SHA-256. If this machine does not have it, `fetch` writes it to the path that it is given.

    Raises:
        Damaged: What was fetched is another file.
        Exception: Any of `fetch`.
    """
    place = place_of(digest)
    if has(digest):
        return place
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = place.with_name(f"{digest}.{uuid.uuid4().hex}")
    try:
        fetch(temporary)
        if digest_of(temporary) != digest:
            raise Damaged(f"a file arrived damaged (SHA-256 {digest[:12]})", "resume the job: it is fetched again")
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
    return place


@contextlib.contextmanager
def scratch_folder(files: Mapping[str, str], fetch: Callable[[str, Path], Any]) -> Iterator[Folder]:
    """A temporary job folder with these files.

    Args:
        files: The SHA-256 of each file, by name.
        fetch: Called as fetch(digest, path) for what this machine does not have.
    """
    with tempfile.TemporaryDirectory(prefix="dreamzoom-step-", ignore_cleanup_errors=True) as scratch:
        folder = Folder(Path(scratch))
        for name, digest in files.items():
            found = fetched(digest, lambda path, digest=digest: fetch(digest, path))
            folder.write_with(name, lambda path, found=found: shutil.copyfile(found, path))
        shorten()
        yield folder


def shorten(limit: int = CACHED) -> None:
    """Remove the files that were used longest ago, until there are at most `limit` bytes."""
    found = []
    for path in cache_folder().glob("??/*"):
        with contextlib.suppress(OSError):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found, key=lambda one: one[0]):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size

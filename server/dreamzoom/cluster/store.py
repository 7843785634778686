"""Files by the SHA-256 of their content, in a folder or in any storage that fsspec reaches (S3 and the like).

A file's key follows from its content. So a key either holds exactly that content or is damaged, which `get` notices;
nothing depends on listings, which some storages give late; and a file that is there already is not sent again. A write
goes to a temporary key first where the storage can rename, is read back, and is tried again if it is not whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.disk import cache_home
from core.errors import BadRequest, DreamzoomError, EngineUnavailable
from core.safety.seal import sha256_of
from dreamzoom.pipeline.folder import Folder

ATTEMPTS = 5
FIRST_PAUSE = 0.2
"""Seconds before the second attempt; each further pause is twice as long."""
CACHED = 20 << 30
"""Bytes of files that a machine keeps for later steps; the ones that were used longest ago go first."""


class Store:
    """A place for files by their content.

    Args:
        url: As fsspec takes it: "s3://bucket/folder", "/shared/folder", "memory://x". Options of fsspec come from its
            own configuration and environment (keys are never part of a job).

    Raises:
        EngineUnavailable: fsspec, or its package for this kind of storage, is not installed.
        BadRequest: The URL is of no kind that fsspec knows.
    """

    def __init__(self, url: str):
        if find_spec("fsspec") is None:
            raise EngineUnavailable("a store needs the package fsspec", "install it: pip install fsspec s3fs")
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise EngineUnavailable(f"the store {url} can't be used: {error}", "install that package") from None
        except ValueError as error:
            raise BadRequest("storage", f"must be a URL that fsspec knows; {error}") from None
        self.url = url

    def put(self, path: Path) -> str:
        """Store a file unless its content is there; returns its SHA-256 in hex. Raises DreamzoomError."""
        digest = digest_of(path)
        key, size = self._key(digest), path.stat().st_size

        def attempt() -> None:
            if self._size(key) == size:
                return
            temporary = f"{key}.{uuid.uuid4().hex}"
            self._files.makedirs(self._files._parent(key), exist_ok=True)
            self._files.put_file(str(path), temporary)
            if self._size(temporary) != size:
                raise OSError(f"{temporary} is not whole")
            self._files.mv(temporary, key)
            if self._size(key) != size:
                raise OSError(f"{key} is not whole")

        self._insist(attempt, f"{path.name} can't be written to {self.url}")
        return digest

    def get(self, digest: str, path: Path) -> None:
        """Fetch the file of this SHA-256 to a path; what arrives is checked. Raises DreamzoomError."""
        key = self._key(digest)

        def attempt() -> None:
            self._files.invalidate_cache()
            self._files.get_file(key, str(path))
            if digest_of(path) != digest:
                raise OSError(f"{key} is damaged")

        self._insist(attempt, f"a file can't be fetched from {self.url}")

    def cached(self, digest: str) -> Path:
        """The file of this SHA-256 in this machine's cache, fetched if it is not there. Not to be changed."""
        place = cache_folder() / digest[:2] / digest
        if place.is_file() and digest_of(place) == digest:
            os.utime(place)
            return place
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = place.with_name(f"{digest}.{uuid.uuid4().hex}")
        try:
            self.get(digest, temporary)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        return place

    def _key(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _size(self, key: str) -> int | None:
        self._files.invalidate_cache()
        try:
            return int(self._files.info(key)["size"])
        except FileNotFoundError:
            return None

    def _insist(self, attempt: Any, failure: str) -> None:
        """Try several times: storages fail now and then."""
        for number in range(ATTEMPTS):
            try:
                attempt()
                return
            except PermissionError as error:
                raise DreamzoomError(f"{failure}: {error}", "look at the rights and the keys of the storage") from None
            except (OSError, TimeoutError, ConnectionError) as error:
                if number == ATTEMPTS - 1:
                    raise DreamzoomError(f"{failure}: {error}", "look at the storage, then resume the job") from None
            time.sleep(FIRST_PAUSE * 2**number)


def digest_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return sha256_of(file)


def cache_folder() -> Path:
    """Where this machine keeps files of stores: DREAMZOOM_CACHE, or a folder among the user's caches."""
    chosen = os.environ.get("DREAMZOOM_CACHE")
    return (Path(chosen) if chosen else cache_home() / "dreamzoom") / "store"


@contextlib.contextmanager
def scratch_folder(store: Store, files: Mapping[str, str]) -> Iterator[Folder]:
    """A temporary job folder with these files (name → SHA-256) from the store."""
    with tempfile.TemporaryDirectory(prefix="dreamzoom-step-") as scratch:
        folder = Folder(Path(scratch))
        for name, digest in files.items():
            found = store.cached(digest)
            folder.write_with(name, lambda path, found=found: shutil.copyfile(found, path))
        shorten_cache()
        yield folder


def shorten_cache(limit: int = CACHED) -> None:
    """Remove the files of the cache that were used longest ago, until it has at most `limit` bytes."""
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

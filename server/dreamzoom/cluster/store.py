"""Files by the SHA-256 of their content, in a folder or in any storage that fsspec reaches (S3 and the like).

A file's key follows from its content. So a key either holds exactly that content or is damaged, which `get` notices;
nothing depends on listings, which some storages give late; and a file that is there already is not sent again. A write
goes to a temporary key first, is measured, moved to its key and measured again; it is tried again if it is not whole.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from core.errors import BadRequest, Cancelled, DreamzoomError, EngineUnavailable
from dreamzoom.cluster.cache import Damaged, digest_of
from dreamzoom.progress import check

ATTEMPTS = 5
FIRST_PAUSE = 0.2
"""Seconds before the second attempt; each further pause is twice as long."""
POLL = 0.1
"""Seconds between two looks whether the job was cancelled."""


class Store:
    """A place for files by their content. All methods check for cancellation (`progress.check`) while they wait.

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

    def put(self, path: Path, anew: bool = False) -> str:
        """Store a file unless its content is there; returns its SHA-256 in hex. Raises DreamzoomError, Cancelled.

        Args:
            path: The file.
            anew: Whether what is there under its name is not trusted, and written again.
        """
        digest = digest_of(path)
        key, size = self._key(digest), path.stat().st_size

        def attempt() -> None:
            if not anew and self._size(key) == size:
                return
            temporary = f"{self._root}/partial/{uuid.uuid4().hex}"
            try:
                for folder in (self._files._parent(temporary), self._files._parent(key)):
                    self._files.makedirs(folder, exist_ok=True)
                self._files.put_file(str(path), temporary)
                if self._size(temporary) != size:
                    raise OSError(f"{temporary} is not whole")
                self._files.mv(temporary, key)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(temporary)
                raise
            if self._size(key) != size:
                raise OSError(f"{key} is not whole")

        self._insist(attempt, f"{path.name} can't be written to {self.url}")
        return digest

    def get(self, digest: str, path: Path) -> None:
        """Fetch the file of this SHA-256 to a path.

        Raises:
            Damaged: What the store holds is another file. It is removed there, so that it can be put again.
            DreamzoomError: The storage does not answer, has no such file, or refuses.
            Cancelled: The job was cancelled.
        """
        key = self._key(digest)

        def attempt() -> None:
            self._files.invalidate_cache()
            self._files.get_file(key, str(path))
            if digest_of(path) != digest:
                raise Damaged(f"{key} in {self.url} is damaged", "resume the job: the file is sent again")

        try:
            self._insist(attempt, f"a file can't be fetched from {self.url}")
        except Damaged:
            with contextlib.suppress(Exception):
                self._files.rm_file(key)
            raise

    def _key(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _size(self, key: str) -> int | None:
        self._files.invalidate_cache()
        try:
            return int(self._files.info(key)["size"])
        except FileNotFoundError:
            return None

    def _insist(self, attempt: Callable[[], None], failure: str) -> None:
        """Try several times: storages fail now and then, each with exceptions of its own."""
        for number in range(ATTEMPTS):
            try:
                _cancellable(attempt)
                return
            except (Cancelled, MemoryError):
                raise
            except PermissionError as error:
                remedy = "look at the rights and keys of the storage, and at this machine's clock"
                raise DreamzoomError(f"{failure}: {error}", remedy) from None
            except Damaged:
                if number == ATTEMPTS - 1:
                    raise
            except Exception as error:
                if number == ATTEMPTS - 1:
                    raise DreamzoomError(f"{failure}: {error}", "look at the storage, then resume the job") from None
            for _ in range(max(1, round(FIRST_PAUSE * 2**number / POLL))):
                check()
                time.sleep(min(POLL, FIRST_PAUSE * 2**number))


def _cancellable(work: Callable[[], None]) -> None:
    """Do work that may wait for a network. If the job is cancelled, it is left to end by itself. Raises Cancelled."""
    failures: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=do, name="store", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        check()
    if failures:
        raise failures[0]

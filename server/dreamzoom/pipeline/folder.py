"""A job's folder. Files are written atomically, so that the process may be killed at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from core.atomic_files import TEMPORARY, beside
from core.errors import DreamzoomError
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.files import Format

T = TypeVar("T")


class FolderBusy(DreamzoomError):
    """Another process uses this job folder."""


class Folder:
    """A job's folder. File names are relative to it, with "/" on every system.

    Args:
        root: The folder's path; it is created when the first file is written.
    """

    def __init__(self, root: Path):
        self.root = Path(root).absolute()

    def path(self, name: str) -> Path:
        """The file's full path. Raises ValueError for a name that is outside the folder."""
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or any(":" in part or "\\" in part for part in parts) or name.startswith("/"):
            raise ValueError(f"not a file name inside the job folder: {name!r}")
        return self.root.joinpath(*parts)

    def exists(self, name: str) -> bool:
        """Whether this file exists."""
        return self.path(name).is_file()

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises FileNotFoundError."""
        return self.path(name).read_bytes()

    def read_json(self, name: str) -> Any:
        """The file's JSON value. Raises FileNotFoundError, and ValueError for invalid JSON."""
        return json.loads(self.read(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically and durably."""
        self.write_with(name, lambda temporary: temporary.write_bytes(data))

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as indented JSON. Raises ValueError for NaN and infinities."""
        self.write(name, (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())

    def write_with(self, name: str, writer: Callable[[Path], Any]) -> None:
        """Write a file, atomically and durably, by calling `writer` with a temporary path of the same suffix."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside(target) as temporary:
            writer(temporary)

    def load(self, format_: Format[T], name: str) -> T:
        """The value in a file. Raises FileNotFoundError."""
        return format_.read(self.path(name))

    def save(self, format_: Format[T], name: str, value: T) -> None:
        """Write a value atomically and durably."""
        self.write_with(name, lambda path: format_.write(path, value))

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        self.path(name).unlink(missing_ok=True)

    def names_below(self, name: str) -> list[str]:
        """The names of all files in a folder of this job and below; empty if there is no such folder."""
        place = self.path(name)
        return sorted(path.relative_to(self.root).as_posix() for path in place.rglob("*") if path.is_file())

    def digest(self, name: str) -> str:
        """SHA-256 of a file, in hex."""
        with self.path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return self.path(name).stat().st_size

    def is_job(self) -> bool:
        """Whether the folder contains a job's request."""
        return self.exists(layout.REQUEST)

    def is_free(self) -> bool:
        """Whether a new job may be started here: the folder is empty except for hidden files and files that file
        managers create.
        """
        if not self.root.exists():
            return True
        litter = {"desktop.ini", "thumbs.db"}
        return all(entry.name.startswith(".") or entry.name.lower() in litter for entry in self.root.iterdir())

    def sweep(self) -> None:
        """Remove partially written files that a killed process left behind. The caller holds the lock."""
        for temporary in self.root.rglob(TEMPORARY + "*"):
            temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process. It is a lock of the operating system, so it is released when the process
        ends.

        Raises:
            FolderBusy: Another process, or another job of this process, holds the lock.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        # a soft lock, which filelock takes where the file system has no other, would outlive a killed process
        lock = FileLock(self.root / layout.LOCK, blocking=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise FolderBusy(
                f"another process works in {self.root}", "wait for it, cancel it, or choose another folder"
            ) from None
        try:
            yield
        finally:
            lock.release()

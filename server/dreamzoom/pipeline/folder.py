"""A job's folder. Files are written atomically, so that the process may be killed at any moment.

Everything goes through `core.safety.contained`: no name and no link leads out of the folder.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock, Timeout

from core.atomic_files import beside, is_temporary, not_written, sync_directory
from core.errors import DreamzoomError, RefusedFile
from core.safety import limits
from core.safety.bounded_json import decode_json
from core.safety.contained import ContainedFolder
from core.safety.regular_files import is_link
from core.safety.seal import CHECK, check_seal, sealed, sha256_of, stamp
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.files import Format

T = TypeVar("T")

LITTER = {"desktop.ini", "thumbs.db", "@eadir", "#recycle", "icon\r", "lost+found", "__macosx"}
"""What file managers, sync tools and operating systems create in any folder; in lower case."""


class FolderBusy(DreamzoomError):
    """Another process uses this job folder."""


class Folder:
    """A job's folder. File names are relative to it, with "/" on every system.

    Methods raise `RefusedFile` (a ValueError) for names that lead out, and for links, pipes and devices in the folder.

    Args:
        root: The folder's path; it is created when the first file is written. A folder that is removed after that, for
            example while a job runs, does not come back: writing then fails.

    Attributes:
        root: The folder's absolute path.
        files: Its files, for code that both processes share.
    """

    def __init__(self, root: Path):
        self.files = ContainedFolder(root)
        self.root = self.files.root
        self._was_there = False

    def path(self, name: str) -> Path:
        """The file's full path."""
        return self.files.path(name)

    def exists(self, name: str) -> bool:
        """Whether this file exists; False for anything that is no regular file inside the folder."""
        return self.files.exists(name)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError."""
        return self.files.open(name)

    def read(self, name: str, most_bytes: int = limits.RESULT_BYTES) -> bytes:
        """The file's bytes. Raises FileNotFoundError, and RefusedFile if it is larger."""
        return self.files.read(name, most_bytes)

    def read_json(self, name: str, most_bytes: int = limits.RESULT_BYTES) -> Any:
        """The file's JSON value. Raises FileNotFoundError, and RefusedFile for invalid, too large or too deep JSON."""
        return decode_json(self.read(name, most_bytes), name, most_bytes)

    def read_sealed(self, name: str, most_bytes: int, is_old_key: Callable[[str], bool]) -> dict[str, Any]:
        """The object in a JSON file that carries its own check (see `seal`), as `write_sealed` wrote it.

        Args:
            name: The file.
            most_bytes: Its largest size.
            is_old_key: Whether this is a key of older versions, whose objects have no check.

        Raises:
            FileNotFoundError, RefusedFile: As `read_json`; also if it does not fit its check.
        """
        data = self.read(name, most_bytes)
        value = decode_json(data, name, most_bytes)
        if not isinstance(value, dict):
            raise RefusedFile(f"{name} is damaged: it is no object")
        if CHECK in value or not all(map(is_old_key, value)):
            check_seal(value, name)
            if not data.endswith(b"}\n"):
                raise RefusedFile(f"{name} is damaged: its end is cut off")
        return value

    def write_sealed(self, name: str, value: dict[str, Any]) -> None:
        """Write an object as indented JSON with its own check."""
        self.write_json(name, sealed(value))

    def create(self) -> None:
        """Create the folder, for this user alone, if it was not there before. Raises NotWritten."""
        if self._was_there:
            return
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            if not self.root.is_dir():
                self.root.mkdir(0o700, exist_ok=True)
                sync_directory(self.root.parent)
        except OSError as error:
            raise not_written(self.root, error) from error
        self._was_there = True

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically and durably."""
        self.write_with(name, lambda temporary: temporary.write_bytes(data))

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as indented JSON. Raises ValueError for NaN and infinities."""
        self.write(name, (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())

    def write_with(self, name: str, writer: Callable[[Path], Any]) -> None:
        """Write a file, atomically and durably, by calling `writer` with a temporary path of the same suffix.

        Raises:
            NotWritten: The disk is full or read-only, or the folder is gone.
        """
        self.create()
        try:
            target = self.files.make_parents(name)
        except OSError as error:
            raise not_written(self.root / name, error) from error
        with beside(target) as temporary:
            writer(temporary)

    def load(self, format_: Format[T], name: str) -> T:
        """The value in a file. Raises FileNotFoundError."""
        return format_.read(self.path(name))

    def save(self, format_: Format[T], name: str, value: T) -> None:
        """Write a value atomically and durably."""
        self.write_with(name, lambda path: format_.write(path, value))

    def append_to(self, name: str):
        """Open a file, unbuffered, to append to it. Raises NotWritten."""
        self.create()
        try:
            return self.files.append_to(name)
        except RefusedFile:
            raise
        except OSError as error:
            raise not_written(self.root / name, error) from error

    def remove(self, name: str) -> None:
        """Remove a regular file if it exists."""
        self.files.remove(name)

    def remove_empty(self, name: str) -> None:
        """Remove a folder if it is empty."""
        self.files.remove_empty(name)

    def digest(self, name: str) -> str:
        """SHA-256 of a file, in hex."""
        with self.files.open(name) as file:
            return sha256_of(file)

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return self.files.stat(name).st_size

    def stamp(self, name: str) -> list[int]:
        """Size and time of change of a file (see `seal.stamp`)."""
        return stamp(self.files.stat(name))

    def names(self, folder: str) -> list[str]:
        """The names of what lies directly in a folder of the job, sorted; empty if it does not exist."""
        return sorted(name for name, _ in self.files.names(folder))

    def is_job(self) -> bool:
        """Whether the folder contains a job's request."""
        return any(self._is_there(name) for name in (layout.REQUEST, layout.REQUEST_COPY))

    def is_free(self) -> bool:
        """Whether a new job may be started here: the folder is empty except for hidden files, files that file managers
        create, and what a job that was ended at its very beginning left.
        """
        return all(
            name.startswith(".") or name.lower() in LITTER or self._is_beginning(name) for name, _ in self.files.names()
        )

    def _is_beginning(self, name: str) -> bool:
        """Whether this is what a job leaves that is ended before its request is written."""
        if name == layout.RECORDS:
            return all(map(is_temporary, self.names(name)))
        known = self.exists(layout.INPUT_INDEX) or self.exists(layout.SERVING)
        return name in (layout.INPUTS, layout.INPUT_INDEX) and known

    def sweep(self) -> None:
        """Remove partially written files that a killed process left behind. The caller holds the lock."""
        for folder in self._own_folders():
            for name in self.names(folder):
                if is_temporary(name):
                    with contextlib.suppress(RefusedFile):  # a link or folder of such a name is not ours
                        self.remove(f"{folder}/{name}" if folder else name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process. It is a lock of the operating system, so it is released when the process
        ends.

        Raises:
            FolderBusy: Another process, or another job of this process, holds the lock.
            NotWritten: The folder can't be created or written.
        """
        self.create()
        # a soft lock, which filelock takes where the file system has no other, would outlive a killed process
        lock = FileLock(self.path(layout.LOCK), blocking=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise FolderBusy(
                f"another process works in {self.root}", "wait for it, cancel it, or choose another folder"
            ) from None
        except OSError as error:
            raise not_written(self.root / layout.LOCK, error) from error
        try:
            yield
        finally:
            lock.release()

    def _is_there(self, name: str) -> bool:
        """Whether there is anything of this name, be it a link or a pipe."""
        try:
            self.files.stat(name)
        except FileNotFoundError:
            return False
        except RefusedFile:
            return True
        return True

    def _own_folders(self) -> Iterator[str]:
        """The folders in which a job writes, but no links to folders."""
        yield from ("", layout.RECORDS)
        for top in (layout.LEVELS, layout.INPUTS):
            with contextlib.suppress(RefusedFile):
                for name, found in list(self.files.names(top)):
                    if stat.S_ISDIR(found.st_mode) and not is_link(found):
                        yield f"{top}/{name}"
                        yield f"{top}/{name}/{layout.PARTS}"

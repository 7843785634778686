"""A folder whose files are used only inside it: names can't lead out, and links in it are never followed.

Someone who can change the folder while it is used, with the rights of the user, is not guarded against on systems
without `openat`; elsewhere every file is opened, replaced and removed relative to the descriptor of its folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..atomic_files import beside, sync_directory
from ..errors import RefusedFile
from . import limits
from .regular_files import check_regular, is_link, kind_of, open_regular

_RESERVED = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])( *\..*)?", re.IGNORECASE)
"""Names that are devices in any folder of Windows."""

_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\]|[. ]\Z')
"""What no name has on Windows: control characters, signs of its own, a last dot or space."""

_MOST_NAME_BYTES = 120
"""Of a name, so that one with a prefix is allowed by every file system: some allow 143."""

_RELATIVE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a relative name with "/" between them.

    Raises:
        RefusedFile: It leads out of its folder on some operating system, or is no name there.
    """
    if not isinstance(name, str) or len(name) > limits.NAME_CHARACTERS:
        raise RefusedFile(f"not the name of a file: {name!r:.80}")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(_is_bad(part) for part in parts):
        raise RefusedFile(f"not a file name inside the job folder: {name[:80]!r}")
    return parts


def is_contained(name: object) -> bool:
    """Whether a value is a relative name that stays in its folder on every operating system."""
    try:
        parts_of(name)  # pyright: ignore[reportArgumentType]
    except RefusedFile:
        return False
    return True


def plain_name(name: str) -> str:
    """A file name (without folders) that is allowed on every operating system and keeps its suffix."""
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\/]', "_", name.encode("utf-8", "replace").decode("utf-8"))
    name = name.encode()[-_MOST_NAME_BYTES:].decode("utf-8", "ignore").rstrip(". ") or "file"
    return f"_{name}" if _is_bad(name) else name


class ContainedFolder:
    """Files of a folder, by names relative to it with "/" on every system.

    Each method raises `RefusedFile` for a name that leads out of the folder, for a link anywhere below the folder, and
    for what is no regular file. The folder itself may be reached through links.

    Args:
        root: The folder; it need not exist.
    """

    def __init__(self, root: Path):
        self.root = Path(root).absolute()

    def path(self, name: str) -> Path:
        """The full path of a file, which need not exist, for code that opens it itself."""
        place = self.root
        parts = parts_of(name)
        for part in parts[:-1]:
            place = place / part
            self._check_folder(place)
        place = place / parts[-1]
        found = _lstat(place)
        if found is not None:
            check_regular(place, found)
        return place

    def exists(self, name: str) -> bool:
        """Whether this regular file exists; also False for what may not be opened."""
        try:
            return _lstat(self.path(name)) is not None
        except RefusedFile:
            return False

    def stat(self, name: str) -> os.stat_result:
        """Size and times of a file. Raises FileNotFoundError."""
        return self.path(name).lstat()

    def open(self, name: str, most_bytes: int | None = None) -> BinaryIO:
        """Open a file for reading. Raises FileNotFoundError, OSError."""
        path = self.path(name)
        if not _RELATIVE:
            return open_regular(path, most_bytes)
        with self._parent(name) as folder:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            check_regular(path, os.fstat(descriptor), most_bytes)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, OSError."""
        with self.open(name, most_bytes) as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise RefusedFile(f"{self.root / name} grew while it was read; at most {most_bytes:,} bytes are read")
        return data

    def append_to(self, name: str) -> BinaryIO:
        """Open a file, unbuffered, to append to it; it is created for this user alone. Raises OSError."""
        path = self.path(name)
        is_new = _lstat(path) is None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOINHERIT", 0)
        if _RELATIVE:
            with self._parent(name) as folder:
                descriptor = os.open(path.name, flags, _PRIVATE_FILE, dir_fd=folder)
        else:
            descriptor = os.open(path, flags, _PRIVATE_FILE)
        try:
            check_regular(path, os.fstat(descriptor))
            if is_new:
                sync_directory(path.parent)
            return os.fdopen(descriptor, "ab", buffering=0)
        except BaseException:
            os.close(descriptor)
            raise

    def make_parents(self, name: str) -> Path:
        """Create the folders above a file, durably and for this user alone; returns the file's path.

        The root must exist. Raises OSError.
        """
        place = self.root
        for part in parts_of(name)[:-1]:
            place = place / part
            with contextlib.suppress(FileExistsError):
                place.mkdir(_PRIVATE_FOLDER)
                sync_directory(place.parent)
            self._check_folder(place)
        return self.path(name)

    def remove(self, name: str) -> bool:
        """Remove a regular file; returns whether there was one. Raises OSError."""
        path = self.path(name)
        try:
            if _RELATIVE:
                with self._parent(name) as folder:
                    os.unlink(path.name, dir_fd=folder)  # noqa: PTH108
            else:
                path.unlink()
        except FileNotFoundError:
            return False
        return True

    def link(self, name: str, other: str) -> None:
        """Give a file a second name, in place of what has that name; a copy where the file system has no hard links.

        Raises NotWritten, and FileNotFoundError if there is no such file.
        """
        self._link(self.path(name), other)

    def link_from(self, folder: ContainedFolder, name: str) -> None:
        """Give a file of another folder the same name in this one, as `link` does."""
        self._link(folder.path(name), name)

    def _link(self, source: Path, name: str) -> None:
        target = self.make_parents(name)
        self.remove(name)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:
            with beside(target) as temporary:
                shutil.copy2(source, temporary)

    def rename_folder(self, name: str, other: str) -> None:
        """Give a folder within this one another name, durably. Raises OSError."""
        source, target = self.path(f"{name}/x").parent, self.path(f"{other}/x").parent
        source.rename(target)
        sync_directory(target.parent)

    def sync(self, folders: Iterable[str]) -> None:
        """Make new names in these folders durable."""
        for folder in folders:
            sync_directory(self.path(f"{folder}/x").parent)

    def remove_empty(self, name: str) -> None:
        """Remove a folder if it is empty."""
        with contextlib.suppress(OSError):
            self.path(f"{name}/x").parent.rmdir()

    def names(self, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """What lies directly in the folder or in a folder of it: each name, and what `os.lstat` finds.

        Nothing, where the folder does not exist. At most `limits.JOB_FILES` names.
        """
        place = self.root
        for part in parts_of(folder) if folder else ():
            place = place / part
            self._check_folder(place)
        try:
            with os.scandir(place) as entries:
                for count, entry in enumerate(entries):
                    if count >= limits.JOB_FILES:
                        raise RefusedFile(f"{place} holds more than {limits.JOB_FILES:,} files")
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, os.lstat(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            return

    def files(self, folder: str, depth: int = 4) -> list[str]:
        """The names of all regular files in a folder, and in folders of it down to `depth`; links are left out."""
        found: list[str] = []
        for name, state in sorted(self.names(folder)):
            if stat.S_ISREG(state.st_mode) and is_contained(name):
                found.append(f"{folder}/{name}")
            elif stat.S_ISDIR(state.st_mode) and not is_link(state) and depth and is_contained(name):
                found += self.files(f"{folder}/{name}", depth - 1)
        return found[: limits.JOB_FILES]

    def _check_folder(self, place: Path) -> None:
        found = _lstat(place)
        if found is None:
            return
        if is_link(found):
            raise RefusedFile(f"{place} is a link", "a job folder holds no links: put the folder itself in its place")
        if not stat.S_ISDIR(found.st_mode):
            raise RefusedFile(f"{place} is {kind_of(found)}, not a folder")

    @contextlib.contextmanager
    def parent(self, name: str) -> Iterator[int | None]:
        """A descriptor of the folder above a file, which exists; None where the system has no such. Raises OSError."""
        if not _RELATIVE:
            yield None
            return
        with self._parent(name) as folder:
            yield folder

    @contextlib.contextmanager
    def _parent(self, name: str) -> Iterator[int]:
        """A descriptor of the folder above a file, opened part by part so that no link is followed.

        Errors of names within that folder leave it with their whole path.
        """
        place = self.root
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts_of(name)[:-1]:
                deeper = os.open(part, os.O_RDONLY | _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor, place = deeper, place / part
            yield descriptor
        except OSError as error:
            if isinstance(error.filename, str) and Path(error.filename).name == error.filename:
                error.filename = str(place / error.filename)
            raise
        finally:
            os.close(descriptor)


def _is_bad(part: str) -> bool:
    return part == ".." or _FORBIDDEN.search(part) is not None or _RESERVED.fullmatch(part) is not None


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None

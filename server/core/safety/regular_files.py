"""Opens files that may be anything: only regular ones are read, without waiting for a pipe, and up to a size."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import RefusedFile

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_CAUTIOUS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)

_NAME_SURROGATE = 0x20000000
"""Bit of a Windows reparse tag that leads elsewhere: symbolic links and junctions, but not files kept in a cloud."""


def open_regular(path: Path, most_bytes: int | None = None, *, links: bool = False) -> BinaryIO:
    """Open a regular file for reading.

    Args:
        path: The file.
        most_bytes: Its largest size; None for any.
        links: Whether the path itself may be a link. Links in the folders above it are followed.

    Raises:
        FileNotFoundError: There is none.
        OSError: It can't be opened.
        RefusedFile: It is a link, a folder, a pipe, a device or a socket, or too large.
    """
    path = Path(path)
    check_regular(path, os.stat(path) if links else os.lstat(path), most_bytes)  # noqa: PTH116
    descriptor = os.open(path, _READ | _CAUTIOUS | (0 if links else _NO_LINKS))
    try:
        check_regular(path, os.fstat(descriptor), most_bytes)  # what was opened, if it changed in between
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most_bytes: int, *, links: bool = False) -> bytes:
    """The bytes of a regular file. Raises as `open_regular` does."""
    with open_regular(path, most_bytes, links=links) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise RefusedFile(f"{Path(path).name} grew while it was read; at most {most_bytes:,} bytes are read")
    return data


def check_regular(path: Path, found: os.stat_result, most_bytes: int | None = None) -> None:
    """Raise RefusedFile unless this is a regular file of at most `most_bytes`."""
    if is_link(found):
        raise RefusedFile(f"{path} is a link", "put the file itself in its place")
    if not stat.S_ISREG(found.st_mode):
        raise RefusedFile(f"{path} is {kind_of(found)}, not a file")
    if most_bytes is not None and found.st_size > most_bytes:
        raise RefusedFile(f"{path} has {found.st_size:,} bytes; at most {most_bytes:,} are read")


def is_link(found: os.stat_result) -> bool:
    """Whether what `os.lstat` found leads elsewhere: a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def kind_of(found: os.stat_result) -> str:
    """What a file is, in words."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(found.st_mode), "something else")

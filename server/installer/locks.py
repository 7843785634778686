"""One installation into a folder at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from installer import processes


@contextlib.contextmanager
def locked(path: Path, waiting: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`; says `waiting` once if another process holds it.

    Commands that are begun meanwhile hold it too, so that what outlives a killed installer keeps the next one waiting.
    """
    with path.open("a+b") as file:
        said = False
        while not _try_lock(file):
            if not said:
                say(waiting)
                said = True
            time.sleep(0.5)
        processes.inherited.append(file.fileno())
        try:
            yield  # closing the file gives the lock back, as does the end of the process
        finally:
            processes.inherited.remove(file.fileno())


def _try_lock(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

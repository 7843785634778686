"""The cache folder for compiled numba kernels: one folder per version of the kernels' sources.

Numba checks only the file of a kernel, not the files of the kernels it calls, so after a change in one of those it
would run outdated code. By default it also writes next to the source files, which an installed extension must not do.
`dreamzoom.jit` reads and writes the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from functools import cache
from pathlib import Path

from core.disk import cache_home

_messages: list[str] = []
_told: set[str] = set()


def choose_folder(package: Path) -> None:
    """Set `NUMBA_CACHE_DIR` for the kernels of `package`, unless the user has set it. Call before importing numba."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    folder = home() / sources_digest(package)[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        tell(cannot_store(folder, error))
        return
    with contextlib.suppress(OSError):  # on a disk that is read-only the kernels there can still be used
        os.utime(folder)  # the age that `dreamzoom clean` shows is that of the last use
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


@cache
def sources_digest(package: Path) -> str:
    """SHA-256 in hex of all source files of `package` that hold kernels."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        text = file.read_bytes()
        if b"njit" in text or re.search(rb"import numba\b", text):
            digest.update(text)
    return digest.hexdigest()


def home() -> Path:
    """The folder with the cache folders of all versions."""
    return cache_home() / "dreamzoom" / "kernels"


def is_first_start() -> bool:
    """Whether the cache folder is still empty, so that each kernel will be compiled at its first call."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return bool(folder) and next(Path(folder).rglob("*.nbi"), None) is None


def cannot_store(folder: Path, error: Exception) -> str:
    """The message for a folder that can't be written."""
    reason = (error.strerror if isinstance(error, OSError) else "") or f"{type(error).__name__}: {error}"
    return (
        f"compiled code can't be stored in {folder} ({reason}); everything works, but each start takes up to a minute "
        "longer until there is space and permission to write"
    )


def tell(message: str, once: str = "") -> None:
    """Keep a message for the next job's log; of messages with the same text in `once`, only the first."""
    if (once or message) not in _told:
        _told.add(once or message)
        _messages.append(message)


def take_messages() -> list[str]:
    """The messages since the last call, for the log."""
    taken = _messages[:]
    del _messages[: len(taken)]
    return taken

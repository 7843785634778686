"""The cache folder for compiled numba kernels: one folder per version of the kernels' sources.

Numba checks only the file of a kernel, not the files of the kernels it calls, so after a change in one of those it
would run outdated code. By default it also writes next to the source files, which an installed extension must not do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

LOCATORS = "dreamzoom.numba_locator.ByContent,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator"
"""Numba's cache locators, in order of preference: the first finds compiled code by the content of its source file."""

KEPT_DAYS = 30
"""Cache folders that were not used for this many days are removed."""


def choose_folder(package: Path) -> None:
    """Set `NUMBA_CACHE_DIR` for the kernels of `package`, unless the user has set it. Call before importing numba."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        text = file.read_bytes()
        if b"numba" in text:
            digest.update(text)
    home = _cache_home() / "dreamzoom" / "kernels"
    folder = home / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        for other in home.iterdir():
            if other.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                shutil.rmtree(other, ignore_errors=True)
    except OSError:  # the folder is not writable: numba chooses another one, or compiles at every start
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", LOCATORS)


def is_first_start() -> bool:
    """Whether the cache folder is still empty, so that each kernel will be compiled at its first call."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return bool(folder) and next(Path(folder).rglob("*.nbi"), None) is None


def _cache_home() -> Path:
    """The user's cache folder on this operating system."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

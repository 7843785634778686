"""Where numba keeps compiled kernels: one folder for each state of their sources.

Numba itself looks only at the file of a kernel, not at the kernels that it calls; so after a change elsewhere it would
run old code. It would also write into the folder of the code, which an installed extension must not do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

LOCATORS = "dreamzoom.numba_locator.ByContent,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator"
"""Where numba looks for compiled code: first wherever code of the same content left it."""

KEPT_DAYS = 30
"""A folder that was not used for so long belongs to code that is gone."""


def choose_folder(package: Path) -> None:
    """Point numba, which must not be imported yet, at the folder for this package's kernels; an own choice is kept."""
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
    except OSError:  # nowhere to write: numba finds a place of its own, or compiles at every start
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", LOCATORS)


def is_first_start() -> bool:
    """Whether the folder for kernels is still empty, so that they will be compiled as they are first needed."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return bool(folder) and next(Path(folder).rglob("*.nbi"), None) is None


def _cache_home() -> Path:
    """The user's folder for caches on this system."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

"""A numba cache locator that finds compiled kernels by the content of their source file, independent of its path.

Numba's own locators use the path and modification time of the source file, so the same code would be compiled again
(about half a minute) after a reinstallation or a move. `numba_cache.choose_folder` registers this class with numba.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import _CacheLocator

PACKAGE = Path(__file__).resolve().parent
Locator: Any = _CacheLocator  # typed Any because numba declares its methods to return None


class ByContent(Locator):
    """Caches one function's compiled code under `NUMBA_CACHE_DIR`, in a folder named after the function's module."""

    def __init__(self, file: Path, line: int):
        self._file, self._line = file, line

    def get_cache_path(self) -> str:
        module = self._file.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        return str(Path(os.environ["NUMBA_CACHE_DIR"], module))

    def get_source_stamp(self) -> str:
        return _digest(self._file)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func, py_file):
        """The locator of a function; None if the function is not in this package or the folder is not writable."""
        file = Path(py_file).resolve()
        if not os.environ.get("NUMBA_CACHE_DIR") or PACKAGE not in file.parents or not file.is_file():
            return None
        locator = cls(file, py_func.__code__.co_firstlineno)
        try:
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


@cache
def _digest(file: Path) -> str:
    """SHA-256 of a source file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()

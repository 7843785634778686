"""Where numba finds a compiled kernel again: by what its source says, wherever the code lies.

Numba itself goes by the path and the time of the source file, so that the same code, installed again or in another
place, would be compiled again, for half a minute. `compiled.choose_folder` names this class to numba.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import _CacheLocator

PACKAGE = Path(__file__).resolve().parent
Locator: Any = _CacheLocator  # whose methods are declared to return nothing


class ByContent(Locator):
    """The place of one function's compiled code: `NUMBA_CACHE_DIR`, in a folder named by its module."""

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
        """The locator of a function; None for one that is not this package's, or where nothing can be written."""
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

"""Numba's `njit` with a cache on disk that can be damaged, full, read-only or missing: that only costs time.

Every file begins with the checksum of the rest, which is compared before anything is unpickled or run: damaged machine
code would end the process. A file that can't be used is removed and its kernel compiled again. Kernels are found by the
content of all kernels' sources, not by the paths of their files, so that the same code in another place (after a
reinstallation) is not compiled again, and a kernel is never used after a change in another one that it calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from dreamzoom import numba_cache

PACKAGE = Path(__file__).resolve().parent
MAGIC = b"DZK1"
CHECKSUM = hashlib.sha256().digest_size
Cache: Any = _Cache  # typed Any because numba declares its methods to return None


def njit(function: Any = None, *, cache: bool = False, **options) -> Any:
    """`numba.njit`; with `cache`, compiled code is kept in the folder of `numba_cache`."""

    def compiled(function) -> Any:
        dispatcher: Any = numba.njit(**options)(function)
        if cache and hasattr(dispatcher, "enable_caching"):  # else numba is switched off by NUMBA_DISABLE_JIT
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return compiled if function is None else compiled(function)


class KernelCache(Cache):
    """The compiled variants (signatures, processors) of one kernel."""

    def __init__(self, function):
        self._function = function
        self._enabled = True

    @property
    def cache_path(self):
        """The kernel's folder; None if there is no cache folder."""
        files = self._files()
        return None if files is None else str(files.folder)

    def enable(self):
        """Use the cache, as from the beginning."""
        self._enabled = True

    def disable(self):
        """Neither read nor write."""
        self._enabled = False

    def flush(self):
        """Forget all variants."""
        files = self._files()
        if files is not None:
            files.throw_away()

    def load_overload(self, sig, target_context):
        """The compiled code for a signature; None if there is none that can be used."""
        target_context.refresh()
        files = self._files()
        if files is None or not self._enabled:
            return None
        try:
            reduced = files.load(self._key(sig, target_context.codegen()))
            return None if reduced is None else CompileResult._rebuild(target_context, *reduced)
        except Exception as error:  # whatever damage leads to; the kernel is compiled again
            files.throw_away()
            numba_cache.tell(
                f"compiled code in {files.folder} was damaged ({files.index.name}: {type(error).__name__}) and was "
                "removed; what is damaged is compiled again, once, which can take up to a minute",
                once="damaged",
            )
            return None

    def save_overload(self, sig, data):
        """Store the compiled code for a signature, if it can be stored."""
        files = self._files()
        if files is None or not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        try:
            files.save(self._key(sig, data.codegen), data._reduce())
        except Exception as error:  # a full disk, no permission: the compiled code in memory is as good
            numba_cache.tell(numba_cache.cannot_store(files.folder, error), once="not stored")

    def _files(self) -> _Files | None:
        home = os.environ.get("NUMBA_CACHE_DIR")
        if not home:
            return None
        code = self._function.__code__
        version = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
        return _Files(Path(home, self._function.__module__), f"{code.co_name}-{code.co_firstlineno}.{version}")

    def _key(self, sig, codegen) -> tuple:
        """What the compiled code depends on besides the sources."""
        cells = tuple(cell.cell_contents for cell in self._function.__closure__ or ())
        return sig, codegen.magic_tuple(), hashlib.sha256(dumps(cells)).hexdigest()


class _Files:
    """The files of one kernel: an index of its variants, and one file for each variant."""

    def __init__(self, folder: Path, name: str):
        self.folder, self._name = folder, name
        self.index = folder / f"{name}.nbi"

    def load(self, key: tuple) -> Any:
        """The data of a variant; None if it isn't stored. Raises any exception for damage."""
        try:
            name = self._variants().get(key)
            stored = None if name is None else _read(self.folder / name)
        except (FileNotFoundError, NotADirectoryError):  # removed by another process, or by the user
            return None
        if stored is None:
            return None
        found, data = stored
        if found != key:  # the index was written, and then the power failed
            raise ValueError("the index names the file of another variant")
        return data

    def save(self, key: tuple, data: Any) -> None:
        """Store a variant: first its data, then the index. Raises OSError, with nothing changed."""
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()  # something else is in its place
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            variants = self._variants()
        except Exception:  # damaged since it was read
            variants = {}
        name = variants.get(key) or self._free_name(set(variants.values()))
        _write(self.folder / name, (key, data))
        if key not in variants:
            _write(self.index, variants | {key: name})

    def throw_away(self) -> None:
        """Remove the index and all variants, as far as possible; what is left can be replaced by `save`."""
        for path in [self.index, *self.folder.glob(f"{self._name}.*.nbc")]:
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def _variants(self) -> dict[tuple, str]:
        try:
            return _read(self.index) or {}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def _free_name(self, taken: set[str]) -> str:
        number = next(number for number in range(1, len(taken) + 2) if f"{self._name}.{number}.nbc" not in taken)
        return f"{self._name}.{number}.nbc"


def _stamp() -> tuple[str, str]:
    """Versions of numba and of the kernels' sources."""
    return numba.__version__, numba_cache.sources_digest(PACKAGE)


def _read(path: Path) -> Any:
    """The value in a file; None if it was written by another version. Raises any exception for damage."""
    data = path.read_bytes()
    body = data[len(MAGIC) + CHECKSUM :]
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : len(MAGIC) + CHECKSUM] != hashlib.sha256(body).digest():
        raise ValueError("the checksum is wrong")
    stamp, value = pickle.loads(body)
    return pickle.loads(value) if stamp == _stamp() else None


def _write(path: Path, value: Any) -> None:
    """Replace a file by one with this value. Raises OSError."""
    body = pickle.dumps((_stamp(), dumps(value)))
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.new")
    try:
        temporary.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

"""Depth maps in npy and npz files. Nothing is unpickled, and no array is allocated before its size is checked."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.errors import BadRequest
from core.safety import limits
from core.safety.bounded_zip import open_zip
from dreamzoom.request.pictures.checks import check_ratio, check_size

_HEADER_CHARACTERS = 10_000
_ERRORS = (OSError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError, OverflowError, TypeError, KeyError)
_ERRORS += (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npy(path: Path, field: str) -> np.ndarray:
    """A 2-D array of numbers of an npy file, (H, W) float32.

    Raises:
        BadRequest: The file is damaged or cut off, holds something else, or is too large.
    """
    length = path.stat().st_size
    try:
        with path.open("rb") as file:
            return _array(file, path.name, field, length, length)
    except _ERRORS:
        raise BadRequest(field, f"{path.name} can't be read as an npy file of numbers") from None


def read_npz(path: Path, field: str) -> tuple[np.ndarray, list[str]]:
    """The array "depth" of an npz file, or its only one, (H, W) float32, and notes. Raises as `read_npy`."""
    try:
        with path.open("rb") as file, open_zip(file, path.name, limits.ARRAY_COUNT) as archive:
            names = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            chosen = [entry for entry in names if entry.filename == "depth.npy"] or names
            if len(chosen) != 1:
                listed = ", ".join(entry.filename.removesuffix(".npy") for entry in names[:8]) or "none"
                raise BadRequest(field, f"{path.name} must have an array named depth, or a single one; it has {listed}")
            notes = [f"the depth is its array depth, one of {len(names)}"] if len(names) > 1 else []
            with archive.open(chosen[0]) as stream:
                return _array(stream, path.name, field, chosen[0].file_size, chosen[0].compress_size), notes
    except _ERRORS:
        raise BadRequest(field, f"{path.name} can't be read as an npz file of numbers") from None


def _array(file, name: str, field: str, length: int, stored: int) -> np.ndarray:
    """Read an array whose header and data have `length` bytes, which take `stored` bytes in the file."""
    shape, transposed, kind = _header(file)
    if len(shape) != 2 or kind.kind not in "fiu" or 0 in shape or kind.itemsize > 16:
        raise BadRequest(field, f"{name} must be a 2-D array of numbers")
    check_size(name, field, shape[1], shape[0], limits.PICTURE_FLOAT_PIXELS)
    size = shape[0] * shape[1] * kind.itemsize
    check_ratio(name, field, shape[0] * shape[1], size, stored)
    if size > length:
        raise ValueError("cut off")
    data = _exactly(file, size)
    values = np.frombuffer(data, kind).reshape(shape[::-1] if transposed else shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray((values.T if transposed else values).astype(np.float32))


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file, max_header_size=_HEADER_CHARACTERS)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("cut off")
    return data

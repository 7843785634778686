"""Arrays of npy and npz files: what they will take of memory is known, and limited, before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ..errors import RefusedFile
from . import limits
from .bounded_zip import ZIP_DAMAGE, open_zip
from .regular_files import open_regular

_PIECE = 1 << 20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, *, links: bool = False) -> dict[str, np.ndarray]:
    """All arrays of an npz file, by name; never unpickles.

    Raises:
        FileNotFoundError, OSError: It can't be opened.
        RefusedFile: It is no regular file, damaged, or above a limit.
    """
    name = Path(path).name
    with open_regular(path, limits.ARRAY_BYTES, links=links) as file:
        size = file.seek(0, 2)
        try:
            with open_zip(file, name, limits.ARRAY_COUNT) as archive:
                entries = archive.infolist()
                _check_entries(entries, size, name)
                return {entry.filename.removesuffix(".npy"): _read(archive, entry, name) for entry in entries}
        except ZIP_DAMAGE as error:
            raise RefusedFile(f"{name} is damaged: {error}") from None


def npy_header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of the npy array that begins here; the file then stands at its data.

    Raises:
        RefusedFile: It is no npy array of numbers, booleans or text, or above a limit.
    """
    try:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"unknown version {version}")
        shape, fortran, dtype = _HEADERS[version](file)
    except (ValueError, EOFError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise RefusedFile(f"{name} is no npy array: {str(error)[:200]}") from None
    if dtype.hasobject or dtype.kind not in "biufcUS":
        raise RefusedFile(f"{name} holds {dtype.name}, not numbers")
    if len(shape) > limits.ARRAY_DIMENSIONS or any(side < 0 for side in shape):
        raise RefusedFile(f"{name} has the shape {str(shape)[:80]}")
    if math.prod(shape) * max(dtype.itemsize, 1) > limits.ARRAY_BYTES:
        raise RefusedFile(f"{name} claims {math.prod(shape):,} values; at most {limits.ARRAY_BYTES:,} bytes are read")
    return shape, fortran, dtype


def _check_entries(entries: list[zipfile.ZipInfo], size: int, name: str) -> None:
    unpacked, most = sum(entry.file_size for entry in entries), max(limits.ARRAYS_BYTES, limits.ARRAYS_RATIO * size)
    if unpacked > most:
        raise RefusedFile(f"{name} unpacks to {unpacked:,} bytes; at most {most:,} are read")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array. Its size, as its header claims, must be that of its entry, so that nothing is allocated in vain."""
    place = f"{name}: {entry.filename[:80]}"
    with archive.open(entry) as packed:
        stream: Any = packed
        shape, fortran, dtype = npy_header(stream, place)
        left, needed = entry.file_size - stream.tell(), math.prod(shape) * dtype.itemsize
        if left != needed:
            raise RefusedFile(f"{place} is damaged: it has {left:,} bytes of data, its header claims {needed:,}")
        data = bytearray(needed)
        view, at = memoryview(data), 0
        while at < needed:
            count = stream.readinto(view[at : at + _PIECE])
            if not count:
                raise RefusedFile(f"{place} is truncated")
            at += count
        stream.read(1)  # to the end, where the checksum is compared
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

"""Helpers for large arrays: memory that is returned to the system, multithreading, fast row-wise extremes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import DTypeLike


def mapped_zeros(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> np.ndarray:
    """Zeros in anonymous memory mapped for this array alone, which is unmapped when the array is freed.

    The C library does not return freed arrays below 32 MB to the system; for a million splats that is about 0.1 GB in
    addition to what a render needs.
    """
    count = prod(shape)
    size = max(1, count * np.dtype(dtype).itemsize)
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # Windows
        return np.frombuffer(mmap.mmap(-1, size), dtype, count).reshape(shape)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # the default is MAP_SHARED
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # kernels without transparent huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def in_chunks(work: Callable[[slice], None], count: int, size: int) -> None:
    """Call `work` for all of `count` rows, `size` rows at a time, on up to 8 threads."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        list(threads.map(lambda start: work(slice(start, min(start + size, count))), range(0, count, size)))


def largest(rows: np.ndarray) -> np.ndarray:
    """Row-wise maximum, (N, K) to (N,), for small K: twenty times as fast as numpy's `max(-1)`."""
    return reduce(np.maximum, rows.T)


def smallest(rows: np.ndarray) -> np.ndarray:
    """Row-wise minimum, (N, K) to (N,), for small K."""
    return reduce(np.minimum, rows.T)

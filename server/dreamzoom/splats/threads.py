"""Runs compiled kernels on all cores.

The kernels release the GIL and write to disjoint memory, so Python threads can call them. numba's parallel layers are
not used: the one available on every platform terminates the process if two threads enter it at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np

from dreamzoom.progress import check

CHUNKS = 16
"""Number of parts that work is divided into, the same on every machine, so that results don't depend on its cores."""

ROWS = 1 << 17
"""Rows that numpy works on between two checks for cancellation."""

PATIENCE = 0.1
"""Seconds between two checks while a kernel runs."""

_single = False


def count() -> int:
    """Number of threads: NUMBA_NUM_THREADS if set, else the number of cores available to this process."""
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Run all calls one after another in the block, which needs less memory and gives the same results."""
    global _single
    before, _single = _single, True
    try:
        yield
    finally:
        _single = before


def is_single() -> bool:
    """Whether calls run one after another now."""
    return _single


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count(), thread_name_prefix="splats")


def parts(size: int) -> list[tuple[int, int]]:
    """Divide range(size) into at most CHUNKS consecutive parts (begin, end), none empty."""
    bounds = [size * part // CHUNKS for part in range(CHUNKS + 1)]
    return [(begin, end) for begin, end in zip(bounds, bounds[1:]) if end > begin]


def run_all(kernel: Callable, calls: list[tuple]) -> list:
    """Call `kernel(*arguments)` for each tuple of arguments, on all cores; returns the results in order.

    Raises:
        Cancelled: The job was cancelled; calls that had not begun are left out.
    """
    if _single or count() == 1 or len(calls) < 2:
        return [_checked(kernel, arguments) for arguments in calls]
    futures = [_pool().submit(kernel, *arguments) for arguments in calls]
    try:
        return [_result(future) for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)  # the kernels write to arrays of the caller
        raise


def _checked(kernel: Callable, arguments: tuple) -> Any:
    check()
    return kernel(*arguments)


def _result(future: Future) -> Any:
    check()
    while not wait([future], PATIENCE).done:
        check()
    return future.result()


def run_chunks(kernel: Callable, size: int, *arguments) -> list:
    """Call `kernel(begin, end, *arguments)` for the parts of range(size); returns the results in order."""
    return run_all(kernel, [(begin, end, *arguments) for begin, end in parts(size)])


def by_rows(work: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Call `work` for consecutive slices of arrays with the same number of rows, and join the results.

    Raises:
        Cancelled: The job was cancelled between two slices.
    """
    found = []
    for begin in range(0, max(len(arrays[0]), 1), ROWS):
        check()
        found.append(work(*(array[begin : begin + ROWS] for array in arrays)))
    return found[0] if len(found) == 1 else np.concatenate(found)

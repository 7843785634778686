"""Runs compiled kernels on all cores.

The kernels release the GIL and own what they write, so plain Python threads drive them. numba's own parallel layers
stay unused: the one that every platform has ends the process when two threads enter it at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

CHUNKS = 16
"""Into how many parts work is cut, whatever the machine, so that no result depends on the count of its cores."""


def count() -> int:
    """How many threads: NUMBA_NUM_THREADS where set, else the cores that this process may use."""
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count(), thread_name_prefix="splats")


def parts(size: int) -> list[tuple[int, int]]:
    """range(size) in at most CHUNKS consecutive parts (begin, end), none empty."""
    bounds = [size * part // CHUNKS for part in range(CHUNKS + 1)]
    return [(begin, end) for begin, end in zip(bounds, bounds[1:]) if end > begin]


def run_all(kernel: Callable, calls: list[tuple]) -> list:
    """Call `kernel(*arguments)` for each tuple of arguments, on all cores; the results, in order."""
    if count() == 1 or len(calls) < 2:
        return [kernel(*arguments) for arguments in calls]
    return [future.result() for future in [_pool().submit(kernel, *arguments) for arguments in calls]]


def run_chunks(kernel: Callable, size: int, *arguments) -> list:
    """Call `kernel(begin, end, *arguments)` for the parts of range(size); the results, in order."""
    return run_all(kernel, [(begin, end, *arguments) for begin, end in parts(size)])

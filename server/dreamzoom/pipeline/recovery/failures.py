"""Which failures can pass by themselves, or with less memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator

OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "alloc_failed",
    "insufficient memory",
)
"""What libraries say where they have no exception of their own, in lower case."""

PASSING = {
    getattr(errno, name)
    for name in ("EAGAIN", "EBUSY", "EINTR", "EIO", "ESTALE", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN",
                 "EHOSTUNREACH", "ECONNRESET", "ENOTCONN", "ETXTBSY")
    if hasattr(errno, name)
}  # fmt: skip
"""Errors of network drives and disks that are often gone a moment later."""

SHARED_ON_WINDOWS = (32, 33)
"""Errors of Windows for a file that another program, such as a virus scanner, has open."""


def lacks_memory(error: BaseException) -> bool:
    """Whether main memory or a device's memory ran out."""
    for one in _chain(error):
        if isinstance(one, MemoryError) or type(one).__name__ == "OutOfMemoryError":
            return True
        if isinstance(one, OSError) and one.errno == errno.ENOMEM:
            return True
        if isinstance(one, RuntimeError) and any(words in str(one).lower() for words in OUT_OF_MEMORY):
            return True
    return False


def may_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a moment later: a disk or network drive that did not answer."""
    return any(
        isinstance(one, OSError) and (one.errno in PASSING or getattr(one, "winerror", 0) in SHARED_ON_WINDOWS)
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__

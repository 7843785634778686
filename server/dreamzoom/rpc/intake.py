"""Frames on their way from the thread that reads to the thread that handles them."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator

from core.protocol.framing import FrameError

MOST_FRAMES = 256
MOST_BYTES = 8 << 20
"""Frames and bytes that may wait before the reading thread does. One frame of any size always may."""


class Intake:
    """A queue of frames' bodies, and of errors between frames, of limited size."""

    def __init__(self):
        self._items: collections.deque[bytes | FrameError] = collections.deque()
        self._bytes, self._is_handling = 0, False
        self._changed = threading.Condition()

    def put(self, item: bytes | FrameError) -> None:
        """Add an item; waits while the queue is full."""
        size = _size(item)
        with self._changed:
            self._changed.wait_for(
                lambda: not self._items or (len(self._items) < MOST_FRAMES and self._bytes + size <= MOST_BYTES)
            )
            self._items.append(item)
            self._bytes += size
            self._changed.notify_all()

    @contextlib.contextmanager
    def next(self, seconds: float) -> Iterator[bytes | FrameError | None]:
        """The next item, which counts as handled at the end of the block; None if there is none after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items), seconds)
            item = self._items.popleft() if self._items else None
            self._is_handling = item is not None
        try:
            yield item
        finally:
            with self._changed:
                self._bytes -= 0 if item is None else _size(item)
                self._is_handling = False
                self._changed.notify_all()

    def wait_empty(self, seconds: float) -> bool:
        """Wait up to `seconds` until all items have been handled; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._items and not self._is_handling, seconds)


def _size(item: bytes | FrameError) -> int:
    return len(item) + len(getattr(item, "attachment", b"")) if isinstance(item, bytes) else 0

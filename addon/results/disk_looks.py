"""What lies on disk, for panels: looked up by threads, since a disk may be slow or on a network, and panels are drawn
many times a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..backend import main_loop

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

MOST_THREADS = 8
"""Looks that may be under way; with a disk that does not answer, further ones wait."""


class DiskLooks(Generic[K, T]):
    """Answers of a function that looks at the disk, by its argument, each a few seconds old at most.

    Args:
        look: The function. It is called in a thread, needs no Blender, and raises nothing but OSError and ValueError,
            which stand for `nothing`.
        nothing: The answer as long as none is known.
        seconds: How long an answer counts.
        most: How many answers are kept.
    """

    def __init__(self, look: Callable[[K], T], nothing: T, seconds: float, most: int = 1024):
        self._look, self._nothing, self._seconds, self._most = look, nothing, seconds, most
        self._answers: dict[K, tuple[float, T]] = {}
        self._running: set[K] = set()
        self._has_changed = False

    def get(self, key: K) -> T:
        """The last answer; never waits. Panels are drawn again when there is a new one."""
        asked, answer = self._answers.get(key, (-1e9, self._nothing))
        if time.monotonic() - asked > self._seconds and key not in self._running and len(self._running) < MOST_THREADS:
            self._running.add(key)
            threading.Thread(target=self._ask, args=(key,), name="dreamzoom-look", daemon=True).start()
            main_loop.start(self._await)
        return answer

    def forget(self) -> None:
        """Look again at the next call."""
        self._answers.clear()

    def _ask(self, key: K) -> None:
        answer = self._nothing
        try:
            answer = self._look(key)
        except (OSError, ValueError):
            pass
        finally:
            before = self._answers.get(key, (0.0, self._nothing))[1]
            while len(self._answers) >= self._most:
                self._answers.pop(next(iter(self._answers)), None)
            self._answers[key] = time.monotonic(), answer
            self._has_changed |= answer != before
            self._running.discard(key)

    def _await(self) -> float | None:
        """A task: has the panels drawn again when an answer has changed."""
        if self._has_changed:
            self._has_changed = False
            main_loop.redraw()
        return main_loop.TICK if self._running else None

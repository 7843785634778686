"""Fair shares of an executor's slots between jobs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

POLL = 0.1


@dataclass(eq=False)
class _Waiting:
    job: str
    number: int


class FairSlots:
    """A number of slots. A free one goes to the job of the highest priority; among these, to the one that holds the
    fewest; among these, to the one that waits longest.

    Attributes:
        kind: What a slot is.
        count: The number of slots; it may change at any time.
        priorities: The priority of each job, a larger number first; 0 for jobs without one.
    """

    def __init__(self, kind: str, count: int):
        self.kind, self.count = kind, count
        self.priorities: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._number = 0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, job: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold one slot for a job. While it waits, `check` is called, which may raise."""
        with self._changed:
            self._number += 1
            own = _Waiting(job, self._number)
            self._waiting.append(own)
            try:
                while not (sum(self._held.values()) < self.count and self._first() is own):
                    check()
                    self._changed.wait(POLL)
                self._held[job] += 1
            finally:
                self._waiting.remove(own)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held[job] -= 1
                self._changed.notify_all()

    def _first(self) -> _Waiting:
        return min(self._waiting, key=lambda one: (-self.priorities.get(one.job, 0), self._held[one.job], one.number))

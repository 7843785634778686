"""The executor over a Ray cluster: one process (`ray_workers`) is the cluster's driver and passes the orders on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from core.errors import DreamzoomError, EngineUnavailable
from dreamzoom.cluster.channel import Channel, WorkerDied
from dreamzoom.cluster.fair_slots import FairSlots
from dreamzoom.cluster.pool import GPU, POLL, Log, WorkerPool
from dreamzoom.cluster.store import Store
from dreamzoom.progress import Report

PAUSE = 2.0
"""Seconds between two attempts to reach a lost cluster."""


class RayPool(WorkerPool):
    """Runs steps on a Ray cluster. Steps that use a GPU and others have slots of their own, if the cluster has GPUs.

    Args:
        address: HOST:PORT of the cluster's head; empty for the cluster of this machine, which is started if there is
            none.
        store, log: As in `WorkerPool`.
        check: Called while the cluster is waited for; may raise.

    Attributes:
        moved: Bytes "sent" to and "fetched" from machines that do not see the job's folder.

    Raises:
        EngineUnavailable: Ray is not installed.
        DreamzoomError: No cluster answers.
    """

    DRIVER = "dreamzoom.cluster.ray_workers"
    SILENCE = 60.0
    WAITED = 300.0
    """So long a lost cluster is looked for, in seconds."""

    def __init__(self, address: str, store: Store | None, log: Log, check: Callable[[], None] = lambda: None):
        if find_spec("ray") is None:
            raise EngineUnavailable("the executor ray needs the package ray", 'install it: pip install "ray[default]"')
        super().__init__(1, store, log)
        self._cards = FairSlots(GPU, 0)
        self._cards.priorities = self._slots.priorities
        self._address, self._driver = address, None
        self.moved = {"sent": 0, "fetched": 0}
        self._starting, self._lost_since = threading.Lock(), None
        with self._channel(check):  # the number of slots is known from here on
            pass

    @property
    def slots(self) -> int:
        """So many steps run at once, as the cluster is now."""
        return self._slots.count + self._cards.count

    def _slots_for(self, gpu: bool) -> FairSlots:
        return self._cards if gpu and self._cards.count else self._slots

    def _open(self) -> Channel:
        arguments = [self._address] if self._address else []
        return Channel(self.DRIVER, arguments, told=self._heard)

    @contextmanager
    def _channel(self, check: Callable[[], None]) -> Iterator[Channel]:
        """The one driver; a lost cluster is waited for."""
        while not self._starting.acquire(timeout=POLL):
            check()
        try:
            while self._driver is None or not self._driver.alive:
                self._reach(check)
            driver = self._driver
        finally:
            self._starting.release()
        yield driver

    def _ordered(self, order: dict[str, Any], report: Report) -> dict[str, Any]:
        done = super()._ordered(order, report)
        with self._lock:
            for name in self.moved:
                self.moved[name] += done.get(name, 0)
        return done

    def close(self) -> None:
        """End the driver, and with it its workers; says how much was sent."""
        super().close()
        if any(self.moved.values()):
            sent, fetched = (f"{count / 1e6:.1f} MB" for count in self.moved.values())
            self._log(f"{sent} were sent to machines that do not see the job's folder, and {fetched} came back")

    def _reach(self, check: Callable[[], None]) -> None:
        """Try once to connect to the cluster, and pause if it is lost. Raises DreamzoomError if it stays so."""
        known = self._driver is not None
        if known and self._lost_since is None:
            self._lost_since = time.monotonic()
            minutes = f"{self.WAITED / 60:.0f}"
            self._log(f"the Ray cluster at {self._place} is lost; trying to reach it for {minutes} minutes")
        try:
            self._driver = self._started(self._open(), check)
            self._lost_since = None
        except WorkerDied as error:
            if not known:
                remedy = "start it (ray start --head --port=6379), or choose the executor local"
                raise DreamzoomError(f"no Ray cluster answers at {self._place}: {error}", remedy) from None
            assert self._lost_since is not None
            waited = time.monotonic() - self._lost_since
            if waited > self.WAITED:
                told = f"the Ray cluster at {self._place} is lost and did not come back in {waited / 60:.0f} minutes"
                remedy = "start it again (ray start --head), then resume the job: finished steps are kept"
                raise DreamzoomError(told, remedy) from None
            for _ in range(round(PAUSE / POLL)):
                check()
                time.sleep(POLL)

    @property
    def _place(self) -> str:
        return self._address or "this machine"

    def _ready(self, event: dict[str, Any]) -> None:
        super()._ready(event)
        self._heard(event)

    def _heard(self, event: dict[str, Any]) -> None:
        """The driver says how many steps the cluster has room for, or what happens on it."""
        if "cores" in event:
            self._slots.count, self._cards.count = max(1, int(event["cores"])), int(event["cards"])
        if "message" in event:
            self._log(event["message"])

    def _end(self, channel: Channel) -> None:
        """Nothing: the driver ends a worker that goes on."""

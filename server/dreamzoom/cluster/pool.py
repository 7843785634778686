"""Executors over worker processes: a fixed number on this machine, or a Ray cluster."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from core.errors import Cancelled, DreamzoomError, EngineUnavailable
from dreamzoom.cluster.channel import Channel, WorkerDied
from dreamzoom.cluster.fair_slots import FairSlots
from dreamzoom.cluster.store import Store
from dreamzoom.cluster.worker import picture_of, raised
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.input_copies import known_paths, read_index
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import Report
from dreamzoom.stages.base import layout

POLL = 0.1
GRACE = 1.5
"""A cancelled step may go on for so many seconds; then its worker is ended."""
ATTEMPTS = 3
"""A step whose worker dies is begun so often before the job fails."""
START = 120.0
"""Seconds that a worker may take to start."""

Log = Callable[[str], None]
T = TypeVar("T")


class WorkerPool:
    """Runs steps in `count` worker processes on this machine, each with its share of the cores.

    Args:
        count: The number of processes; each is started when it is first needed.
        store: Where the workers read and write; None if in the job's folder.
        log: Receives a line when a worker dies.
        words: Further words of each order to run a step.
        variables: Environment variables of the workers; None for their share of the cores.
    """

    def __init__(
        self,
        count: int,
        store: Store | None,
        log: Log,
        words: Mapping[str, Any] = {},
        variables: Mapping[str, str] | None = None,
    ):
        self._store, self._log, self._words = store, log, dict(words)
        threads = str(max(1, (os.cpu_count() or 1) // count))
        self._variables = variables or dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
        self._idle: list[Channel] = []
        self._all: list[Channel] = []
        self._lock = threading.Lock()
        self._slots = FairSlots(count)

    @property
    def slots(self) -> int:
        """So many steps run at once."""
        return self._slots.count

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """See `pipeline.executors.Executor`."""
        with self._slots.held(str(folder.root), report.check):
            files = self._sent(step, folder)
            self._insist(step.name, report, lambda: self._once(step, folder, report, files))

    def command(self, name: str, arguments: Sequence[str], report: Report) -> tuple[int, str]:
        """Run a program on a worker; returns its exit code and its last words. Raises as `execute`."""
        with self._slots.held(name, report.check):
            order = {"command": list(arguments)}
            done = self._insist(name, report, lambda: self._ordered(order, report))
        return int(done["code"]), str(done["tail"])

    def prioritise(self, folder: Folder, priority: int) -> None:
        """See `pipeline.executors.Executor`."""
        self._slots.priorities[str(folder.root)] = priority

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            everyone, self._all, self._idle = self._all, [], []
        for channel in everyone:
            channel.close()

    def _open(self) -> Channel:
        return Channel("dreamzoom.cluster.worker", variables=self._variables)

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        """A channel that no other step uses meanwhile."""
        with self._lock:
            channel = self._idle.pop() if self._idle else None
        if channel is None or not channel.alive:
            channel = self._started(self._open())
        try:
            yield channel
        finally:
            with self._lock:
                if channel.alive and channel in self._all:
                    self._idle.append(channel)
                elif channel in self._all:
                    self._all.remove(channel)

    def _started(self, channel: Channel) -> Channel:
        try:
            self._ready(channel.started(START))
        except queue.Empty:
            channel.kill()
            raise WorkerDied(f"the worker did not start in {START:.0f} s") from None
        with self._lock:
            self._all.append(channel)
        return channel

    def _ready(self, event: dict[str, Any]) -> None:
        """React to a worker's first event."""
        if event["event"] != "ready":
            raise raised(event["error"])

    def _once(self, step: Step, folder: Folder, report: Report, files: dict[str, str]) -> None:
        """Run a step on one worker. Raises WorkerDied."""
        order: dict[str, Any] = {"run": step.name, "job": str(folder.root), "gpu": uses_gpu(step)} | self._words
        order["paths"] = known_paths(folder)  # of models and LoRAs, which the job's folder does not tell
        if self._store is not None:
            order |= {"store": self._store.url, "files": files}
        done = self._ordered(order, report)
        if self._store is not None:
            for name, digest in done.get("outputs", {}).items():
                folder.write_with(name, partial(self._store.get, digest))

    def _ordered(self, order: dict[str, Any], report: Report) -> dict[str, Any]:
        """Have one order done on one worker; returns its last event. Raises WorkerDied."""
        with self._channel() as channel:
            ticket = channel.order(order)
            try:
                return self._followed(channel, ticket, report)
            finally:
                channel.forget(ticket)

    def _insist(self, name: str, report: Report, work: Callable[[], T]) -> T:
        """Do work again if its worker dies."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return work()
            except WorkerDied as error:
                report.check()
                if attempt == ATTEMPTS:
                    raise DreamzoomError(
                        f"{name}: {error}, {attempt} times", "look whether the machine has enough memory"
                    ) from None
                report.log(f"{name}: {error}; it is begun again", level="warning")
        raise AssertionError

    def _followed(self, channel: Channel, ticket: int, report: Report) -> dict[str, Any]:
        """Pass a step's events on until its last one. Raises what it failed with, Cancelled, or WorkerDied."""
        ends = None
        while True:
            event = channel.event(ticket, POLL)
            try:
                if ends is None:
                    report.check()
                    _pass_on(event, report)
            except Cancelled:
                ends = time.monotonic() + GRACE
                channel.cancel(ticket)
            kind = event["event"] if event else ""
            if kind == "done" and ends is None:
                assert event is not None
                return event
            if ends is not None and kind in ("done", "cancelled", "failed"):
                raise Cancelled
            if ends is not None and time.monotonic() > ends:
                self._end(channel, ticket)
                raise Cancelled
            if kind == "failed":
                assert event is not None
                raise raised(event["error"])
            if kind == "died":
                assert event is not None
                raise WorkerDied(event["message"])

    def _end(self, channel: Channel, ticket: int) -> None:
        """End a step that does not hear of its cancellation."""
        channel.kill()

    def _sent(self, step: Step, folder: Folder) -> dict[str, str]:
        """Put what a step reads into the store; returns the SHA-256 of each file, by name."""
        if self._store is None:
            return {}
        names = {source.file.name for found in step.sources.values() for source in found}
        names |= {name for name in (layout.REQUEST, layout.INPUT_INDEX) if folder.exists(name)}
        names |= {entry["file"] for entry in read_index(folder).values()}
        return {name: self._store.put(folder.path(name)) for name in sorted(names)}


class RayPool(WorkerPool):
    """Runs steps on a Ray cluster, through one process that is its driver.

    Args:
        address: HOST:PORT of the cluster's head; empty for the cluster of this machine, which is started if there is
            none.
        store, log: As in `WorkerPool`.

    Raises:
        EngineUnavailable: Ray is not installed.
    """

    WAITED = 300.0
    """So long a lost cluster is looked for, in seconds."""

    def __init__(self, address: str, store: Store | None, log: Log):
        if find_spec("ray") is None:
            raise EngineUnavailable("the executor ray needs the package ray", 'install it: pip install "ray[default]"')
        super().__init__(1, store, log)
        self._address = address
        self._driver: Channel | None = None
        self._starting = threading.Lock()
        with self._channel():  # the number of slots is known from here on
            pass

    def _open(self) -> Channel:
        return Channel("dreamzoom.cluster.ray_workers", [self._address] if self._address else [])

    @contextmanager
    def _channel(self) -> Iterator[Channel]:
        """The one driver; a lost cluster is waited for."""
        with self._starting:
            until = time.monotonic() + self.WAITED
            while self._driver is None or not self._driver.alive:
                try:
                    self._driver = self._started(self._open())
                except WorkerDied as error:
                    if not self._all or time.monotonic() > until:
                        raise DreamzoomError(
                            f"no Ray cluster answers at {self._address or 'this machine'}: {error}",
                            "start it (ray start --head), or choose the executor local",
                        ) from None
                    self._log(f"the Ray cluster is lost; looking for it again ({error})")
                    time.sleep(2)
        yield self._driver

    def _ready(self, event: dict[str, Any]) -> None:
        super()._ready(event)
        self._slots.count = int(event["slots"])

    def _end(self, channel: Channel, ticket: int) -> None:
        """Nothing: the driver ends a worker that goes on."""


def uses_gpu(step: Step) -> bool:
    """Whether a step runs networks or fits splats, and so wants a GPU where there is one."""
    return step.engine is not None or step.stage.name == "splat"


def _pass_on(event: dict[str, Any] | None, report: Report) -> None:
    match event:
        case {"event": "progress", "fraction": fraction, "message": message}:
            report.progress(fraction, message)
        case {"event": "log", "message": message, "level": level}:
            report.log(message, level=level)
        case {"event": "preview"}:
            report.preview(picture_of(event))

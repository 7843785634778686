"""The executor over worker processes on this machine; `ray_pool` is the one over a Ray cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from core.errors import Cancelled, DreamzoomError
from dreamzoom.cluster.cache import Damaged
from dreamzoom.cluster.channel import Channel, WorkerDied
from dreamzoom.cluster.fair_slots import FairSlots
from dreamzoom.cluster.store import Store
from dreamzoom.cluster.worker import picture_of, raised
from dreamzoom.pipeline.executors import InProcess
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.input_copies import known_paths, read_index
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import Report, reporting_to
from dreamzoom.stages.base import layout

POLL = 0.1
GRACE = 1.5
"""A cancelled step may go on for so many seconds; then its worker is ended."""
ATTEMPTS = 3
"""A step whose worker dies is begun so often before the job fails."""
START = 120.0
"""Seconds that a worker may take to start."""

CORE, GPU = "core", "GPU"
"""The kinds of slots."""

Log = Callable[[str], None]
T = TypeVar("T")


class WorkerPool:
    """Runs steps in `count` worker processes on this machine, each with its share of the cores.

    Args:
        count: The number of processes; each is started when it is first needed.
        store: Where the workers read and write; None if in the job's folder.
        log: Receives a line about what happens to workers beside a step.
        words: Further words of each order to run a step.
        variables: Environment variables of the workers; None for their share of the cores.
    """

    SILENCE = float("inf")
    """A worker that has not been heard of for so many seconds is ended."""

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
        self._slots = FairSlots(CORE, count)

    @property
    def slots(self) -> int:
        """So many steps run at once."""
        return self._slots.count

    def lane(self, step: Step) -> tuple[str, int]:
        """See `pipeline.executors.Executor`."""
        slots = self._slots_for(uses_gpu(step))
        return slots.kind, slots.count

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """See `pipeline.executors.Executor`."""
        if any(read.kind == "exports" for read in step.stage.reads.values()):
            InProcess().execute(step, folder, report)  # a moment's work for which all files would have to be sent
            return
        slots = self._slots_for(uses_gpu(step))
        with reporting_to(report), slots.held(str(folder.root), report.check):
            report.begins()
            self._insist(step.name, report, lambda: self._once(step, folder, report, slots.kind))

    def command(
        self, name: str, folder: Path, order: Callable[[], Mapping[str, Any]], report: Report, group: str
    ) -> tuple[int, str]:
        """Run a program on a worker.

        Args:
            name: What it does, for messages.
            folder: Where it runs.
            order: Returns what to do, anew for each attempt: "command", its arguments. For workers that do not see the
                folder also "command_apart", those for a folder with copies of the files in "reads" (paths by name),
                from which the files in "writes" (names) are fetched if they are there.
            report: Receives log lines and raises Cancelled.
            group: Slots are shared fairly between groups.

        Returns:
            Its exit code and its last words. Raises as `execute`.
        """
        with reporting_to(report), self._slots_for(False).held(group, report.check):
            done = self._insist(name, report, lambda: self._ordered({"job": str(folder), **order()}, report))
        return int(done["code"]), str(done["tail"])

    def greet(self, report: Report) -> str:
        """Reach a worker; returns the name of its machine. Raises as `execute`."""
        with self._slots.held("", report.check):
            return self._ordered({"greet": True, "job": ""}, report)["host"]

    def prioritise(self, folder: Folder, priority: int) -> None:
        """See `pipeline.executors.Executor`."""
        self._slots.priorities[str(folder.root)] = priority

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            everyone, self._all, self._idle = self._all, [], []
        for channel in everyone:
            channel.close()

    def _slots_for(self, gpu: bool) -> FairSlots:
        """The slots that steps with or without a GPU share."""
        return self._slots

    def _open(self) -> Channel:
        return Channel("dreamzoom.cluster.worker", variables=self._variables)

    @contextmanager
    def _channel(self, check: Callable[[], None]) -> Iterator[Channel]:
        """A channel that no other step uses meanwhile."""
        with self._lock:
            channel = self._idle.pop() if self._idle else None
        if channel is None or not channel.alive:
            channel = self._started(self._open(), check)
        try:
            yield channel
        finally:
            with self._lock:
                if channel.alive and channel in self._all:
                    self._idle.append(channel)
                elif channel in self._all:
                    self._all.remove(channel)

    def _started(self, channel: Channel, check: Callable[[], None]) -> Channel:
        """Wait for a worker's first event. Raises WorkerDied, Cancelled, or what the worker could not start for."""
        until = time.monotonic() + START
        try:
            while (event := channel.started(POLL)) is None:
                check()
                if time.monotonic() > until:
                    raise WorkerDied(f"the worker did not start in {START:.0f} s")
            self._ready(event)
        except BaseException:
            channel.kill()
            raise
        with self._lock:
            self._all.append(channel)
        return channel

    def _ready(self, event: dict[str, Any]) -> None:
        """React to a worker's first event."""
        if event["event"] != "ready":
            raise raised(event["error"])

    def _once(self, step: Step, folder: Folder, report: Report, kind: str) -> None:
        """Run a step on one worker. Raises WorkerDied, Damaged, and what the step fails with."""
        reads, writes = read_files(step, folder), [file.name for file in step.files]
        order: dict[str, Any] = {"run": step.name, "job": str(folder.root), "gpu": kind == GPU} | self._words
        order["paths"] = known_paths(folder)  # of models and LoRAs, which the job's folder does not tell
        if self._store is None:
            self._ordered(
                order | {"reads": {name: str(path) for name, path in reads.items()}, "writes": writes}, report
            )
            return
        files = {name: self._store.put(path) for name, path in reads.items()}
        try:
            done = self._ordered(order | {"store": self._store.url, "files": files}, report)
        except Damaged:
            for path in reads.values():
                self._store.put(path, anew=True)
            raise
        for name in writes:
            folder.write_with(name, partial(self._store.get, done["outputs"][name]))

    def _ordered(self, order: dict[str, Any], report: Report) -> dict[str, Any]:
        """Have one order done on one worker; returns its last event. Raises WorkerDied."""
        with self._channel(report.check) as channel:
            ticket = channel.order(order)
            try:
                return self._followed(channel, ticket, report)
            finally:
                channel.forget(ticket)

    def _insist(self, name: str, report: Report, work: Callable[[], T]) -> T:
        """Do work again if its worker dies, or if a file arrives damaged."""
        for number in range(1, ATTEMPTS + 1):
            try:
                return work()
            except (WorkerDied, Damaged) as error:
                report.check()
                if number == ATTEMPTS:
                    remedy = "look whether the machine has enough memory, then resume: finished steps are kept"
                    raise DreamzoomError(f"{name}: {error}, {number} times", remedy) from None
                report.log(f"{name}: {error}; it is begun again", level="warning")
        raise AssertionError

    def _followed(self, channel: Channel, ticket: int, report: Report) -> dict[str, Any]:
        """Pass a step's events on until its last one. Raises what it failed with, Cancelled, or WorkerDied."""
        ends = None
        while True:
            event = channel.event(ticket, POLL)
            if channel.silence > self.SILENCE:
                channel.kill(f"nothing was heard for {self.SILENCE:.0f} s")
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
            if ends is not None and kind in ("done", "cancelled", "failed", "died"):
                raise Cancelled
            if ends is not None and time.monotonic() > ends:
                self._end(channel)
                raise Cancelled
            if kind == "failed":
                assert event is not None
                raise raised(event["error"])
            if kind == "died":
                assert event is not None
                raise WorkerDied(event["message"])

    def _end(self, channel: Channel) -> None:
        """End a step that does not hear of its cancellation."""
        channel.kill()


def uses_gpu(step: Step) -> bool:
    """Whether a step runs networks or fits splats, and so wants a GPU where there is one."""
    return step.engine is not None or step.stage.name == "fit"


def read_files(step: Step, folder: Folder) -> dict[str, Path]:
    """The files that a worker needs for a step, by name: what the step reads, the request and the artist's files."""
    names = {source.file.name for found in step.sources.values() for source in found}
    names |= {name for name in (layout.REQUEST, layout.INPUT_INDEX) if folder.exists(name)}
    names |= {entry["file"] for entry in read_index(folder).values()}
    return {name: folder.path(name) for name in sorted(names)}


def _pass_on(event: dict[str, Any] | None, report: Report) -> None:
    match event:
        case {"event": "progress", "fraction": fraction, "message": message}:
            report.progress(fraction, message)
        case {"event": "log", "message": message, "level": level}:
            report.log(message, level=level)
        case {"event": "preview"}:
            report.preview(picture_of(event))

"""Runs the steps of a job: skips finished steps, records new ones, reports progress and checks for cancellation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import Cancelled, DreamzoomError, NotWritten
from dreamzoom import numba_cache
from dreamzoom.pipeline.eta import Eta
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.executors import Executor, InProcess, SetAside
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.journal import Journal, crashes, read
from dreamzoom.pipeline.live_preview import LivePicture
from dreamzoom.pipeline.records import forget, is_done, records, write_record
from dreamzoom.pipeline.recovery.attempts import attempt
from dreamzoom.pipeline.recovery.disk_space import Room
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import PREVIEW_INTERVAL, Report
from dreamzoom.stages.base import layout

PROGRESS_INTERVAL = 0.1  # seconds
POLL = 0.1  # seconds
CRASHES = 2
"""A step that ended its process so often in a row runs in a process of its own."""


@dataclass(frozen=True)
class Summary:
    """The result of a run: the names of the steps that ran, of those that were already done, the total seconds, and
    those of each step that ran, by name.
    """

    ran: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float
    step_seconds: Mapping[str, float] = field(default_factory=dict)


def run(
    steps: Sequence[Step],
    folder: Folder,
    sink: Sink | None = None,
    cancel: threading.Event | None = None,
    *,
    executor: Executor | None = None,
    again: bool = False,
    measured: Mapping[str, float] | None = None,
    room: Room | None = None,
) -> Summary:
    """Run the steps that are not done yet, in order. The caller holds the folder's lock.

    A step is done if there is a record of its digest and its outputs have the recorded sizes and hashes.

    Args:
        steps: In an order in which they can run.
        folder: The job's folder.
        sink: Receives progress, log lines and artifacts.
        cancel: Set it to cancel the run.
        executor: Runs the steps' work; None to run it in this process.
        again: Whether finished steps run again.
        measured: Seconds that steps took in earlier jobs, by name, for the estimate of the time left.
        room: The space that the job needs; None if it is not watched.

    Raises:
        Cancelled: `cancel` was set. Finished steps are kept.
        Exception: Any exception of a step; it is also written to the journal.
    """
    sink, cancel, executor = sink or Sink(), cancel or threading.Event(), executor or InProcess()
    check_places(folder, steps)
    folder.sweep()
    crashed, known = crashes(read(folder)), records(folder)
    eta = Eta(steps, measured=measured, lanes=executor.slots)
    with contextlib.closing(Journal(folder)) as journal, _live_preview(folder, sink) as live:
        work = _Run(
            folder, sink, cancel or threading.Event(), executor, room, journal, live, eta, crashed, known, again
        )
        if isinstance(executor, InProcess) and executor.slots == 1:  # others may grow
            for step in steps:
                work.on(step)
        else:
            _run_side_by_side(steps, work.on, executor.lane, work.stop)
        if work.aside:
            raise next(iter(work.aside.values()))
        sink.progress(Progress(steps[-1].stage.shown_as if steps else "", None, 1.0, 0.0, "done"))
    return Summary(tuple(work.ran), tuple(work.skipped), eta.seconds, work.ran)


@dataclass
class _Run:
    """One call of `run`: what its steps share, and what became of them.

    Attributes:
        crashed: How often each step ended its process before, by digest.
        known: The records of earlier runs.
        ran: Seconds of each step that ran, by name.
        skipped: The steps that were done already.
        aside: The steps that were left out, because they or one that they need ended its process again and again.
        stop: Set when a step failed: the others end.
    """

    folder: Folder
    sink: Sink
    cancel: threading.Event
    executor: Executor
    room: Room | None
    journal: Journal
    live: LivePicture
    eta: Eta
    crashed: Mapping[str, int]
    known: Sequence[dict[str, Any]]
    again: bool
    ran: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    aside: dict[str, SetAside] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def on(self, step: Step) -> None:
        """Run a step unless it is done, or left out with one that it needs."""
        if self.cancel.is_set() or self.stop.is_set():
            self.journal.write("cancelled", step=step.name, digest=step.digest)
            raise Cancelled
        before = next((self.aside[name] for name in step.needs if name in self.aside), None)
        if before is not None:
            self.aside[step.name] = before
            return
        if not self.again and is_done(self.folder, step):
            self.journal.write("skipped", step=step.name, digest=step.digest)
            self.eta.skip(step)
            self.skipped.append(step.name)
        else:
            try:
                self._work(step)
            except SetAside as error:
                self.aside[step.name] = error
                self.sink.log(f"{error}; the steps that don't need it go on", "warning")
                return
        _show(step, self.sink)
        _tell_of_compiled_code(self.sink)

    def _work(self, step: Step) -> None:
        """Run a step. Raises SetAside if it ended its process again."""
        report = _StepReport(step, self.eta, self.sink, (self.cancel, self.stop), self.live, self.room)
        report.before_writing()  # what can't be written is not computed
        _run_step(step, self.folder, self.journal, self.executor, report, self.crashed.get(step.digest, 0))
        self.live.wait_written()
        for record in forget(self.folder, step, self.known):
            if record["step"] != step.name:
                self.journal.write("forgotten", step=record["step"], digest=record["digest"])
        self.ran[step.name] = self.eta.finish(step)


def check_places(folder: Folder, steps: Sequence[Step]) -> None:
    """Raise RefusedFile if a link, pipe or the like stands where the job writes, before any work is done."""
    for step in steps:
        for name in (layout.record(step.digest), *(file.name for file in step.files)):
            folder.path(name)
    for name in (layout.JOURNAL, layout.LIVE_PREVIEW):
        folder.path(name)


@contextlib.contextmanager
def _live_preview(folder: Folder, sink: Sink):
    """The live preview of a run; its file is removed at the end."""
    live = LivePicture(
        folder,
        lambda level: sink.artifact("preview", level, layout.LIVE_PREVIEW),
        lambda reason: sink.log(reason, "warning"),
    )
    try:
        yield live
    finally:
        with contextlib.suppress(PermissionError):  # on Windows, while another program has the file open
            live.close()


def _run_step(
    step: Step, folder: Folder, journal: Journal, executor: Executor, report: _StepReport, crashed: int
) -> None:
    """Run one step.

    Args:
        step, folder, journal, executor, report: As in `run`.
        crashed: How often the step ended its process before.
    """
    apart = crashed >= CRASHES and isinstance(executor, InProcess)
    if apart:
        told = f"{step.name} was begun {crashed} times and never ended, so it now runs in a process of its own"
        report.log(f"{told}, with less memory", level="warning")
    journal.write("start", step=step.name, digest=step.digest)

    def failed(error: BaseException) -> None:
        journal.write("failed", step=step.name, digest=step.digest, error=_told(error, folder))
        journal.write("start", step=step.name, digest=step.digest)

    try:
        report.progress(0.0, _title(step))
        if isinstance(executor, InProcess) and apart:
            executor.execute_apart(step, folder, report)
        else:
            attempt(lambda: executor.execute(step, folder, report), _title(step), step.engine, report, failed)
        missing = [file.name for file in step.files if not folder.exists(file.name)]
        if missing:
            raise FileNotFoundError(f"step {step.name} did not write {', '.join(missing)}")
    except Cancelled:
        journal.write("cancelled", step=step.name, digest=step.digest)
        raise
    except BaseException as error:
        with contextlib.suppress(NotWritten):  # the disk may be full, which `error` says
            journal.write("failed", step=step.name, digest=step.digest, error=_told(error, folder))
        if isinstance(error, (FileNotFoundError, DreamzoomError)) and not folder.root.is_dir():
            raise DreamzoomError(
                f"the folder {folder.root} is no longer there: it was moved or removed while its job ran",
                "resume the job where it is now, or generate again",
            ) from error
        raise
    seconds = time.monotonic() - report.began
    write_record(folder, step, seconds)
    journal.write("done", step=step.name, digest=step.digest, seconds=round(seconds, 3))


def _told(error: BaseException, folder: Folder) -> str:
    """An error as the journal tells it: without the paths of this machine, since a job's folder may be shared."""
    text = f"{type(error).__name__}: {error}".replace(str(folder.root), ".")
    return text.replace(str(Path.home()), "~")[:2000]


def _tell_of_compiled_code(sink: Sink) -> None:
    for message in numba_cache.take_messages():
        sink.log(message, "warning")


def _run_side_by_side(
    steps: Sequence[Step], work: Callable[[Step], None], lane: Callable[[Step], tuple[str, int]], stop: threading.Event
) -> None:
    """Call `work` for every step, each call in a thread. Of the steps that can begin, the one does with the longest
    chain of steps behind it.

    Args:
        steps: In an order in which they can run.
        work: Runs one step; it ends with Cancelled soon after `stop` is set.
        lane: As `Executor.lane`.
        stop: Set by this function after a failure, so that the other steps end.

    Raises:
        Exception: What the first step failed with. The others have ended then.
    """
    behind, names = _work_behind(steps), {step.name for step in steps}
    waiting = sorted(steps, key=lambda step: -behind[step.name])
    done: set[str] = set()
    running: dict[Future[None], Step] = {}
    failure: BaseException | None = None

    def can_begin(step: Step) -> bool:
        kind, count = lane(step)
        return done.issuperset(names.intersection(step.needs)) and count > sum(
            lane(other)[0] == kind for other in running.values()
        )

    with ThreadPoolExecutor(max_workers=len(steps) or 1, thread_name_prefix="step") as threads:
        try:
            while running or (waiting and failure is None):
                while failure is None and (step := next(filter(can_begin, waiting), None)) is not None:
                    waiting.remove(step)
                    running[threads.submit(work, step)] = step
                for ended in wait(running, POLL, FIRST_COMPLETED).done:
                    step, error = running.pop(ended), ended.exception()
                    if error is None:
                        done.add(step.name)
                    elif failure is None or (isinstance(failure, Cancelled) and not isinstance(error, Cancelled)):
                        failure = error
                        stop.set()
        except BaseException:  # the threads are waited for, so they have to end
            stop.set()
            raise
    if failure is not None:
        raise failure


def _work_behind(steps: Sequence[Step]) -> dict[str, float]:
    """The expected work of the longest chain of steps that begins with each step, by name."""
    found: dict[str, float] = dict.fromkeys((step.name for step in steps), 0.0)
    for step in reversed(steps):
        found[step.name] += step.weight
        for name in step.needs:
            if name in found:
                found[name] = max(found[name], found[step.name])
    return found


def _title(step: Step) -> str:
    stage = step.stage.shown_as
    return stage if step.level is None else f"{stage}, level {step.level}"


def _show(step: Step, sink: Sink) -> None:
    for file in step.files:
        if file.entry.artifact:
            sink.artifact(file.entry.artifact, step.level, file.name)


class _StepReport(Report):
    """Converts the reports of one step to the progress of the whole job."""

    def __init__(
        self,
        step: Step,
        eta: Eta,
        sink: Sink,
        ends: Sequence[threading.Event],
        live: LivePicture,
        room: Room | None = None,
    ):
        self._step, self._eta, self._sink, self._ends, self._live, self._room = step, eta, sink, ends, live, room
        self._message = ""
        self._last_progress = self._last_preview = -1e9
        self.began = time.monotonic()

    def begins(self) -> None:
        self.began = time.monotonic()

    def progress(self, fraction: float, message: str = "") -> None:
        self.check()
        self._eta.at(self._step, fraction)
        now = time.monotonic()
        if now - self._last_progress < PROGRESS_INTERVAL:
            return
        self._last_progress = now
        self._message = message or self._message
        eta = self._eta
        self._sink.progress(
            Progress(self._step.stage.shown_as, self._step.level, eta.fraction, eta.seconds_left(), self._message)
        )

    def check(self) -> None:
        if any(end.is_set() for end in self._ends):
            raise Cancelled

    def before_writing(self) -> None:
        if self._room is not None:
            self._room.wait(self._step, self)

    def log(self, message: str, *, level: str = "info") -> None:
        self._sink.log(message, level)

    def preview(self, rgb: np.ndarray) -> None:
        now = time.monotonic()
        if now - self._last_preview < PREVIEW_INTERVAL:
            return
        self._last_preview = now
        self._live.show(rgb, self._step.level)

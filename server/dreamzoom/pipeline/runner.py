"""Runs the steps of a job: skips finished steps, records new ones, reports progress and checks for cancellation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import Cancelled
from dreamzoom import numba_cache
from dreamzoom.pipeline.eta import Eta
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.executors import Executor, InProcess
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.journal import Journal
from dreamzoom.pipeline.live_preview import LivePicture
from dreamzoom.pipeline.records import forget, is_done, records, write_record
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import PREVIEW_INTERVAL, Report
from dreamzoom.stages.base import layout

PROGRESS_INTERVAL = 0.1  # seconds


@dataclass(frozen=True)
class Summary:
    """The result of a run: the names of the steps that ran, of those that were already done, and the total seconds."""

    ran: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float


def run(
    steps: Sequence[Step],
    folder: Folder,
    sink: Sink | None = None,
    cancel: threading.Event | None = None,
    *,
    executor: Executor | None = None,
    again: bool = False,
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

    Raises:
        Cancelled: `cancel` was set. Finished steps are kept.
        Exception: Any exception of a step; it is also written to the journal.
    """
    sink, cancel, executor = sink or Sink(), cancel or threading.Event(), executor or InProcess()
    folder.sweep()
    eta, ran, skipped = Eta(steps), [], []
    known = records(folder)
    with contextlib.closing(Journal(folder)) as journal, _live_preview(folder, sink) as live:
        for step in steps:
            if cancel.is_set():
                journal.write("cancelled", step=step.name, digest=step.digest)
                raise Cancelled
            if not again and is_done(folder, step):
                journal.write("skipped", step=step.name, digest=step.digest)
                eta.skip(step)
                skipped.append(step.name)
            else:
                _run_step(step, folder, journal, executor, _StepReport(step, eta, sink, cancel, live))
                live.wait_written()
                forget(folder, step, known)
                eta.finish(step)
                ran.append(step.name)
            _show(step, sink)
            _tell_of_compiled_code(sink)
        sink.progress(Progress(steps[-1].stage.shown_as if steps else "", None, 1.0, 0.0, "done"))
    return Summary(tuple(ran), tuple(skipped), eta.seconds)


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


def _run_step(step: Step, folder: Folder, journal: Journal, executor: Executor, report: _StepReport) -> None:
    journal.write("start", step=step.name, digest=step.digest)
    began = time.monotonic()
    try:
        report.progress(0.0, _title(step))
        executor.execute(step, folder, report)
        missing = [file.name for file in step.files if not folder.exists(file.name)]
        if missing:
            raise FileNotFoundError(f"step {step.name} did not write {', '.join(missing)}")
    except Cancelled:
        journal.write("cancelled", step=step.name, digest=step.digest)
        raise
    except BaseException as error:
        journal.write("failed", step=step.name, digest=step.digest, error=f"{type(error).__name__}: {error}")
        raise
    seconds = time.monotonic() - began
    write_record(folder, step, seconds)
    journal.write("done", step=step.name, digest=step.digest, seconds=round(seconds, 3))


def _tell_of_compiled_code(sink: Sink) -> None:
    for message in numba_cache.take_messages():
        sink.log(message, "warning")


def _title(step: Step) -> str:
    stage = step.stage.shown_as
    return stage if step.level is None else f"{stage}, level {step.level}"


def _show(step: Step, sink: Sink) -> None:
    for file in step.files:
        if file.entry.artifact:
            sink.artifact(file.entry.artifact, step.level, file.name)


class _StepReport(Report):
    """Converts the reports of one step to the progress of the whole job."""

    def __init__(self, step: Step, eta: Eta, sink: Sink, cancel: threading.Event, live: LivePicture):
        self._step, self._eta, self._sink, self._cancel, self._live = step, eta, sink, cancel, live
        self._message = ""
        self._last_progress = self._last_preview = -1e9

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
        if self._cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._sink.log(message, level)

    def preview(self, rgb: np.ndarray) -> None:
        now = time.monotonic()
        if now - self._last_preview < PREVIEW_INTERVAL:
            return
        self._last_preview = now
        self._live.show(rgb, self._step.level)

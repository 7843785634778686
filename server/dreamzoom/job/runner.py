"""Runs the steps of a job: leaves out what is done, records what it does, tells progress, notices a cancel."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from core.errors import Cancelled
from dreamzoom.job.clock import Clock
from dreamzoom.job.folder import Folder
from dreamzoom.job.journal import Journal
from dreamzoom.job.live import LIVE, LivePicture
from dreamzoom.job.steps import Step, digests
from dreamzoom.report import PREVIEW_INTERVAL, Report

KINDS = {"image.png": "image", "cloud.ply": "cloud", "splats.ply": "splats", "preview.png": "preview"}
PROGRESS_INTERVAL = 0.1  # seconds


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        stage, level: Of the step that runs; level is None for the whole job.
        fraction: Of the whole job, 0 to 1, never falling.
        seconds_left: Or None while there is nothing to judge by.
        message: What is being done.
    """

    stage: str
    level: int | None
    fraction: float
    seconds_left: float | None
    message: str


class Sink:
    """Who listens to a job. This one is deaf; the command line and the server have their own."""

    def progress(self, progress: Progress) -> None:
        """At most about ten times a second, and at every step's beginning."""

    def log(self, message: str, level: str) -> None:
        """One line; level is "info", "warning" or "error"."""

    def artifact(self, kind: str, level: int | None, name: str) -> None:
        """A file is there: kind is "image", "cloud", "splats" or "preview"; the name is relative to the job folder."""


@dataclass(frozen=True)
class Summary:
    """What a run did: names of steps that ran and that were found done, and the seconds it took."""

    ran: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float


def run(
    steps: Sequence[Step], folder: Folder, sink: Sink | None = None, cancel: threading.Event | None = None
) -> Summary:
    """Run, in order, the steps that are not done yet. Whoever calls holds the folder's lock.

    A step is done when the record of its digest is there and its outputs still are what the record says.

    Raises:
        Cancelled: `cancel` was set. Finished steps stay finished.
        ValueError: The graph is wrong (`steps.digests`).
        Exception: Whatever a step raised; it is in the journal too.
    """
    sink, cancel = sink or Sink(), cancel or threading.Event()
    by_name = digests(steps)
    folder.sweep()
    journal = Journal(folder)
    clock = Clock(steps)
    live = LivePicture(
        folder,
        lambda level: sink.artifact("preview", level, LIVE),
        lambda reason: sink.log(reason, "warning"),
    )
    known = records(folder)
    ran, skipped = [], []
    try:
        for step in steps:
            if cancel.is_set():
                journal.write("cancelled", step=step.name, digest=by_name[step.name])
                raise Cancelled
            digest = by_name[step.name]
            if is_done(folder, digest):
                journal.write("skipped", step=step.name, digest=digest)
                clock.skip(step)
                skipped.append(step.name)
            else:
                report = _StepReport(step, clock, sink, cancel, live)
                _run_step(step, digest, folder, journal, report)
                live.settle()
                _forget(folder, [old for old in known if old["step"] == step.name and old["digest"] != digest])
                clock.finish(step)
                ran.append(step.name)
            _show(step, sink)
        last = steps[-1] if steps else None
        sink.progress(Progress(last.stage if last else "", None, 1.0, 0.0, "done"))
    finally:
        journal.close()
        with contextlib.suppress(PermissionError):  # on Windows, while someone looks at it
            live.close()
    return Summary(tuple(ran), tuple(skipped), clock.seconds)


def is_done(folder: Folder, digest: str) -> bool:
    """Whether the step of this digest was finished and its outputs still have the recorded size and hash."""
    try:
        outputs = folder.read_json(_record(digest))["outputs"]
        return all(
            folder.exists(name) and folder.size(name) == entry["bytes"] and folder.digest(name) == entry["sha256"]
            for name, entry in outputs.items()
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return False  # a record that can't be read is no record: the step runs again and writes it anew


def records(folder: Folder) -> list[dict[str, Any]]:
    """The records of finished steps, in the order of their finishing; what is no record is left out."""
    found = []
    for path in folder.path("stages").glob("*.json"):
        with contextlib.suppress(ValueError):
            record = folder.read_json(f"stages/{path.name}")
            if isinstance(record, dict) and {"step", "digest", "finished"} <= record.keys():
                found.append(record)
    return sorted(found, key=lambda record: record["finished"])


def _run_step(step: Step, digest: str, folder: Folder, journal: Journal, report: _StepReport) -> None:
    journal.write("start", step=step.name, digest=digest)
    began = time.monotonic()
    try:
        report.progress(0.0, _title(step))
        step.run(folder, report)
        missing = [name for name in step.outputs if not folder.exists(name)]
        if missing:
            raise FileNotFoundError(f"step {step.name} did not write {', '.join(missing)}")
    except Cancelled:
        journal.write("cancelled", step=step.name, digest=digest)
        raise
    except BaseException as error:
        journal.write("failed", step=step.name, digest=digest, error=f"{type(error).__name__}: {error}")
        raise
    seconds = time.monotonic() - began
    outputs = {name: {"bytes": folder.size(name), "sha256": folder.digest(name)} for name in step.outputs}
    record = {"step": step.name, "stage": step.stage, "level": step.level, "version": step.version, "digest": digest}
    folder.write_json(
        _record(digest), record | {"outputs": outputs, "seconds": round(seconds, 3), "finished": time.time()}
    )
    journal.write("done", step=step.name, digest=digest, seconds=round(seconds, 3))


def _forget(folder: Folder, old: Sequence[dict[str, Any]]) -> None:
    """Remove records whose outputs have just been overwritten by another digest's."""
    for record in old:
        folder.remove(_record(record["digest"]))


def _record(digest: str) -> str:
    return f"stages/{digest}.json"


def _title(step: Step) -> str:
    return step.stage if step.level is None else f"{step.stage}, level {step.level}"


def _show(step: Step, sink: Sink) -> None:
    for name in step.outputs:
        kind = KINDS.get(PurePosixPath(name).name)
        if kind:
            sink.artifact(kind, step.level, name)


class _StepReport(Report):
    """What one step tells, put into the terms of the whole job."""

    def __init__(self, step: Step, clock: Clock, sink: Sink, cancel: threading.Event, live: LivePicture):
        self._step, self._clock, self._sink, self._cancel, self._live = step, clock, sink, cancel, live
        self._message = ""
        self._told = self._shown = -1e9

    def progress(self, fraction: float, message: str = "") -> None:
        self.check()
        self._clock.at(self._step, fraction)
        now = time.monotonic()
        if now - self._told < PROGRESS_INTERVAL:
            return
        self._told = now
        self._message = message or self._message
        clock = self._clock
        self._sink.progress(
            Progress(self._step.stage, self._step.level, clock.fraction, clock.seconds_left(), self._message)
        )

    def check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._sink.log(message, level)

    def preview(self, rgb: np.ndarray) -> None:
        now = time.monotonic()
        if now - self._shown < PREVIEW_INTERVAL:
            return
        self._shown = now
        self._live.show(rgb, self._step.level)

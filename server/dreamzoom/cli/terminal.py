"""Progress for people: a bar on a terminal, one line per stage elsewhere; and Ctrl-C as a cancel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from core.errors import Cancelled
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.journal import note_exit
from dreamzoom.progress import Report

BAR = 24  # characters


class Terminal(Sink):
    """Shows a job's progress on a stream. A context manager: it leaves a clean line behind."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._last: tuple[str, int | None] = ("", None)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_) -> None:
        self._clear()

    def progress(self, progress: Progress) -> None:
        """Draw the bar, or tell a stage that begins."""
        stage = progress.stage if progress.level is None else f"{progress.stage}, level {progress.level}"
        if self._live:
            self._draw(stage, progress)
        elif (progress.stage, progress.level) != self._last and progress.fraction < 1:
            self._last = (progress.stage, progress.level)
            self._write(f"{progress.fraction:4.0%} {stage}\n")

    def log(self, message: str, level: str) -> None:
        """Tell a line."""
        self._clear()
        self._write(f"{message}\n" if level == "info" else f"{level}: {message}\n")

    def report(self, stage: str, cancel: threading.Event | None = None) -> Report:
        """For work that is no job: its progress on this terminal; it is cancelled by setting `cancel`."""
        return _Report(self, stage, cancel)

    def _draw(self, stage: str, progress: Progress) -> None:
        full = round(progress.fraction * BAR)
        left = "" if progress.seconds_left is None else f"  {clock(progress.seconds_left)} left"
        told = progress.message if progress.message and progress.message != stage else ""
        line = f"{'━' * full}{'·' * (BAR - full)} {progress.fraction:4.0%}{left}  {stage}{': ' if told else ''}{told}"
        width = shutil.get_terminal_size().columns - 1
        self._write("\r" + line[:width].ljust(width))
        self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _Report(Report):
    def __init__(self, terminal: Terminal, stage: str, cancel: threading.Event | None):
        self._terminal, self._stage, self._cancel = terminal, stage, cancel
        self._began = time.monotonic()
        self._told = -1e9

    def progress(self, fraction: float, message: str = "") -> None:
        self.check()
        now = time.monotonic()
        if now - self._told < 0.1:
            return
        self._told = now
        spent = now - self._began
        left = spent * (1 - fraction) / fraction if fraction > 0.01 else None
        self._terminal.progress(Progress(self._stage, None, fraction, left, message))

    def check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._terminal.log(message, level)


def clock(seconds: float) -> str:
    """Seconds as people read them: 0:07, 12:30, 1:02:03."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


@contextlib.contextmanager
def cancel_on_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C ends the process at once (the job's folder is sound at any moment)."""
    cancel = threading.Event()

    def interrupt(number, frame) -> None:
        if cancel.is_set():
            note_exit()
            os._exit(3)
        cancel.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)

"""The live table of a batch of jobs."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from dreamzoom.cluster.batch import Job, summary


class BatchTable:
    """A table of jobs that is drawn again in its place on a terminal; elsewhere a line is written for each change of a
    job's state.

    Args:
        stream: Where it is written.
        jobs: Are read at each call of `show`.
    """

    INTERVAL = 0.2

    def __init__(self, stream: TextIO, jobs: Sequence[Job]):
        self._stream, self._jobs, self._live = stream, jobs, stream.isatty()
        self._states = ["waiting"] * len(jobs)
        self._lock, self._drawn, self._height = threading.Lock(), 0.0, 0

    def show(self, last: bool = False) -> None:
        """Show what has changed; at the `last` call also all that was left out."""
        with self._lock:
            if not self._live:
                self._write_changes(last)
            elif last or time.monotonic() - self._drawn > self.INTERVAL:
                self._draw()
                if last:  # what did not fit into the width
                    self._stream.write(
                        "".join(f"{job.out}: {job.stage}\n" for job in self._jobs if job.state == "failed")
                    )
            self._stream.flush()

    def log(self, message: str) -> None:
        """Write a line above the table."""
        with self._lock:
            self._stream.write(f"\x1b[2K{message}\n" if self._live else f"{message}\n")
            self._height = 0
            self._stream.flush()

    def _draw(self) -> None:
        width, height = shutil.get_terminal_size()
        lines = [line[: width - 1] for line in summary(self._jobs, max(height - 2, 1))]
        up = f"\x1b[{self._height}F" if self._height else ""
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        self._height, self._drawn = len(lines), time.monotonic()

    def _write_changes(self, last: bool) -> None:
        for number, job in enumerate(self._jobs):
            if job.state != self._states[number]:
                self._states[number] = job.state
                self._stream.write(summary([job])[0] + "\n")
        if last:
            self._stream.write(summary(self._jobs)[-1] + "\n")

"""Progress reports from long-running work, and the check for cancellation. The only link from a stage to its caller."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

from core.errors import Cancelled

PREVIEW_INTERVAL = 0.5
"""Minimum time between two previews, in seconds."""
PREVIEW_SIDE = 512
"""Maximum length of a preview's longer side, in pixels."""


class Report:
    """Receives progress, log lines and previews; this base class ignores them. The job's runner passes a subclass.

    A stage calls `progress` at least once per half second of work, because the same call checks for cancellation.

    Attributes:
        less_memory: Whether the work failed before for lack of memory: where there is a choice, less is to be used.
    """

    less_memory = False

    def progress(self, fraction: float, message: str = "") -> None:
        """Report that `fraction` (0 to 1) of this step is done. Raises `errors.Cancelled` if the job was cancelled."""

    def check(self) -> None:
        """Check for cancellation without reporting progress. Raises `errors.Cancelled` if the job was cancelled."""

    def begins(self) -> None:
        """Called when work begins that had to wait for a worker, so that its time is counted from here."""

    def before_writing(self) -> None:
        """Called when work is computed and its files are about to be written; may wait until there is space.

        Raises:
            Cancelled: The job was cancelled.
            DreamzoomError: There is no space for them.
        """

    def log(self, message: str, *, level: str = "info") -> None:
        """Log one line; level is "info", "warning" or "error"."""

    def preview(self, rgb: np.ndarray) -> None:
        """Show an unfinished picture, (H, W, 3) float32 sRGB in 0..1. The caller must not modify the array afterwards,
        and limits the rate of calls to one per `PREVIEW_INTERVAL`.
        """


class Cancellation(Report):
    """Hears of a cancellation, and tells nothing.

    Args:
        cancel: Set when the work is cancelled.
    """

    def __init__(self, cancel: threading.Event):
        self._cancel = cancel

    def progress(self, fraction: float, message: str = "") -> None:
        """See `Report`."""
        self.check()

    def check(self) -> None:
        """See `Report`."""
        if self._cancel.is_set():
            raise Cancelled


_current: ContextVar[Report | None] = ContextVar("report", default=None)


@contextlib.contextmanager
def reporting_to(report: Report) -> Iterator[None]:
    """Make this the report that `check` asks, for the work of this thread within the block."""
    token = _current.set(report)
    try:
        yield
    finally:
        _current.reset(token)


def check() -> None:
    """Check for cancellation in code that is given no report, such as a loop over parts of a picture.

    Does nothing in a thread without a report: threads that such a loop starts are stopped by the loop.

    Raises:
        errors.Cancelled: The job was cancelled.
    """
    report = _current.get()
    if report is not None:
        report.check()

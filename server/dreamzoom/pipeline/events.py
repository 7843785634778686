"""The events of a running job: progress, log lines and finished files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A job's progress.

    Attributes:
        stage, level: Of the running step; level is None for steps of several levels or the whole job.
        fraction: Fraction of the whole job that is done, 0 to 1; never decreases.
        seconds_left: Estimated seconds left; None while there is no estimate.
        message: What is being done.
    """

    stage: str
    level: int | None
    fraction: float
    seconds_left: float | None
    message: str


class Sink:
    """Receives progress, log lines and artifacts; the base class ignores them."""

    def progress(self, progress: Progress) -> None:
        """Called at every step's start, and at most about ten times per second."""

    def log(self, message: str, level: str) -> None:
        """Called for each log line; level is "info", "warning" or "error"."""

    def artifact(self, kind: str, level: int | None, name: str) -> None:
        """Called when a file was written. Kind is "image", "cloud", "splats" or "preview"; the name is relative to the
        job's folder.
        """

"""What a running job tells to its surroundings: progress, log lines and files that are there."""

from __future__ import annotations

from dataclasses import dataclass


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
    """Receives progress, log lines and artifacts; the base class ignores them."""

    def progress(self, progress: Progress) -> None:
        """At most about ten times a second, and at every step's beginning."""

    def log(self, message: str, level: str) -> None:
        """One line; level is "info", "warning" or "error"."""

    def artifact(self, kind: str, level: int | None, name: str) -> None:
        """A file is there: kind is "image", "cloud", "splats" or "preview"; the name is relative to the job folder."""

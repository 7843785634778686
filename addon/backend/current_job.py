"""The current job as the panels draw it: the one that is running, or the last one. There is at most one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..core.errors import DreamzoomError
from . import main_loop

ACTIVE = ("capturing", "starting", "running", "cancelling", "importing")


class Work(Protocol):
    """Work on the main thread that can be stopped before its end."""

    def close(self) -> object: ...


@dataclass
class Job:
    """One press of Generate or Import.

    Attributes:
        rig_uid: Blender's `session_uid` of the rig's root, which survives undo.
        folder: The job folder; known once the scene has been captured.
        import_when_done: Whether the result is imported as soon as it is there.
        status: "capturing" (the scene), "starting" (the server), "running", "cancelling", "importing", then "done",
            "cancelled" or "failed".
        stage, level: The server's stage and the level that it works on; None where it works on no single level.
        levels: Count of levels.
        fraction: 0 to 1 of the whole.
        seconds_left: The server's estimate, None where it has none.
        seconds: How long the server worked; 0 where all was finished before.
        preview: Path of the latest picture, empty where there is none.
        preview_count: How many pictures have come.
        note: The latest message that the server logged, for example how much memory its models take.
        warning: The latest warning that it logged.
        error: What went wrong, where the job failed.
        request_id: The server's request.
        prompts: The prompts of the levels, as `prompt_changes` stores them.
        work: The running capture or import on the main thread, None where there is none.
    """

    rig_uid: int
    folder: Path
    import_when_done: bool
    status: str = "capturing"
    stage: str = ""
    level: int | None = None
    levels: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    seconds: float = 0.0
    preview: str = ""
    preview_count: int = 0
    note: str = ""
    warning: str = ""
    error: DreamzoomError | None = None
    request_id: int = -1
    prompts: str = ""
    work: Work | None = None

    @property
    def is_active(self) -> bool:
        """Whether the job is running."""
        return self.status in ACTIVE

    def finish(self, status: str, error: DreamzoomError | None = None) -> None:
        """End the job as "done", "cancelled" or "failed"."""
        self.status, self.error, self.seconds_left = status, error, None
        if status == "done":
            self.fraction = 1.0
        if self.work is not None:
            self.work.close()
            self.work = None
        main_loop.redraw()


_job: Job | None = None


def get() -> Job | None:
    """The current job; None before the first one, and after the artist has dismissed the last one."""
    return _job


def replace(job: Job | None) -> None:
    """Make this the current job."""
    global _job
    if _job is not None and _job.work is not None:
        _job.work.close()
    _job = job


def is_busy() -> bool:
    """Whether a job is running."""
    return _job is not None and _job.is_active


def check_free() -> None:
    """Raise DreamzoomError if a job is running."""
    if is_busy():
        raise DreamzoomError("A job is running already", "Wait for it, or cancel it")


def refuse(error: DreamzoomError) -> None:
    """Show an error that kept a job from starting, in the place of the job's progress."""
    if not is_busy():
        replace(Job(0, Path(), False, status="failed", error=error))

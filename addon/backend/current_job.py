"""The jobs of this Blender as the panels draw them: the running ones, those that wait, and the last one of each rig."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.errors import DreamzoomError
from ..core.protocol import messages
from . import main_loop

if TYPE_CHECKING:
    from .remote.transfer import Transfer

ON_SERVER = ("sending", "starting", "running", "cancelling", "fetching")
ACTIVE = ("capturing", "queued", *ON_SERVER, "importing")

CAPTURED, DREAMED = 0.02, 0.97
"""Fractions of a job at which the scene has been captured, and at which the server has finished."""


class Work(Protocol):
    """Work on the main thread that can be stopped before its end."""

    def close(self) -> object: ...


@dataclass
class Job:
    """One press of Generate, Import or Export for Viewers.

    Attributes:
        rig_uid: Blender's `session_uid` of the rig's root, which survives undo.
        folder: The job folder; known once the scene has been captured.
        import_when_done: Whether the result is imported as soon as it is there.
        rig_name: Name of the rig when the job was started.
        scene_name: Name of its scene.
        play_when_done: Whether Blender begins to play the animation once the result has been imported.
        status: "capturing" (the scene), "queued" (behind other jobs), "sending" (files to another machine), "starting"
            (the server), "running", "cancelling", "fetching" (files from another machine), "importing", then "done",
            "cancelled" or "failed".
        stage, level: The server's stage and the level that it works on; None where it works on no single level.
        levels: Count of levels.
        finished_levels: Levels whose files have been written since the job was started.
        imported_levels: Those of them that have been imported while the job was running.
        fraction: 0 to 1 of the present part: the capture, the server's work or the import.
        total: 0 to 1 of the whole, from the capture to the import; never decreases.
        ends_at: When the server expects to be done, by `time.monotonic`; None where it has no estimate.
        seconds: How long the server worked; 0 where all was finished before.
        level_seconds: The same of each level, as the server measured it.
        preview: Path of the latest picture, empty where there is none.
        preview_count: How many pictures have come.
        note: The latest message that the server logged, for example how much memory its models take.
        warning: The latest warning that it logged.
        error: What went wrong, where the job failed.
        kept: Names of objects that the artist had changed and that the import has kept in a hidden collection.
        made_ready: What the import has changed in the scene's render settings, in words.
        request_id: The server's request.
        request: What the server is asked for; None before the scene has been captured.
        pictures: Stamps of the artist's pictures of the levels when they were sent, as `prompt_changes` makes them.
        method: The server's method.
        params: Further parameters of the method, for one that takes no request.
        outcome: What the server has written, in words, where that is not imported.
        is_left: Whether the server has finished, and the rig was not there to take the result.
        resumes: Whether the server goes on with the request that the folder holds, instead of getting one.
        work: The running capture or import on the main thread, None where there is none.
        importing: The task that imports finished levels while the job is running.
        transfer: How its files travel; None where the server sees the folder.
    """

    rig_uid: int
    folder: Path
    import_when_done: bool
    rig_name: str = ""
    scene_name: str = ""
    play_when_done: bool = False
    status: str = "capturing"
    stage: str = ""
    level: int | None = None
    levels: int = 0
    finished_levels: set[int] = field(default_factory=set)
    imported_levels: set[int] = field(default_factory=set)
    fraction: float = 0.0
    total: float = 0.0
    ends_at: float | None = None
    seconds: float = 0.0
    level_seconds: list[float] = field(default_factory=list)
    preview: str = ""
    preview_count: int = 0
    note: str = ""
    warning: str = ""
    error: DreamzoomError | None = None
    kept: list[str] = field(default_factory=list)
    made_ready: list[str] = field(default_factory=list)
    request_id: int = -1
    request: dict | None = None
    pictures: list[str] = field(default_factory=list)
    method: str = messages.GENERATE
    params: dict | None = None
    outcome: str = ""
    is_left: bool = False
    resumes: bool = False
    work: Work | None = None
    importing: main_loop.Task | None = None
    transfer: Transfer | None = None

    @property
    def is_active(self) -> bool:
        """Whether the job is running or waits for others."""
        return self.status in ACTIVE

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the server is done, counting down; None where there is no estimate, or it was too short."""
        left = None if self.ends_at is None else self.ends_at - time.monotonic()
        return left if left is None or left > 0 else None

    def advance(self, fraction: float, start: float, end: float) -> None:
        """Record that `fraction` of the present part is done, which goes from `start` to `end` of the whole."""
        self.fraction = min(max(fraction, 0.0), 1.0)
        self.total = max(self.total, start + self.fraction * (end - start))

    def finish(self, status: str, error: DreamzoomError | None = None) -> None:
        """End the job as "done", "cancelled" or "failed"."""
        self.status, self.error, self.ends_at = status, error, None
        if status == "done":
            self.fraction = self.total = 1.0
        if self.work is not None:
            self.work.close()
            self.work = None
        if self.transfer is not None:
            self.transfer.close()
        main_loop.redraw()
        main_loop.redraw_status_bar()


_jobs: list[Job] = []
"""One for each rig at most, the newest last."""


def all_jobs() -> list[Job]:
    """All jobs, the oldest first."""
    return list(_jobs)


def get() -> Job | None:
    """The job that the server works on, else the newest; None where there is none. For scripts with one rig."""
    busy = [job for job in _jobs if job.status in ON_SERVER] or [job for job in _jobs if job.is_active]
    return next(iter(busy or _jobs[-1:]), None)


def of_rig(rig_uid: int) -> Job | None:
    """The running or last job of a rig, by its `session_uid`."""
    return next((job for job in _jobs if job.rig_uid == rig_uid), None)


def add(job: Job) -> None:
    """Add a job in place of the last one of its rig."""
    remove(job.rig_uid)
    _jobs.append(job)


def remove(rig_uid: int) -> None:
    """Forget the job of a rig; work on the main thread for it ends."""
    for job in [job for job in _jobs if job.rig_uid == rig_uid]:
        for work in (job.work, job.transfer):
            if work is not None:
                work.close()
        _jobs.remove(job)


def clear() -> None:
    """Forget all jobs."""
    for job in all_jobs():
        remove(job.rig_uid)


def is_busy(rig_uid: int | None = None) -> bool:
    """Whether any job is running or waiting, or that of a rig."""
    return any(job.is_active for job in _jobs if rig_uid is None or job.rig_uid == rig_uid)


def is_server_busy() -> bool:
    """Whether the server works on a job."""
    return any(job.status in ON_SERVER for job in _jobs)


def is_folder_busy(folder: Path) -> bool:
    """Whether a running or waiting job writes into a folder."""
    return any(job.is_active and job.folder == folder for job in _jobs)


def check_free(rig_uid: int) -> None:
    """Raise DreamzoomError if a rig's job is running."""
    if is_busy(rig_uid):
        raise DreamzoomError("The job of this flight is running already", "Wait for it, or cancel it")


def refuse(error: DreamzoomError, rig_uid: int) -> None:
    """Show an error that kept a rig's job from starting, in the place of the job's progress."""
    if not is_busy(rig_uid):
        add(Job(rig_uid, Path(), False, status="failed", error=error))

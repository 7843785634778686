"""One long-running request: its cancellation, what it tells the client, and its answer."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import BadRequest, Cancelled, DreamzoomError, EngineUnavailable, ModelMissing, explained
from core.protocol import error_codes, messages
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.progress import Report
from dreamzoom.rpc.requests import Call
from dreamzoom.rpc.streams import Writer

if TYPE_CHECKING:
    from dreamzoom.rpc.files.home import Home

PROGRESS_INTERVAL = 0.1
LONGEST_TEXT = 2000
"""Characters of a message to the client; the log on standard error has all of it."""


class Job(Sink):
    """A request that runs in a thread of its own, and the sink of its run.

    Attributes:
        identity: The request's id.
        method: Its method.
        cancel: Set to cancel it.
        home: The folder of jobs whose folder the client does not see (see `rpc.files.home`), once it is asked for.
        levels: Number of levels, once they are known.
        answered: When it was answered, in seconds of `time.monotonic`; None before.
    """

    def __init__(self, call: Call, writer: Writer, home: Callable[[], Home]):
        self.call, self.identity, self.method, self.writer = call, call.identity, call.method, writer
        self.home = home
        self.cancel = threading.Event()
        self.levels = 0
        self.answered: float | None = None
        self._told = 0.0

    def run(self, work: Callable[[Job], dict[str, Any]]) -> Callable[[], None]:
        """Run the work; returns a function that sends its answer."""
        try:
            result = work(self)
            return lambda: self.writer.result(self.identity, result)
        except BaseException as error:  # any error is sent as the answer; the server keeps running
            code, message, data = error_response(error)
            return lambda: self.writer.error(self.identity, code, message, data)

    def progress(self, progress: Progress) -> None:
        """Send progress, at most ten times per second."""
        now = time.monotonic()
        if now - self._told < PROGRESS_INTERVAL and progress.fraction < 1:
            return
        self._told = now
        left = progress.seconds_left
        self._notify(
            messages.PROGRESS,
            stage=progress.stage,
            level=progress.level,
            levels=self.levels,
            fraction=round(progress.fraction, 4),
            seconds_left=None if left is None else round(left, 1),
            message=progress.message[:LONGEST_TEXT],
        )

    def log(self, message: str, level: str) -> None:
        """Tell a line."""
        self._notify(messages.LOG, level=level, message=message[:LONGEST_TEXT])

    def artifact(self, kind: str, level: int | None, name: str) -> None:
        """Announce a file; its path is relative to the job's folder."""
        self._notify(messages.ARTIFACT, kind=kind, level=level, path=name)

    def _notify(self, method: str, **params: Any) -> None:
        if self.answered is None:
            self.writer.notify(method, {"id": self.identity} | params)


class Work(Report):
    """Progress of work that is no run of a job's steps, with the time that it still needs.

    Args:
        job: The request.
        stage: The name of its progress.
    """

    def __init__(self, job: Job, stage: str):
        self._job, self._stage = job, stage
        self._began, self._first = time.monotonic(), None

    def progress(self, fraction: float, message: str = "") -> None:
        self.check()
        if self._first is None:
            self._first = fraction  # parts that were there already took no time
        done, spent = fraction - self._first, time.monotonic() - self._began
        left = spent * (1 - fraction) / done if done > 0.001 and spent > 2 else None
        self._job.progress(Progress(self._stage, None, fraction, left, message))

    def check(self) -> None:
        if self._job.cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._job.log(message, level)


def error_response(error: BaseException) -> tuple[int, str, dict[str, Any] | None]:
    """Convert an exception to JSON-RPC's code, message and data."""
    message, remedy = (text[:LONGEST_TEXT] for text in explained(error))
    match error:
        case BadRequest():
            told = message.removeprefix(f"{error.field}: ")
            return error_codes.BAD_REQUEST, message, {"field": error.field, "message": told}
        case Cancelled():
            return error_codes.CANCELLED, message, {"remedy": remedy}
        case EngineUnavailable():
            missing = {"missing": "model"} if isinstance(error, ModelMissing) else {}
            return error_codes.NOT_AVAILABLE, message, {"remedy": remedy} | missing
    if not isinstance(error, DreamzoomError):
        traceback.print_exception(error)  # to stderr, which the add-on writes to a log file
    return error_codes.OTHER, message, {"remedy": remedy}

"""The server: JSON-RPC over standard input and output; one job or download at a time, in a separate thread.

The process exits within a second when its input ends, so that a crashed Blender leaves no server behind. Large modules
are imported only when needed, so that `initialize` is answered at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import BadRequest, Cancelled, DreamzoomError, EngineUnavailable, ModelMissing, explained
from core.protocol import error_codes, framing, messages
from dreamzoom import __version__
from dreamzoom.progress import Report
from dreamzoom.rpc import streams

if TYPE_CHECKING:
    from dreamzoom.pipeline.events import Sink

PROGRESS_INTERVAL = 0.1


def serve() -> int:
    """Handle requests until the input ends or `shutdown` is received, then exit the process, even if a job runs."""
    source, target = _take_descriptors()
    reader, server = framing.Reader(source), Server(streams.Writer(target))
    try:
        while True:
            try:
                body = reader.read()
                if body is None:
                    break
                server.handle(body)
            except framing.FrameError as error:
                server.writer.error(None, error.code, str(error))
    except (OSError, KeyboardInterrupt):
        pass  # the client has exited
    # Not sys.exit, which would wait for a job's thread. The job's folder is valid at any moment.
    sys.stderr.flush()
    os._exit(0)


class Server:
    """Handles requests. `handle` is called from one thread only."""

    def __init__(self, writer: streams.Writer):
        self.writer = writer
        self._job: _Job | None = None
        self._lock = threading.Lock()

    def handle(self, body: bytes) -> None:
        """Handle one message. Raises FrameError for an invalid request."""
        identity, method, params = streams.parse(body)
        if method == messages.INITIALIZE:
            self.writer.result(identity, self._initialize())
        elif method in _WORK:
            self._begin(identity, method, params)
        elif method == messages.CANCEL:
            self.writer.result(identity, {"cancelled": self._cancel(params.get("id"))})
        elif method == messages.SHUTDOWN:
            self._cancel(self._job.identity if self._job else None)
            self.writer.result(identity, {})
            sys.stderr.flush()
            os._exit(0)
        elif identity is not None:
            known = ", ".join([messages.INITIALIZE, *_WORK, messages.CANCEL, messages.SHUTDOWN])
            self.writer.error(identity, error_codes.UNKNOWN_METHOD, f"no method {method[:60]!r}; there are: {known}")

    def _initialize(self) -> dict[str, Any]:
        from dreamzoom.engines import registry

        return {"name": "dreamzoom", "version": __version__, "engines": registry.available(), "pid": os.getpid()}

    def _cancel(self, identity: Any) -> bool:
        job = self._job
        if job is None or identity is None or job.identity != identity:
            return False
        job.cancel.set()
        return True

    def _begin(self, identity: Any, method: str, params: dict[str, Any]) -> None:
        if identity is None:
            return  # a notification has no id, so a job could be neither answered nor cancelled
        job = _Job(identity, method, self.writer)
        if method not in _CONCURRENT:
            with self._lock:
                if self._job is not None:
                    doing = (
                        "a download is running" if self._job.method == messages.MODELS_GET else "another job is running"
                    )
                    self.writer.error(identity, error_codes.BUSY, doing, {"remedy": "wait for it, or cancel it"})
                    return
                self._job = job
        threading.Thread(target=self._run, args=(job, _WORK[method], params), name=method, daemon=True).start()

    def _run(self, job: _Job, work: Callable[[_Job, dict[str, Any]], dict[str, Any]], params: dict[str, Any]) -> None:
        answer = job.run(work, params)
        with self._lock:
            if self._job is job:
                self._job = None  # before the answer: the client may send the next job as soon as it has received it
        with contextlib.suppress(OSError):  # the client has exited; the main thread detects this
            answer()


class _Job:
    """One long-running request, and the sink of its run."""

    def __init__(self, identity: Any, method: str, writer: streams.Writer):
        self.identity, self.method, self.writer = identity, method, writer
        self.cancel = threading.Event()
        self.levels = 0
        self._told = 0.0

    def run(self, work: Callable[[_Job, dict[str, Any]], dict[str, Any]], params: dict[str, Any]):
        """Run the work; returns a function that sends the answer."""
        try:
            result = work(self, params)
            return lambda: self.writer.result(self.identity, result)
        except BaseException as error:  # any error is sent as the answer; the server keeps running
            code, message, data = _error_response(error)
            return lambda: self.writer.error(self.identity, code, message, data)

    def progress(self, progress) -> None:
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
            message=progress.message,
        )

    def log(self, message: str, level: str) -> None:
        """Tell a line."""
        self._notify(messages.LOG, level=level, message=message)

    def artifact(self, kind: str, level: int | None, name: str) -> None:
        """Announce a file; its path is relative to the job's folder."""
        self._notify(messages.ARTIFACT, kind=kind, level=level, path=name)

    def _notify(self, method: str, **params: Any) -> None:
        self.writer.notify(method, {"id": self.identity} | params)


def _generate(job: _Job, params: dict[str, Any]) -> dict[str, Any]:
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.generate import generate
    from dreamzoom.pipeline.records import level_seconds
    from dreamzoom.request import validation
    from dreamzoom.request.inputs import located
    from dreamzoom.stages.base import layout

    _only(params, messages.GENERATE, "request", "out")
    out = params.get("out")
    if not isinstance(out, str) or not out or "\0" in out:
        raise BadRequest("out", "is required and must be the path of the job's folder")
    if "request" not in params:
        raise BadRequest("request", "is required and must be an object")
    request = located(validation.convert_request(params["request"]), Path.cwd())
    job.levels = len(request.levels)
    folder = Folder(Path(out))
    summary = generate(request, folder, cast("Sink", job), job.cancel)
    found = {"out": str(folder.root), "result": str(folder.path(layout.RESULT.path())), "seconds": summary.seconds}
    return found | {"level_seconds": level_seconds(folder, job.levels)}


def _models(job: _Job, params: dict[str, Any]) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    _only(params, messages.MODELS)
    return model_rpc.listed()


def _models_offer(job: _Job, params: dict[str, Any]) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    _only(params, messages.MODELS_OFFER, "name")
    return model_rpc.offered(params.get("name"))


def _models_get(job: _Job, params: dict[str, Any]) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    _only(params, messages.MODELS_GET, "offers")
    return model_rpc.fetched(params.get("offers"), _Download(job))


def _machine(job: _Job, params: dict[str, Any]) -> dict[str, Any]:
    from dreamzoom.machine import facts

    _only(params, messages.MACHINE)
    return facts.facts()


_WORK = {
    messages.GENERATE: _generate,
    messages.MODELS: _models,
    messages.MODELS_OFFER: _models_offer,
    messages.MODELS_GET: _models_get,
    messages.MACHINE: _machine,
}
"""Methods that run in a separate thread. All but `_CONCURRENT` run one at a time and can be cancelled."""

_CONCURRENT = {messages.MODELS, messages.MODELS_OFFER, messages.MACHINE}
"""Methods that take seconds and may run at the same time as a job."""


def _only(params: dict[str, Any], method: str, *names: str) -> None:
    unknown = params.keys() - set(names)
    if unknown:
        raise BadRequest(min(unknown)[:60], f"is not a parameter of {method}; remove it")


class _Download(Report):
    """Progress of a download."""

    def __init__(self, job: _Job):
        self._job = job
        self._began, self._first = time.monotonic(), None

    def progress(self, fraction: float, message: str = "") -> None:
        from dreamzoom.pipeline.events import Progress

        self.check()
        if self._first is None:
            self._first = fraction  # already downloaded parts took no time
        done, spent = fraction - self._first, time.monotonic() - self._began
        left = spent * (1 - fraction) / done if done > 0.001 and spent > 2 else None
        self._job.progress(Progress(messages.DOWNLOAD, None, fraction, left, message))

    def check(self) -> None:
        if self._job.cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._job.log(message, level)


def _error_response(error: BaseException) -> tuple[int, str, dict[str, Any] | None]:
    """Convert an exception to JSON-RPC's code, message and data."""
    message, remedy = explained(error)
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


def _take_descriptors() -> tuple[int, int]:
    """Reserve standard input and output for the protocol; other code gets an empty input, and stderr as output."""
    source, target = os.dup(0), os.dup(1)
    if os.name == "nt":
        import msvcrt

        for descriptor in (source, target):
            msvcrt.setmode(descriptor, os.O_BINARY)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return source, target

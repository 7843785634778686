"""The server: JSON-RPC over standard input and output; one job or download at a time, in a separate thread.

Five threads, none of which can keep another waiting: the main thread reads frames and notices the end of input; one
handles requests; one writes; one watches the client's process; one reads and writes files that travel. The process
exits within a second when its input ends or its client dies, so that a crashed Blender leaves no server behind. Large
modules are imported only when needed, so that `initialize` is answered at once.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import Cancelled
from core.protocol import error_codes, framing, messages
from dreamzoom import __version__, parent_watch
from dreamzoom.parent_watch import leave
from dreamzoom.rpc.files.service import Service
from dreamzoom.rpc.intake import Intake
from dreamzoom.rpc.job import Job, error_response
from dreamzoom.rpc.methods import CONCURRENT, WORK
from dreamzoom.rpc.requests import Call, Identity, Refused, Text, identity_in, parameters, parse
from dreamzoom.rpc.streams import Writer

if TYPE_CHECKING:
    from dreamzoom.rpc.files.home import Home

MOST_CONCURRENT = 4
"""Requests of `CONCURRENT` that run at the same time; further ones are refused."""

ABANDONED = 1800.0
"""Seconds after the last frame of a client that used to send pings, upon which a server without a job exits."""

CANCEL_PATIENCE = 0.3
"""Seconds after which a cancelled request is answered even if its work still runs: a call into a library, or one
denoising step. The next job waits until it has stopped.
"""

LONGEST_STOP = 600.0
"""Seconds after which the server exits if cancelled work still runs, so that it does not go on for ever. The first
compilation of a large kernel takes a minute, several on a busy machine.
"""

PATIENCE = 0.5
"""Seconds that answers may take to be written after the end of input."""


def serve(jobs: Path | None = None) -> int:
    """Handle requests until the input ends or `shutdown` is received, then exit the process, even if a job runs.

    Args:
        jobs: The folder of the jobs of clients whose folders this machine does not see; None for the usual one.
    """
    source, target = _take_descriptors()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: leave())
        _hear_signals()
    writer = Writer(target, leave)
    server, intake = Server(writer, jobs), Intake()
    parent_watch.start()
    threading.Thread(target=server.handle_all, args=(intake,), name="dreamzoom-requests", daemon=True).start()
    reader = framing.Reader(source)
    try:
        while True:
            try:
                body = reader.read()
                if body is None:
                    break
                intake.put(body)
            except framing.FrameError as error:
                intake.put(error)
        until = time.monotonic() + PATIENCE
        if intake.wait_empty(PATIENCE):
            writer.flush(until - time.monotonic())
    except (OSError, KeyboardInterrupt):
        pass  # the client has exited
    leave()
    return 0


def _hear_signals() -> None:
    """Leave upon SIGINT and SIGTERM even if one arrives just before the main thread waits for input: Python's handlers
    run in that thread alone, after its wait. On Windows the wait is interrupted.
    """
    if os.name == "nt":
        return
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)

    def hear() -> None:
        while os.read(told, 1)[0] not in (signal.SIGINT, signal.SIGTERM):
            pass
        leave()

    threading.Thread(target=hear, name="dreamzoom-signals", daemon=True).start()


class _Cancel(msgspec.Struct):
    id: Text = msgspec.UNSET


class Server:
    """Handles requests, in one thread."""

    def __init__(self, writer: Writer, jobs: Path | None = None):
        self.writer, self._home = writer, _home_at(jobs)
        self._files = Service(writer, self._home, error_response, leave)
        self._running: dict[Identity, Job] = {}
        self._left: list[Job] = []  # cancelled and answered, but still running
        self._changed = threading.Condition()
        self._heard, self._pinged = time.monotonic(), False

    def handle_all(self, intake: Intake) -> None:
        """Handle frames as they come, for ever."""
        while True:
            with intake.next(1.0) as item:
                self._leave_if_useless()
                if item is None:
                    continue
                self._heard = time.monotonic()
                if isinstance(item, framing.FrameError):
                    self.writer.error(None, item.code, str(item))
                else:
                    self._handle_safely(item)

    def _handle_safely(self, body: bytes) -> None:
        try:
            self.handle(body)
        except Exception as error:  # the next request is handled all the same
            code, message, data = error_response(error)
            self.writer.error(None, code, message, data)

    def handle(self, body: bytes) -> None:
        """Handle one message."""
        try:
            call = parse(body)
        except Refused as refused:
            self.writer.error(refused.identity, refused.code, str(refused))
            return
        if call.identity is not None and call.identity in self._running:
            # an answer with the id of a running request would be taken for that request's own
            why = f"the id {call.identity!r} belongs to a request that is still running; use another"
            self.writer.error(None, error_codes.INVALID_REQUEST, why, {"id": call.identity})
        elif call.method in WORK:
            self._begin(call)
        elif self._files.knows(call.method):
            self._files.take(call)
        else:
            self._answer(call)

    def _answer(self, call: Call) -> None:
        """Answer a request that takes no time."""
        result: dict[str, Any] = {}
        match call.method:
            case messages.INITIALIZE:
                result = self._initialize()
            case messages.PING:
                self._pinged = True
                result = {"working": bool(self._running or self._left)}
            case messages.CANCEL:
                result = {"cancelled": self._cancel(identity_in(parameters(call, _Cancel).id))}
            case messages.SHUTDOWN:
                for job in list(self._running.values()):
                    job.cancel.set()
            case _:
                if not call.is_notification:
                    known = ", ".join([messages.INITIALIZE, *WORK, messages.PING, messages.CANCEL, messages.SHUTDOWN])
                    unknown = f"no method {call.method[:60]!r}; there are: {known}"
                    self.writer.error(call.identity, error_codes.UNKNOWN_METHOD, unknown)
                return
        if not call.is_notification:
            self.writer.result(call.identity, result)
        if call.method == messages.SHUTDOWN:
            self.writer.flush(PATIENCE)
            leave()

    def _initialize(self) -> dict[str, Any]:
        from core.transfer import packing
        from dreamzoom.engines import registry

        who = {"name": "dreamzoom", "version": __version__, "host": platform.node()[:100], "pid": os.getpid()}
        return who | {"engines": registry.available(), "packings": packing.known()}

    def _cancel(self, identity: Identity) -> bool:
        with self._changed:
            job = self._running.get(identity)
        if job is None:
            return False
        if not job.cancel.is_set():
            job.cancel.set()
            cancelled = threading.Timer(CANCEL_PATIENCE, self._answer_job, (job, None))
            cancelled.daemon = True
            cancelled.start()
        return True

    def _begin(self, call: Call) -> None:
        """Start a request's thread, or refuse it."""
        if call.is_notification:
            return  # a job without an id could be neither answered nor cancelled
        if call.identity is None:
            self.writer.error(None, error_codes.INVALID_REQUEST, f"{call.method} needs an id that is not null")
            return
        job = Job(call, self.writer, self._home)
        with self._changed:
            why = self._why_busy(call.method)
            if not why:
                self._running[call.identity] = job
        if why:
            self.writer.error(call.identity, error_codes.BUSY, why, {"remedy": "wait for it, or cancel it"})
        else:
            threading.Thread(target=self._run, args=(job,), name=call.method, daemon=True).start()

    def _why_busy(self, method: str) -> str:
        """Why a request has to wait; empty if it can start."""
        concurrent = method in CONCURRENT
        others = [job.method for job in self._running.values() if (job.method in CONCURRENT) == concurrent]
        if concurrent:
            left = sum(job.method in CONCURRENT for job in self._left)
            return "too many requests are running" if len(others) + left >= MOST_CONCURRENT else ""
        if messages.MODELS_GET in others:
            return "a download is running"
        return "another job is running" if others else ""

    def _run(self, job: Job) -> None:
        """The thread of a request."""
        answer = job.run(self._work)
        if not self._answer_job(job, answer):
            with self._changed:
                self._left.remove(job)
                self._changed.notify_all()

    def _work(self, job: Job) -> dict[str, Any]:
        if job.method not in CONCURRENT:
            with self._changed:
                if self._has_left_job():
                    job.log("waiting until the cancelled job has stopped", "info")
                while self._has_left_job():
                    self._changed.wait(0.1)
                    if job.cancel.is_set():
                        raise Cancelled
        return WORK[job.method](job)

    def _has_left_job(self) -> bool:
        return any(job.method not in CONCURRENT for job in self._left)

    def _answer_job(self, job: Job, answer: Callable[[], None] | None) -> bool:
        """Answer a request, unless that was done before; returns whether it was not.

        Args:
            job: The request.
            answer: Sends the answer of its work; None if it was cancelled and its work still runs.
        """
        with self._changed:
            if job.answered is not None:
                return False
            job.answered = time.monotonic()
            del self._running[job.identity]  # before the answer, upon which the client may send the next job
            if answer is None:
                self._left.append(job)
        if answer is None:
            code, message, data = error_response(Cancelled())
            self.writer.error(job.identity, code, message, data)
        else:
            answer()
        return True

    def _leave_if_useless(self) -> None:
        """Exit if cancelled work does not stop, or nothing runs for a client that used to be heard but is no more."""
        now = time.monotonic()
        if any(now - (job.answered or now) > LONGEST_STOP for job in self._left):
            sys.stderr.write(f"a cancelled job did not stop within {LONGEST_STOP:.0f} seconds\n")
            leave()
        if self._pinged and not self._running and now - self._heard > ABANDONED:
            leave()


def _home_at(jobs: Path | None) -> Callable[[], Home]:
    """Gives the folder of jobs, whose module is imported only when it is needed."""

    @cache
    def home() -> Home:
        from dreamzoom.rpc.files.home import Home, default_home

        return Home(jobs or default_home())

    return home


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

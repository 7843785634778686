"""A worker: a process that runs steps of jobs, one at a time, and says what happens in messages.

    python -m dreamzoom.cluster.worker

Messages are JSON objects, one per line. From the pool an order or {"cancel": T}; to the pool {"ticket": T, "event": E}
with progress, log, preview, and at the end done, cancelled or failed. The worker ends when its input ends. An order is

    {"ticket": T, "job": FOLDER, "run": STEP, ...}             a step of the job in a folder
    {"ticket": T, "job": FOLDER, "command": ARGUMENTS, ...}    a program, run in a folder
    {"ticket": T, "greet": true}                               nothing: "done" names the machine

and has "files" (SHA-256 by name) if the worker is to work in a folder of its own with these files, which come from
the order's "store" or lie in this machine's cache. Then "done" has "outputs": the same of what was written.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadRequest, Cancelled, DreamzoomError, EngineUnavailable, explained
from core.protocol.messages import CLIENT_VARIABLE
from dreamzoom import parent_watch
from dreamzoom.cluster import cache
from dreamzoom.cluster.store import Store
from dreamzoom.engines import registry
from dreamzoom.engines.base import Engine, SharesModels
from dreamzoom.pipeline.executors import InProcess
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import read_request
from dreamzoom.pipeline.input_copies import kept, with_known_models
from dreamzoom.pipeline.recovery.attempts import attempt, use_less_memory
from dreamzoom.pipeline.steps import Step, build
from dreamzoom.progress import PREVIEW_INTERVAL, PREVIEW_SIDE, Report, reporting_to
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout

Emit = Callable[[dict[str, Any]], None]
"""Receives an event: a dictionary that JSON can store."""

KINDS: tuple[type[DreamzoomError], ...] = (cache.Damaged, EngineUnavailable, DreamzoomError)
"""The errors that keep their kind on the way to the pool; BadRequest does too, with its field."""


KEPT = 2
"""A worker keeps the engines of so many jobs."""


class Worker:
    """Runs steps; keeps the engines of the last jobs, so that loaded models serve the next step."""

    def __init__(self):
        self._jobs: dict[tuple[str, str], tuple[Engine, dict[str, Step]]] = {}
        self._engines: dict[str, Engine] = {}
        self._cancels: dict[int, threading.Event] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def run(self, order: dict[str, Any], emit: Emit) -> None:
        """Run one step or program. All that happens goes to `emit`; the last event is done, cancelled or failed."""
        if "greet" in order:
            emit({"event": "done", "host": socket.gethostname()})
            return
        ticket = int(order["ticket"])
        with self._lock:
            cancel = self._cancels.setdefault(ticket, threading.Event())
        report = _Told(emit, cancel)
        try:
            with reporting_to(report), _opened(order) as folder:
                work = self._program if "command" in order else self._stage
                done, written = work(order, folder, report)
                if "files" in order:
                    done["outputs"] = _sent(order, folder, written)
            emit({"event": "done"} | done)
        except Cancelled:
            emit({"event": "cancelled"})
        except BaseException as error:  # whatever it is, the pool is told; the worker goes on
            emit({"event": "failed", "error": described(error)})
        finally:
            with self._lock:
                self._cancels.pop(ticket, None)

    def cancel(self, ticket: int) -> None:
        """Cancel a step, also one that arrives later."""
        with self._lock:
            self._cancels.setdefault(ticket, threading.Event()).set()

    def close(self) -> None:
        """End the programs that run."""
        with self._lock:
            for child in self._children:
                child.kill()

    def _stage(self, order: dict[str, Any], folder: Folder, report: Report) -> tuple[dict[str, Any], list[str]]:
        """Run a step; returns nothing to tell, and the names of the files that it wrote."""
        step = self._step(folder, order["run"], order.get("paths") or {})
        if order.get("less_memory"):
            report.log(f"{step.name} runs with {use_less_memory(step.engine, report)}")
        attempt(lambda: InProcess().execute(step, folder, report), step.name, step.engine, report, lambda error: None)
        return {}, [file.name for file in step.files]

    def _program(self, order: dict[str, Any], folder: Folder, report: Report) -> tuple[dict[str, Any], list[str]]:
        """Run a program to its end; returns its exit code and its last words, and the files that it wrote."""
        arguments, written = order["command"], order.get("writes", ())
        if "files" in order:
            arguments = order["command_apart"]
        folder.create()
        with tempfile.TemporaryFile() as output:
            child = self._started(arguments, folder.root, output)
            try:
                while child.poll() is None:
                    report.check()
                    time.sleep(0.05)
            finally:
                child.kill()
                child.wait()
                with self._lock:
                    self._children.remove(child)
            output.seek(max(0, output.tell() - 4000))
            tail = output.read().decode(errors="replace")
        return {"code": child.returncode, "tail": tail}, [name for name in written if folder.exists(name)]

    def _started(self, arguments: list[str], place: Path, output: Any) -> subprocess.Popen[bytes]:
        # another Python must not find this one's packages
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        none, both = subprocess.DEVNULL, subprocess.STDOUT
        try:
            child = subprocess.Popen(arguments, cwd=place, env=variables, stdin=none, stdout=output, stderr=both)
        except OSError as error:
            raise DreamzoomError(
                f"{arguments[0]} can't be started on {socket.gethostname()}: {error.strerror}",
                "install it there, at the same place as on the other machines",
            ) from None
        with self._lock:
            self._children.append(child)
        return child

    def _step(self, folder: Folder, name: str, paths: dict[str, str]) -> Step:
        """The step of this name of the job in a folder that was prepared for its request; `paths` are those of its
        models and LoRAs, by field.
        """
        request = read_request(folder)
        request_bytes = folder.read(layout.REQUEST)
        index = folder.read(layout.INPUT_INDEX) if folder.exists(layout.INPUT_INDEX) else b""
        engine = self._engine(with_known_models(request, paths), hashlib.sha256(request_bytes).hexdigest())
        key = str(folder.root), hashlib.sha256(request_bytes + index).hexdigest()
        made_for, steps = self._jobs.pop(key, (None, {}))
        if made_for is not engine:
            steps = {step.name: step for step in build(request, engine, kept(folder, request))}
        _add_newest(self._jobs, key, (engine, steps))
        return steps[name]

    def _engine(self, request: Request, digest: str) -> Engine:
        """The engine of a request, kept by the request's digest: in scratch folders the paths change. Models that are
        loaded serve the next job too, and are never loaded for two at once.
        """
        engine = self._engines.pop(digest, None) or registry.make(request)
        if isinstance(engine, SharesModels):
            for other in self._engines.values():
                engine.take_models(other)
        _add_newest(self._engines, digest, engine)
        return engine


@contextlib.contextmanager
def _opened(order: dict[str, Any]) -> Iterator[Folder]:
    """The folder to work in: as it is, or one with copies of what is read."""
    if "files" not in order:
        yield Folder(Path(order["job"]))
        return
    store = Store(order["store"]) if order.get("store") else None

    def fetch(digest: str, path: Path) -> None:
        if store is None:
            raise cache.Damaged("a file that was sent is no longer there", "resume the job: it is sent again")
        store.get(digest, path)

    with cache.scratch_folder(order["files"], fetch) as folder:
        yield folder


def _sent(order: dict[str, Any], folder: Folder, names: list[str]) -> dict[str, str]:
    """Keep what was written in this machine's cache, and put it into the store if there is one; returns the SHA-256 of
    each file, by name.
    """
    store = Store(order["store"]) if order.get("store") else None
    found = {}
    for name in names:
        path = folder.path(name)
        found[name] = store.put(path) if store else cache.digest_of(path)
        cache.fetched(found[name], lambda copy, path=path: shutil.copyfile(path, copy))
    return found


def _add_newest(kept_ones: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a value behind the others, and drop the oldest ones."""
    kept_ones[key] = value
    while len(kept_ones) > KEPT:
        kept_ones.pop(next(iter(kept_ones)))


class _Told(Report):
    """Turns a step's reports into events."""

    def __init__(self, emit: Emit, cancel: threading.Event):
        self._emit, self._cancel, self._shown = emit, cancel, 0.0

    def progress(self, fraction: float, message: str = "") -> None:
        self.check()
        self._emit({"event": "progress", "fraction": float(fraction), "message": message})

    def check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def log(self, message: str, *, level: str = "info") -> None:
        self._emit({"event": "log", "message": message, "level": level})

    def preview(self, rgb: np.ndarray) -> None:
        now = time.monotonic()
        if now - self._shown < PREVIEW_INTERVAL:
            return
        self._shown = now
        stride = -(-max(rgb.shape[:2]) // PREVIEW_SIDE)
        small = (rgb[::stride, ::stride].clip(0, 1) * 255 + 0.5).astype(np.uint8)
        data = base64.b64encode(small.tobytes()).decode()
        self._emit({"event": "preview", "shape": list(small.shape), "data": data})


def picture_of(event: dict[str, Any]) -> np.ndarray:
    """The picture (H, W, 3) float32 of a preview event. Raises ValueError for a shape that does not fit its data."""
    data = np.frombuffer(base64.b64decode(event["data"]), np.uint8)
    return data.reshape(event["shape"]).astype(np.float32) / np.float32(255)


def described(error: BaseException) -> dict[str, str]:
    """An error in words that a message can carry; `raised` is the inverse."""
    message, remedy = explained(error)
    if isinstance(error, BadRequest):
        return {"kind": "BadRequest", "field": error.field, "message": message.removeprefix(f"{error.field}: ")}
    kind = next((one.__name__ for one in KINDS if isinstance(error, one)), "DreamzoomError")
    return {"kind": kind, "message": message, "remedy": remedy}


def raised(words: dict[str, str]) -> DreamzoomError:
    """The error that a message describes."""
    if words.get("kind") == "BadRequest":
        return BadRequest(words.get("field", "request"), words["message"])
    kind = next((one for one in KINDS if one.__name__ == words.get("kind")), DreamzoomError)
    return kind(words["message"], words.get("remedy", ""))


def main() -> None:
    """Serve standard input until it ends, or the pool's process does."""
    os.environ.pop(CLIENT_VARIABLE, None)  # that of the pool's own client
    signal.signal(signal.SIGTERM, lambda *_: parent_watch.leave())
    parent_watch.start()
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what other code prints is no message
    lock = threading.Lock()
    worker = Worker()

    def emit_for(ticket: int) -> Emit:
        def emit(event: dict[str, Any]) -> None:
            with lock, contextlib.suppress(BrokenPipeError):
                target.write(json.dumps({"ticket": ticket} | event).encode() + b"\n")
                target.flush()

        return emit

    emit_for(0)({"event": "ready", "slots": 1})
    for line in source:
        order = json.loads(line)
        if "cancel" in order:
            worker.cancel(int(order["cancel"]))
        else:
            threading.Thread(target=worker.run, args=(order, emit_for(int(order["ticket"]))), daemon=True).start()
    worker.close()
    os._exit(0)


if __name__ == "__main__":
    main()

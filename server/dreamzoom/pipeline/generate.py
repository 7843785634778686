"""A whole job in a folder: its request, its engine, its steps; and the results of a finished one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from core.errors import DreamzoomError
from core.protocol import result
from core.protocol.result import Result
from dreamzoom import compiled, wire
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import Summary, run
from dreamzoom.request import validation
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.digest import digest_of

if TYPE_CHECKING:
    from dreamzoom.pipeline.steps import Step


def generate(
    request: wire.Request, folder: Folder, sink: Sink | None = None, cancel: threading.Event | None = None
) -> Summary:
    """Run a request in a folder, or go on with it. Another request's job there is continued: what fits is kept.

    Raises:
        DreamzoomError: The folder holds something else; `FolderBusy` if another process works there.
        BadRequest, EngineUnavailable, Cancelled: As their names say.
    """
    sink = sink or Sink()
    with begin(request, folder, sink) as steps:
        return run(steps, folder, sink, cancel)


@contextlib.contextmanager
def begin(request: wire.Request, folder: Folder, sink: Sink) -> Iterator[list[Step]]:
    """Hold a folder for a request, and give the steps of its job; raises as `generate`."""
    check_place(folder)
    with folder.lock():
        _write_request(folder, request)
        from dreamzoom.engines import registry
        from dreamzoom.pipeline.input_copies import keep
        from dreamzoom.pipeline.steps import build

        if compiled.is_first_start():
            told = "the first job after installation takes a minute longer: code is compiled for this machine"
            sink.log(told, "info")
        inputs = keep(folder, request, lambda message: sink.log(message, "warning"))
        yield build(request, registry.make(request), inputs)


def read_request(folder: Folder) -> wire.Request:
    """The request of a job folder.

    Raises:
        DreamzoomError: No job is there.
        BadRequest: Its request was damaged.
    """
    if not folder.is_job():
        raise DreamzoomError(
            f"{folder.root} holds no job", "name a folder that `dreamzoom generate` was told with --out"
        )
    return validation.decode_request(folder.read(layout.REQUEST))


def read_result(folder: Folder) -> Result:
    """The content of a finished job's result.json.

    Raises:
        DreamzoomError: No finished job is there, or its result was damaged.
    """
    remedy = f'run "dreamzoom resume" on {folder.root}'
    try:
        found = result.read(folder.root)
    except FileNotFoundError:
        raise DreamzoomError(f"{folder.root} holds no finished job", remedy) from None
    except ValueError:
        found = None
    if found is None or len(found["levels"]) != len(read_request(folder).levels):
        raise DreamzoomError(f"{folder.path(result.NAME)} is damaged", remedy)
    return found


def check_place(folder: Folder) -> None:
    """Refuse a folder that holds something else than a job. Raises DreamzoomError."""
    remedy = "choose a new or empty folder, or that of an earlier job"
    if folder.root.exists() and not folder.root.is_dir():
        raise DreamzoomError(f"{folder.root} is a file, not a folder", remedy)
    if not folder.is_job() and not folder.is_free():
        raise DreamzoomError(f"{folder.root} holds other files and no job", remedy)


def _write_request(folder: Folder, request: wire.Request) -> None:
    """Write the request; a result of another one goes first, so that the two never contradict each other."""
    data = validation.encode_request(request)
    if folder.is_job() and folder.read(layout.REQUEST) == data:
        return
    try:
        stale = folder.read_json(layout.RESULT.path())["request_digest"] != digest_of(msgspec.to_builtins(request))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        stale = True
    if stale:
        folder.remove(layout.RESULT.path())
    folder.write(layout.REQUEST, data)

"""Run a whole job in a folder, and read the results of a finished one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from core.errors import DreamzoomError
from core.protocol import prompt_weights, result
from core.protocol.result import Result
from dreamzoom import numba_cache
from dreamzoom.pipeline.eta import StepTimer
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import Summary, run
from dreamzoom.pipeline.versions import keep_result
from dreamzoom.request import schema, validation
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.digest import digest_of

if TYPE_CHECKING:
    from dreamzoom.pipeline.executors import Executor
    from dreamzoom.pipeline.steps import Step


def generate(
    request: schema.Request,
    folder: Folder,
    sink: Sink | None = None,
    cancel: threading.Event | None = None,
    *,
    executor: Executor | None = None,
) -> Summary:
    """Start or resume a request in a folder. If the folder contains a job of another request, its steps with the same
    digest are reused.

    Raises:
        DreamzoomError: The folder contains other files; `FolderBusy` if another process uses it.
        BadRequest: The request or one of its files is not valid.
        EngineUnavailable: The request's engine can't run on this machine.
        Cancelled: `cancel` was set.
    """
    sink = sink or Sink()
    with begin(request, folder, sink) as steps:
        if executor is not None:  # other machines, whose times say nothing of this one
            return run(steps, folder, sink, cancel, executor=executor)
        compiles = numba_cache.is_first_start()
        timer = StepTimer(request)
        summary = run(steps, folder, sink, cancel, measured=timer.measured(steps))
        if not compiles:
            timer.add(summary.step_seconds, steps)
        return summary


@contextlib.contextmanager
def begin(request: schema.Request, folder: Folder, sink: Sink) -> Iterator[list[Step]]:
    """Lock a folder for a request, write the request, and return the steps of its job. Raises the same errors as
    `generate`.
    """
    check_place(folder)
    with folder.lock():
        from dreamzoom.engines import registry
        from dreamzoom.pipeline.input_copies import keep
        from dreamzoom.pipeline.steps import build

        engine = registry.make(request)  # an engine that can't run leaves the folder as it is
        _write_request(folder, request)
        for note in prompt_weights.notes([level.prompt for level in request.levels]):
            sink.log(note, "warning")
        inputs = keep(folder, request, lambda message: sink.log(message, "warning"))
        steps = build(request, engine, inputs)
        if numba_cache.is_first_start():
            told = "the first job after installation takes a minute longer, because code is compiled for this machine"
            sink.log(told, "info")
        yield steps


def read_request(folder: Folder) -> schema.Request:
    """Read the request of a job folder.

    Raises:
        DreamzoomError: The folder contains no job.
        BadRequest: The request file is damaged.
    """
    if not folder.is_job():
        raise DreamzoomError(
            f"{folder.root} contains no job", "choose a folder that was passed to `dreamzoom generate` as --out"
        )
    return validation.decode_request(folder.read(layout.REQUEST))


def read_result(folder: Folder) -> Result:
    """The content of a finished job's result.json.

    Raises:
        DreamzoomError: The folder contains no finished job, or its result is damaged.
    """
    remedy = f'run "dreamzoom resume" on {folder.root}'
    try:
        found = result.read(folder.root)
    except FileNotFoundError:
        earlier = result.newest(folder.root)
        if earlier != folder.root:
            remedy += f"; its earlier result is {earlier}"
        raise DreamzoomError(f"{folder.root} holds no finished job", remedy) from None
    except ValueError:
        found = None
    if found is None or len(found["levels"]) != len(read_request(folder).levels):
        raise DreamzoomError(f"{folder.path(result.NAME)} is damaged", remedy)
    return found


def check_place(folder: Folder) -> None:
    """Raise DreamzoomError if the folder contains files that do not belong to a job."""
    remedy = "choose a new or empty folder, or the folder of an earlier job"
    if folder.root.exists() and not folder.root.is_dir():
        raise DreamzoomError(f"{folder.root} is a file, not a folder", remedy)
    if not folder.is_job() and not folder.is_free():
        raise DreamzoomError(f"{folder.root} contains other files and no job", remedy)


def _write_request(folder: Folder, request: schema.Request) -> None:
    """Write the request. The result of another request becomes a version first, so that result and request always agree
    and a job that fails takes nothing away.
    """
    data = validation.encode_request(request)
    if folder.is_job() and folder.read(layout.REQUEST) == data:
        return
    try:
        stale = folder.read_json(layout.RESULT.path())["request_digest"] != digest_of(msgspec.to_builtins(request))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        stale = True
    if stale:
        keep_result(folder)
        folder.remove(layout.RESULT.path())
    folder.write(layout.REQUEST, data)

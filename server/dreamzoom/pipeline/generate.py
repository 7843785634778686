"""Run a whole job in a folder, and read the results of a finished one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import DamagedJob, DreamzoomError
from core.protocol import prompt_weights, result
from core.protocol.result import Result
from dreamzoom import numba_cache
from dreamzoom.pipeline.eta import StepTimer
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.executors import Executor, InProcess
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.integrity import origins
from dreamzoom.pipeline.integrity.request_file import read_request, write_request
from dreamzoom.pipeline.recovery.disk_space import Room
from dreamzoom.pipeline.runner import Summary, run
from dreamzoom.progress import Cancellation, reporting_to
from dreamzoom.request import schema

if TYPE_CHECKING:
    from dreamzoom.pipeline.steps import Step

__all__ = ["begin", "check_place", "generate", "read_request", "read_result"]


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
    sink, cancel = sink or Sink(), cancel or threading.Event()
    with reporting_to(Cancellation(cancel)), begin(request, folder, sink) as steps:
        room = Room(folder, request)
        room.check(steps)
        if not isinstance(executor, InProcess | None):  # other machines, whose times say nothing of this one
            return run(steps, folder, sink, cancel, executor=executor, room=room)
        compiles = numba_cache.is_first_start()
        timer = StepTimer(request)
        summary = run(steps, folder, sink, cancel, executor=executor, room=room, measured=timer.measured(steps))
        if not compiles:
            timer.add(summary.step_seconds, steps)
        return summary


@contextlib.contextmanager
def begin(request: schema.Request, folder: Folder, sink: Sink) -> Iterator[list[Step]]:
    """Lock a folder for a request, write the request, and return the steps of its job. Raises the same errors as
    `generate`.
    """
    from dreamzoom.engines import registry
    from dreamzoom.pipeline import input_copies
    from dreamzoom.pipeline.steps import build

    check_place(folder)
    sources = input_copies.find(folder, request, lambda message: sink.log(message, "warning"))
    located = input_copies.with_known_models(request, input_copies.known_paths(folder))
    own = input_copies.portable(request, sources)
    # what can't run is refused here, and leaves the folder as it is
    steps = build(own, registry.make(located), input_copies.planned(folder, sources))
    with folder.lock():
        input_copies.copy(folder, sources)
        digest = write_request(folder, own)
        input_copies.discard(folder)
        origins.save(digest, input_copies.outside_paths(located, sources))
        for note in prompt_weights.notes([level.prompt for level in request.levels]):
            sink.log(note, "warning")
        if numba_cache.is_first_start():
            told = "the first job after installation takes a minute longer, because code is compiled for this machine"
            sink.log(told, "info")
        yield steps


def read_result(folder: Folder) -> Result:
    """The content of a finished job's result.json.

    Raises:
        DreamzoomError: The folder contains no finished job, or its result or request is damaged, or of a newer version.
    """
    remedy = f'run "dreamzoom resume" on {folder.root}'
    path = folder.root / result.NAME
    try:
        found = result.read(folder.root)
    except FileNotFoundError:
        earlier = result.newest(folder.root)
        if earlier != folder.root:
            remedy += f"; its earlier result is {earlier}"
        raise DreamzoomError(f"{folder.root} holds no finished job: it has no {result.NAME}", remedy) from None
    except result.NewerResult:
        raise
    except ValueError as error:
        raise DamagedJob(f"{path} is damaged: {error}", remedy, (result.NAME,)) from None
    if len(found["levels"]) != len(read_request(folder).levels):
        raise DamagedJob(f"{path} is damaged: it has another number of levels than the request", remedy, (result.NAME,))
    return found


def check_place(folder: Folder) -> None:
    """Raise DreamzoomError if the folder contains files that do not belong to a job."""
    remedy = "choose a new or empty folder, or the folder of an earlier job"
    if folder.root.exists() and not folder.root.is_dir():
        raise DreamzoomError(f"{folder.root} is a file, not a folder", remedy)
    if not folder.is_job() and not folder.is_free():
        raise DreamzoomError(f"{folder.root} contains other files and no job", remedy)

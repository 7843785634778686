"""Run a single step of a job by name, in a separate process or on another machine that shares the job's folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from core.errors import BadRequest, DreamzoomError
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import begin, read_request
from dreamzoom.pipeline.records import is_done
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import Step
from dreamzoom.request.schema import Request


def prepare(request: Request, folder: Folder, sink: Sink | None = None) -> list[str]:
    """Create a job without running it. Returns the names of its steps, in an order in which they can run.

    Raises:
        DreamzoomError, BadRequest, EngineUnavailable: As in `generate.generate`.
    """
    with begin(request, folder, sink or Sink()) as steps:
        return [step.name for step in steps]


def run_step(
    folder: Folder,
    name: str,
    sink: Sink | None = None,
    cancel: threading.Event | None = None,
    *,
    force: bool = False,
) -> bool:
    """Run one step of an existing job. The steps whose files it reads must be done.

    Args:
        folder: The job's folder.
        name: The step's name, for example "levels/002/dream".
        sink, cancel: As in `generate.generate`.
        force: Whether the step runs even if it is already done.

    Returns:
        Whether the step ran; False if it was already done.

    Raises:
        BadRequest: The job has no such step.
        DreamzoomError: The folder contains no job, or a step that must run first is not done.
        EngineUnavailable: The job's engine can't run on this machine.
        Cancelled: `cancel` was set.
    """
    sink = sink or Sink()
    with begin(read_request(folder), folder, sink) as steps:
        step = _named(steps, name)
        if not force and is_done(folder, step):
            return False
        for other in steps:
            if other.name in step.needs and not is_done(folder, other):
                raise DreamzoomError(
                    f"{name} needs the results of {other.name}, which is not done", f"run {other.name} first"
                )
        run([step], folder, sink, cancel, again=force)
    return True


def _named(steps: Sequence[Step], name: str) -> Step:
    for step in steps:
        if step.name == name:
            return step
    raise BadRequest("step", f"must be one of {', '.join(_abbreviated(steps))}; got {name[:100]!r}")


def _abbreviated(steps: Sequence[Step]) -> list[str]:
    """The names of the steps, abbreviated by joining the levels: "levels/000…005/dream"."""
    levels: dict[str, list[int]] = {}
    for step in steps:
        if step.level is not None:
            levels.setdefault(step.stage.name, []).append(step.level)
    together = [
        f"levels/{min(found):03d}…{max(found):03d}/{name}" if len(found) > 1 else f"levels/{found[0]:03d}/{name}"
        for name, found in levels.items()
    ]
    own = [step.name for step in steps if step.level is None]
    return own[:1] + together + own[1:]

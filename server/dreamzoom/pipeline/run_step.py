"""One step of a job, by name, in a process of its own: how a job is divided over machines that share its folder."""

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
from dreamzoom.wire import Request


def prepare(request: Request, folder: Folder, sink: Sink | None = None) -> list[str]:
    """Begin a job without running anything; returns the names of its steps, in an order in which they can run.

    Raises:
        DreamzoomError, BadRequest, EngineUnavailable: As `generate.generate`.
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
    """Run one step of a job that was begun; others have to be done before it.

    Args:
        folder: The job's.
        name: The step's, "levels/002/dream".
        sink, cancel: As for a whole job.
        force: Whether it runs even if it is done.

    Returns:
        Whether it ran: False if it was done already.

    Raises:
        BadRequest: The job has no such step.
        DreamzoomError: No job is there, or a step that must run first is not done.
        EngineUnavailable, Cancelled: As their names say.
    """
    sink = sink or Sink()
    with begin(read_request(folder), folder, sink) as steps:
        step = _named(steps, name)
        if not force and is_done(folder, step):
            return False
        for other in steps:
            if other.name in step.needs and not is_done(folder, other):
                raise DreamzoomError(
                    f"{name} reads what {other.name} writes, and that is not done", f"run {other.name} first"
                )
        run([step], folder, sink, cancel, again=force)
    return True


def _named(steps: Sequence[Step], name: str) -> Step:
    for step in steps:
        if step.name == name:
            return step
    raise BadRequest("step", f"must be one of {', '.join(_shown(steps))}; got {name[:100]!r}")


def _shown(steps: Sequence[Step]) -> list[str]:
    """The names of the steps, those of all levels together: "levels/000…005/dream"."""
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

"""Several jobs on one executor, with fair shares: `dreamzoom batch LIST`.

LIST is a text file with a request's path on each line, or a JSON array of objects {"request": FILE, "out": FOLDER,
"priority": N}, where `out` and `priority` may be missing. Paths are relative to the list. Jobs of a higher priority get
every free slot first; jobs of the same one share the slots evenly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRequest, Cancelled, DreamzoomError, explained
from core.safety import bounded_json, limits
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.executors import Executor
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.request import validation
from dreamzoom.request.inputs import located

MOST_JOBS = 10_000


@dataclass
class Job:
    """One line of the list, and how far its job is.

    Attributes:
        request: The request's file.
        out: The job's folder.
        priority: A larger number goes first.
        state: "waiting", "running", "done", "failed" or "cancelled".
        fraction: 0 to 1.
        stage: What is being done, or why it failed.
    """

    request: Path
    out: Path
    priority: int = 0
    state: str = "waiting"
    fraction: float = 0.0
    stage: str = ""


def read_list(path: Path, out: Path) -> list[Job]:
    """The jobs of a list.

    Args:
        path: The list.
        out: The folder for jobs whose folder is not named: each gets one with its request's name in it.

    Raises:
        BadRequest: The list can't be read or is not valid; two jobs have the same folder.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.REQUEST_BYTES + 1)
    except OSError as error:
        raise BadRequest("list", f"must be a file that can be read: {path}: {error.strerror}") from None
    text = data.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("["):
        entries = bounded_json.decode_json(data, path.name, limits.REQUEST_BYTES)
    else:
        lines = (line.strip() for line in text.splitlines())
        entries = [{"request": line} for line in lines if line and not line.startswith("#")]
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_JOBS:
        raise BadRequest("list", f"must name 1 to {MOST_JOBS} requests")
    jobs = [_job(entry, number, path.parent, out) for number, entry in enumerate(entries)]
    for number, job in enumerate(jobs):
        if any(job.out == other.out for other in jobs[:number]):
            raise BadRequest(f"list[{number}].out", f"must be a folder of its own; {job.out} is used twice")
    return jobs


def _job(entry: Any, number: int, base: Path, out: Path) -> Job:
    place = f"list[{number}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("request"), str):
        raise BadRequest(f"{place}.request", "is required and must be the path of a request")
    unknown = entry.keys() - {"request", "out", "priority"}
    if unknown:
        raise BadRequest(f"{place}.{min(unknown)[:60]}", "is no field of a list; remove it")
    priority = entry.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise BadRequest(f"{place}.priority", "must be a whole number")
    request = base / entry["request"]
    if "out" in entry and not isinstance(entry["out"], str):
        raise BadRequest(f"{place}.out", "must be the path of a folder")
    folder = base / entry["out"] if "out" in entry else out / request.stem
    return Job(request.absolute(), folder.absolute(), priority)


def run_batch(
    jobs: Sequence[Job],
    executor: Executor,
    at_once: int,
    cancel: threading.Event,
    changed: Callable[[], None],
) -> None:
    """Run all jobs, several at once. A job that fails does not stop the others; `Job.state` tells.

    Args:
        jobs: The jobs; their fields are updated.
        executor: Runs the steps of all.
        at_once: How many jobs run at the same time.
        cancel: Set it to cancel all.
        changed: Called after each change of a job.
    """
    waiting = sorted(range(len(jobs)), key=lambda number: (-jobs[number].priority, number))
    lock = threading.Lock()

    def work() -> None:
        while not cancel.is_set():
            with lock:
                if not waiting:
                    return
                job = jobs[waiting.pop(0)]
            executor.prioritise(Folder(job.out), job.priority)
            _run_one(job, executor, cancel, changed)

    threads = [threading.Thread(target=work, name="job") for _ in range(min(at_once, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        if job.state == "waiting":
            job.state = "cancelled"
    changed()


def _run_one(job: Job, executor: Executor, cancel: threading.Event, changed: Callable[[], None]) -> None:
    job.state = "running"
    changed()
    try:
        try:
            with job.request.open("rb") as file:
                data = file.read(validation.MAX_REQUEST_BYTES + 1)
        except OSError as error:
            raise BadRequest("request", f"must be a file that can be read: {error.strerror}") from None
        request = located(validation.decode_request(data), job.request.parent)
        generate(request, Folder(job.out), _JobSink(job, changed), cancel, executor=executor)
        job.state, job.fraction, job.stage = "done", 1.0, ""
    except Cancelled:
        job.state, job.stage = "cancelled", ""
    except (DreamzoomError, OSError, MemoryError, ValueError) as error:
        message, remedy = explained(error)
        job.state, job.stage = "failed", f"{message}. {remedy}" if remedy else message
    changed()


class _JobSink(Sink):
    def __init__(self, job: Job, changed: Callable[[], None]):
        self._job, self._changed = job, changed

    def progress(self, progress: Progress) -> None:
        level = "" if progress.level is None else f", level {progress.level}"
        self._job.fraction, self._job.stage = progress.fraction, f"{progress.stage}{level}"
        self._changed()


def summary(jobs: Sequence[Job]) -> list[str]:
    """The jobs as lines of a table, with a line of totals."""
    width = min(max(len(job.out.name) for job in jobs), 40)
    lines = [
        f"{job.out.name[:width]:<{width}}  {job.state:<9}  {100 * job.fraction:3.0f} %  {job.stage}" for job in jobs
    ]
    counts = {state: sum(job.state == state for job in jobs) for state in ("done", "running", "waiting", "failed")}
    return [*lines, ", ".join(f"{count} {state}" for state, count in counts.items())]


def as_rows(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The jobs as values for JSON."""
    return [asdict(job) | {"request": str(job.request), "out": str(job.out)} for job in jobs]

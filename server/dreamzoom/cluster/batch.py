"""Several jobs on one executor, with fair shares: `dreamzoom batch LIST`.

LIST is a text file with a request's path on each line; a table (CSV) whose first line names its columns, `request` and
perhaps `out` and `priority`; or a JSON array of objects with these fields. Paths are relative to the list. Jobs of a
higher priority get every free slot first; jobs of the same one share the slots evenly.
"""

from __future__ import annotations

import csv
import re
import threading
from collections import Counter
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
FIELDS = ("request", "out", "priority")
STATES = ("running", "failed", "waiting", "done", "cancelled")
"""In the order in which jobs are shown where there is no room for all."""


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
    if len(data) > limits.REQUEST_BYTES:
        raise BadRequest("list", f"must be smaller than {limits.REQUEST_BYTES >> 20} MB")
    text = data.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("["):
        entries = bounded_json.decode_json(text.encode(), path.name, limits.REQUEST_BYTES)
    else:
        entries = _entries(text)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_JOBS:
        raise BadRequest("list", f"must name 1 to {MOST_JOBS} requests")
    jobs, taken = [], {}
    for number, entry in enumerate(entries):
        job = _job(entry, number, path.parent, out)
        if job.out in taken:
            told = f"is the folder of list[{taken[job.out]}] too: {job.out}; name another one in the field out"
            raise BadRequest(f"list[{number}].out", told)
        taken[job.out] = number
        jobs.append(job)
    return jobs


def _entries(text: str) -> list[dict[str, Any]]:
    """The entries of a table, or of a list of paths."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    separator = next((one for one in ",;\t" if lines and one in lines[0]), ",")
    names = [name.strip().lower() for name in lines[0].split(separator)] if lines else []
    if "request" not in names:
        return [{"request": line} for line in lines]
    found = []
    for row in csv.reader(lines[1:], delimiter=separator):
        entry: dict[str, Any] = {name: cell.strip() for name, cell in zip(names, row) if cell.strip()}
        if re.fullmatch(r"[+-]?\d{1,9}", entry.get("priority", "")):
            entry["priority"] = int(entry["priority"])
        if len(row) > len(names):
            entry["column " + str(len(names) + 1)] = row[len(names)]
        found.append(entry)
    return found


def _job(entry: Any, number: int, base: Path, out: Path) -> Job:
    place = f"list[{number}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("request"), str):
        raise BadRequest(f"{place}.request", "is required and must be the path of a request")
    unknown = entry.keys() - set(FIELDS)
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
    log: Callable[[Job, str], None] = lambda job, message: None,
) -> None:
    """Run all jobs, several at once. A job that fails does not stop the others; `Job.state` tells.

    Args:
        jobs: The jobs; their fields are updated.
        executor: Runs the steps of all.
        at_once: How many jobs run at the same time.
        cancel: Set it to cancel all.
        changed: Called after each change of a job.
        log: Receives the warnings of a job.
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
            job.state = "running"
            changed()
            _run_one(job, executor, cancel, _JobSink(job, changed, log))
            changed()

    threads = [threading.Thread(target=work, name="job") for _ in range(min(at_once, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        if job.state == "waiting":
            job.state = "cancelled"
    changed()


def _run_one(job: Job, executor: Executor, cancel: threading.Event, sink: Sink) -> None:
    try:
        try:
            with job.request.open("rb") as file:
                data = file.read(validation.MAX_REQUEST_BYTES + 1)
        except OSError as error:
            raise BadRequest("request", f"must be a file that can be read: {error.strerror}") from None
        request = located(validation.decode_request(data), job.request.parent)
        generate(request, Folder(job.out), sink, cancel, executor=executor)
        job.state, job.fraction, job.stage = "done", 1.0, ""
    except Cancelled:
        job.state, job.stage = "cancelled", ""
    except (DreamzoomError, OSError, MemoryError, ValueError) as error:
        message, remedy = explained(error)
        job.state, job.stage = "failed", f"{message}. {remedy}" if remedy else message


class _JobSink(Sink):
    def __init__(self, job: Job, changed: Callable[[], None], log: Callable[[Job, str], None]):
        self._job, self._changed, self._log = job, changed, log

    def progress(self, progress: Progress) -> None:
        level = "" if progress.level is None else f", level {progress.level}"
        self._job.fraction, self._job.stage = progress.fraction, f"{progress.stage}{level}"
        self._changed()

    def log(self, message: str, level: str) -> None:
        if level != "info":
            self._log(self._job, message)


def summary(jobs: Sequence[Job], most: int = MOST_JOBS) -> list[str]:
    """The jobs as lines of a table, with a line of totals. If there are more than `most`, those that run come first,
    then those that failed.
    """
    shown = jobs
    if len(jobs) > most:
        shown = sorted(jobs, key=lambda job: STATES.index(job.state))[:most]
    width = min(max((len(job.out.name) for job in shown), default=0), 40)
    lines = [
        f"{job.out.name[:width]:<{width}}  {job.state:<9}  {100 * job.fraction:3.0f} %  {job.stage}" for job in shown
    ]
    counts = Counter(job.state for job in jobs)
    told = ", ".join(f"{counts[state]} {state}" for state in ("done", "running", "waiting", "failed"))
    return [*lines, told + (f", {counts['cancelled']} cancelled" if counts["cancelled"] else "")]


def as_rows(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The jobs as values for JSON."""
    return [asdict(job) | {"request": str(job.request), "out": str(job.out)} for job in jobs]

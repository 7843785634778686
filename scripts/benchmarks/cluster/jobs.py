"""The jobs that are run on a cluster, and what is compared of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.executors import Executor
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.request.example import example
from dreamzoom.request.schema import Request
from dreamzoom.request.validation import convert_request


def request_of(levels: int, size: tuple[int, int]) -> Request:
    """The example's flight at the demo's factor."""
    return convert_request(example(levels, size, 2.5) | {"quality": "draft"})


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of all files of a job but journal and records, which tell of time."""
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return {name: (root / name).read_bytes() for name in names if not name.startswith(("stages/", "journal", ".lock"))}


def disturbed(request: Request, folder: Folder, executor: Executor, action: Callable[[], object]) -> At:
    """Generate, and do something when the first splats are fitted, in the calling thread as Ray's nodes need it.

    Returns:
        What the job told. Raises what generating raises.
    """
    begun = threading.Event()
    sink = At("splat", begun.set)
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(generate, request, folder, sink, executor=executor)
        while not begun.wait(0.05):
            if job.done():
                break
        action()
        job.result()
    return sink


class At(Sink):
    """Does something once, when a stage begins.

    Attributes:
        when: When that was (`time.monotonic`); 0 before.
        logged: The log.
    """

    def __init__(self, stage: str, action: Callable[[], object]):
        self.stage, self.action, self.when = stage, action, 0.0
        self.logged: list[str] = []

    def progress(self, progress: Progress) -> None:
        """Look for the stage."""
        if not self.when and progress.stage == self.stage and progress.message != "done":
            self.when = time.monotonic()
            self.action()

    def log(self, message: str, level: str) -> None:
        """Keep it."""
        self.logged.append(message)

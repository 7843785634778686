"""The jobs that are run on a cluster, and what is compared of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dreamzoom.pipeline.events import Progress, Sink
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


class At(Sink):
    """Does something once, when a stage begins.

    Attributes:
        when: When that was (`time.monotonic`); 0 before.
    """

    def __init__(self, stage: str, action: Callable[[], object]):
        self.stage, self.action, self.when = stage, action, 0.0

    def progress(self, progress: Progress) -> None:
        """Look for the stage."""
        if not self.when and progress.stage == self.stage and progress.message != "done":
            self.when = time.monotonic()
            self.action()

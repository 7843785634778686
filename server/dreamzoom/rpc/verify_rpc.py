"""The method `verify`: checks a job's files, and repairs them if asked to."""

from __future__ import annotations

import threading
import time
from typing import Any

from core.errors import BadRequest, Cancelled
from dreamzoom.pipeline.events import Progress, Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import as_json, verify

STAGE = "export"
"""The stage in whose name progress is told while files are read."""


def verified(folder: Folder, with_repair: Any, sink: Sink, cancel: threading.Event) -> dict[str, Any]:
    """The result of the method.

    Args:
        folder: The job's folder.
        with_repair: Whether to make again what is damaged; None for no.
        sink: Receives progress and log lines.
        cancel: Set to cancel it.

    Raises:
        BadRequest: A parameter is wrong.
        DreamzoomError: As `verify` and `repair`.
    """
    if with_repair is not None and not isinstance(with_repair, bool):
        raise BadRequest("repair", "must be true or false")
    began = time.monotonic()

    def progress(fraction: float, name: str) -> None:
        if cancel.is_set():
            raise Cancelled
        sink.progress(Progress(STAGE, None, min(fraction, 1.0), None, f"checking {name}"))

    if with_repair:
        done = repair(folder, sink, cancel)
        found, damaged = done.after, as_json(done.before)["damaged"]
    else:
        found = verify(folder, progress)
        damaged = as_json(found)["damaged"]
    told = as_json(found) | {"damaged": damaged[:1000]}
    return {"out": str(folder.root), **told, "seconds": time.monotonic() - began}

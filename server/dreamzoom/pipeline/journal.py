"""The journal: an append-only file with one JSON line per event of a job."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from typing import Any

from dreamzoom.pipeline.folder import Folder
from dreamzoom.stages.base import layout


class Journal:
    """Appends to a job's journal. The caller holds the folder's lock."""

    def __init__(self, folder: Folder):
        self._lock = threading.Lock()
        path = folder.path(layout.JOURNAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        if path.stat().st_size and not folder.read(layout.JOURNAL).endswith(b"\n"):
            self._file.write(b"\n")  # a line truncated by a crash stays on its own line, which `read` skips

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; it is on disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"ts": now, "event": event} | fields, ensure_ascii=False)
        with self._lock:
            self._file.write(line.encode() + b"\n")
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(folder: Folder) -> list[dict[str, Any]]:
    """All events, oldest first; lines truncated by a crash are skipped."""
    if not folder.exists(layout.JOURNAL):
        return []
    events = []
    for line in folder.read(layout.JOURNAL).splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events

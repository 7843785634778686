"""The journal: an append-only file with one JSON line per event of a job."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from dreamzoom.pipeline.folder import Folder
from dreamzoom.stages.base import layout

_open: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends to a job's journal. The caller holds the folder's lock."""

    def __init__(self, folder: Folder):
        self._lock = threading.Lock()
        self._running: dict[str, str] = {}  # names of the steps that have begun, by digest
        path = folder.path(layout.JOURNAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        _open.add(self)
        if path.stat().st_size and not folder.read(layout.JOURNAL).endswith(b"\n"):
            self._file.write(b"\n")  # a line truncated by a crash stays on its own line, which `read` skips

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; it is on disk when this returns."""
        if "digest" in fields:
            self._running.pop(fields["digest"], None)
            if event == "start":
                self._running[fields["digest"]] = fields["step"]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"ts": now, "event": event} | fields, ensure_ascii=False)
        with self._lock:
            self._file.write(line.encode() + b"\n")
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        _open.discard(self)
        self._file.close()


def note_exit() -> None:
    """Write to all open journals that this process ends on purpose, so that the running steps count as no crash."""
    for journal in list(_open):
        for digest, step in list(journal._running.items()):
            with contextlib.suppress(Exception):  # the process ends in any case
                journal.write("interrupted", step=step, digest=digest)


def crashes(events: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How often in a row each step ended its process: it began, and nothing tells of its end. By the step's digest."""
    found: Counter[str] = Counter()
    begun: set[str] = set()
    for event in events:
        digest = event.get("digest")
        if not isinstance(digest, str):
            continue
        if event.get("event") == "start":
            found[digest] += digest in begun
            begun.add(digest)
        else:
            begun.discard(digest)
            found.pop(digest, None)
    return dict(found + Counter(begun))


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

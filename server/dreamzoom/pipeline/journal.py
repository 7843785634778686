"""The journal: an append-only file with one JSON line per event of a job. Each line carries its own check."""

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

from core.atomic_files import not_written
from core.safety import limits
from core.safety.seal import CHECK, line_fits, sealed_line
from dreamzoom.pipeline.folder import Folder
from dreamzoom.stages.base import layout

_OLD_KEYS = {"ts", "event", "step", "digest", "seconds", "error"}
"""The keys of lines without a check, which older versions wrote."""

_TEXTS = ("ts", "step", "digest", "error")
"""The fields that are texts, where an event has them."""

_ENDS = ("done", "skipped", "forgotten")
"""The events before which those of the same step no longer matter."""

SHORTENED_BYTES = 4 << 20
"""A longer journal is shortened to what matters when it is next written."""

_open: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends to a job's journal. The caller holds the folder's lock. Raises NotWritten where it can't be written."""

    def __init__(self, folder: Folder):
        self._lock = threading.Lock()
        self._running: dict[str, str] = {}  # names of the steps that have begun, by digest
        self._path = folder.root / layout.JOURNAL
        _tidy(folder)
        self._file = folder.append_to(layout.JOURNAL)
        _open.add(self)

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; it is on disk when this returns."""
        if "digest" in fields:
            self._running.pop(fields["digest"], None)
            if event == "start":
                self._running[fields["digest"]] = fields["step"]
        self.write_all([{"event": event} | fields])

    def write_all(self, events: Iterable[dict[str, Any]]) -> None:
        """Append events, which begin and end no step of this process; all are on disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = memoryview(b"".join(sealed_line({"ts": now} | event) for event in events))
        try:
            with self._lock:
                while lines:
                    lines = lines[self._file.write(lines) :]
                os.fsync(self._file.fileno())
        except OSError as error:
            raise not_written(self._path, error, 4096) from error

    def close(self) -> None:
        """Close the file."""
        _open.discard(self)
        self._file.close()


def note(folder: Folder, event: str, **fields: Any) -> None:
    """Append one event to the journal of a job that does not run. The caller holds the folder's lock."""
    note_all(folder, [{"event": event} | fields])


def note_all(folder: Folder, events: Iterable[dict[str, Any]]) -> None:
    """Append events at once to the journal of a job that does not run. The caller holds the folder's lock."""
    with contextlib.closing(Journal(folder)) as journal:
        journal.write_all(events)


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
    """All events, oldest first; damaged lines are left out. Raises RefusedFile for a link, a pipe or the like."""
    return read_checked(folder)[0]


def read_checked(folder: Folder) -> tuple[list[dict[str, Any]], int]:
    """All events, oldest first, and the number of damaged lines, among them one that a crash cut off."""
    try:
        data = folder.read(layout.JOURNAL, limits.JOURNAL_BYTES)
    except FileNotFoundError:
        return [], 0
    return _events(data)


def request_digest(events: list[dict[str, Any]]) -> str | None:
    """SHA-256 of the request that the job was last begun with; None in journals of older versions."""
    return next((event.get("digest") for event in reversed(events) if event["event"] == "request"), None)


def last_events(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last event of each step, by the step's name. That a run was cancelled before a step is no event of it."""
    last: dict[str, dict[str, Any]] = {}
    for event in events:
        step = event.get("step")
        if isinstance(step, str) and (event["event"] != "cancelled" or last.get(step, {}).get("event") == "start"):
            last[step] = event
    return last


def rewrite(folder: Folder, events: list[dict[str, Any]]) -> None:
    """Replace the journal by these events. The caller holds the folder's lock."""
    lines = [sealed_line({key: value for key, value in event.items() if key != CHECK}) for event in events]
    folder.write(layout.JOURNAL, b"".join(lines))


def _events(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The events in a journal's bytes, and the number of damaged lines. Of more lines than a journal may have, the last
    are read, and the others count as damaged; so does what follows more steps than a job can have.
    """
    events, damaged = [], max(0, data.count(b"\n") - limits.JOURNAL_LINES)
    if damaged:
        start = len(data)
        for _ in range(limits.JOURNAL_LINES + 1):
            start = data.rfind(b"\n", 0, start)
        data = data[start + 1 :]
    steps: set[str] = set()
    for line in data.splitlines(keepends=True):
        event = _event(line)
        if event is not None and "step" in event:
            steps.add(event["step"])
            event = event if len(steps) <= limits.JOURNAL_STEPS else None
        if event is None:
            damaged += 1
        else:
            events.append(event)
    return events, damaged


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None if the line is damaged, or none that was ever written."""
    fits = line_fits(line)
    if fits is False or not line.endswith(b"\n") or len(line) > limits.JOURNAL_LINE_BYTES:
        return None
    try:
        event = json.loads(line)  # short, so that its nesting can't do harm
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    if not all(isinstance(event.get(name, ""), str) for name in _TEXTS):
        return None
    return None if fits is None and not event.keys() <= _OLD_KEYS else event


def _tidy(folder: Folder) -> None:
    """Remove the line that a crash cut off from the journal's end, which was never relied on, and shorten a long one.

    One with another name (a hard link, as some copies of folders have) becomes a file of its own: else what is appended
    would be written there too.
    """
    try:
        data = folder.read(layout.JOURNAL, limits.JOURNAL_BYTES)
    except FileNotFoundError:
        return
    if len(data) > SHORTENED_BYTES:
        events, damaged = _events(data)
        shorter = _what_matters(events)
        if not damaged and len(shorter) < len(events) // 2:
            rewrite(folder, shorter)
            return
    if (data and not data.endswith(b"\n")) or folder.has_other_names(layout.JOURNAL):
        folder.write(layout.JOURNAL, data[: data.rfind(b"\n") + 1])


def _what_matters(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first event, which tells since when there is a journal, the last request, and of each step what came since it
    was last done.
    """
    kept: set[int] = {0}
    settled: set[str] = set()
    has_request = False
    for index in range(len(events) - 1, -1, -1):
        event = events[index]
        step = event.get("step")
        if event["event"] == "request" and not has_request:
            has_request = True
            kept.add(index)
        elif step is not None and step not in settled:
            kept.add(index)
            if event["event"] in _ENDS:
                settled.add(step)
    return [event for index, event in enumerate(events) if index in kept]

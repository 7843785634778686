"""Verify: every file of a job against the hash that was recorded when it was made, and the request against its own.

`quick` trusts a file whose size and time of change are those recorded with its hash, and reads only others. Nothing is
written, and no engine is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.errors import DamagedJob, DreamzoomError, RefusedFile
from core.protocol import result
from core.safety.seal import is_unchanged
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.input_copies import checked_index
from dreamzoom.pipeline.integrity.request_file import is_right, stored
from dreamzoom.pipeline.records import is_count, read_record
from dreamzoom.request import validation
from dreamzoom.request.inputs import named_files
from dreamzoom.stages.base import layout

MOST_SHOWN = 1000
"""Damaged files that are listed at most."""


@dataclass(frozen=True)
class Damage:
    """A file that is not as the job made it.

    Attributes:
        file: Its name, relative to the job's folder.
        what: What is wrong: "missing", "changed", "no regular file" or a few words.
        step: The step that makes it again; empty for what no step makes.
    """

    file: str
    what: str
    step: str = ""


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        files, bytes: How many files were checked, and their size.
        damaged: Those that are not as they were.
        finished: Whether the job has a result.
    """

    files: int = 0
    bytes: int = 0
    damaged: list[Damage] = field(default_factory=list)
    finished: bool = False

    def is_damaged(self, name: str) -> bool:
        """Whether this file is among the damaged ones."""
        return any(one.file == name for one in self.damaged)


def verify(
    folder: Folder, progress: Callable[[float, str], None] = lambda fraction, message: None, *, quick: bool = False
) -> Verification:
    """Check all files of a job.

    Args:
        folder: The job's folder.
        progress: Receives the fraction that is done and the name of the file that is read.
        quick: Whether files of unchanged size and time are taken as unchanged.

    Raises:
        DreamzoomError: The folder contains no job.
    """
    if not folder.is_job():
        raise DreamzoomError(f"{folder.root} contains no job", "choose the folder of a job")
    found = Verification()
    events = _check_request_and_journal(folder, found)
    expected = _outputs(folder, events, found)
    expected |= _inputs(folder, found)
    whole = sum(size for size, _, _, _ in expected.values()) or 1
    for name, (size, sha256, stamp, step) in sorted(expected.items()):
        progress(found.bytes / whole, name)
        what = _state(folder, name, size, sha256, stamp if quick else None)
        found.files, found.bytes = found.files + 1, found.bytes + size
        if what:
            found.damaged.append(Damage(name, what, step))
    _check_result(folder, found, expected)
    found.damaged.sort(key=lambda one: one.file)
    return found


def require(folder: Folder, names: Iterable[str], log: Callable[[str], None]) -> None:
    """Check a job before its files are used: quickly, see `verify`.

    Args:
        folder: The job's folder.
        names: The files that will be read.
        log: Receives a line for each other damaged file.

    Raises:
        DamagedJob: One of the files that will be read is damaged.
    """
    found = verify(folder, quick=True)
    remedy = f'run "dreamzoom verify --repair {folder.root}"'
    needed = set(names)
    bad = [one for one in found.damaged if one.file in needed]
    if bad:
        others = f" (and {len(bad) - 1} more files)" if len(bad) > 1 else ""
        raise DamagedJob(
            f"{folder.root / bad[0].file} is damaged: {bad[0].what}{others}", remedy, tuple(one.file for one in bad)
        )
    for one in found.damaged[:MOST_SHOWN]:
        log(f"{one.file} is damaged: {one.what}; {remedy}")


_Expected = dict[str, tuple[int, str, Any, str]]
"""By file name: size, SHA-256, stamp, and the step that makes it."""


def _check_request_and_journal(folder: Folder, found: Verification) -> list[dict[str, Any]]:
    """Check the request, its copy and the journal; returns the journal's events."""
    events, torn = [], 0
    with _noted(found, layout.JOURNAL):
        if not folder.exists(layout.JOURNAL):
            folder.path(layout.JOURNAL)  # raises for a link or the like
            if folder.exists(layout.REQUEST_COPY):  # else it is a result without what it was made from
                found.damaged.append(Damage(layout.JOURNAL, "missing"))
        events, torn = journal.read_checked(folder)
    if torn:
        found.damaged.append(Damage(layout.JOURNAL, f"{torn} damaged line{'s' if torn > 1 else ''}"))
    for name in (layout.REQUEST, layout.REQUEST_COPY):
        with _noted(found, name):
            data = stored(folder, name)
            if data is None and (name == layout.REQUEST or journal.request_digest(events)):
                found.damaged.append(Damage(name, "missing"))
            elif data is not None and not _is_request(folder, name, data, events):
                found.damaged.append(Damage(name, "changed"))
            found.files, found.bytes = found.files + 1, found.bytes + len(data or b"")
    return events


def _is_request(folder: Folder, name: str, data: bytes, events: list[dict[str, Any]]) -> bool:
    known = journal.request_digest(events)
    if known is not None and hashlib.sha256(data).hexdigest() != known:
        other = layout.REQUEST if name == layout.REQUEST_COPY else layout.REQUEST_COPY
        return data == stored(folder, other)  # ended between writing both and the journal's line
    return name == layout.REQUEST_COPY or is_right(folder, data)


def _outputs(folder: Folder, events: list[dict[str, Any]], found: Verification) -> _Expected:
    """The files of finished steps, from their records; missing and damaged records are noted.

    Where several records tell of a file, the newest is right. A step that has begun again is left out: what it wrote
    may be anything, and it is not finished.
    """
    last = journal.last_events(events)
    ended = {name: event for name, event in last.items() if event["event"] in ("done", "skipped")}
    if not all(layout.is_digest(event.get("digest")) for event in ended.values()):
        found.damaged.append(Damage(layout.JOURNAL, "tells of a finished step without its digest"))
    finished = {event["digest"]: name for name, event in ended.items() if layout.is_digest(event.get("digest"))}
    stored_digests: set[str | None] = set()
    with _noted(found, layout.RECORDS):
        stored_digests = {layout.record_digest(name) for name in folder.names(layout.RECORDS)} - {None}
    records = []
    for digest in sorted({*finished, *stored_digests}, key=str):
        name = layout.record(str(digest))
        found.files += 1
        if digest not in stored_digests:
            found.damaged.append(Damage(name, "missing", finished.get(str(digest), "")))
            continue
        try:
            records.append(read_record(folder, str(digest)))
        except FileNotFoundError:
            found.damaged.append(Damage(name, "missing", finished.get(str(digest), "")))
        except RefusedFile as error:
            found.damaged.append(Damage(name, _words(error), finished.get(str(digest), "")))
    since = min((_time(event) for event in events), default=0.0)
    if any(_lacks_event(record, last, since) for record in records):
        found.damaged.append(Damage(layout.JOURNAL, "events of finished steps are missing"))
    expected: _Expected = {}
    for record in sorted(records, key=lambda record: record["finished"]):
        for name, entry in record["outputs"].items():
            expected.pop(name, None)
            if record["digest"] in finished or record["step"] not in last or _lacks_event(record, last, since):
                expected[name] = (
                    entry["bytes"],
                    entry["sha256"],
                    [entry["bytes"], entry.get("mtime_ns")],
                    record["step"],
                )
    return expected


def _lacks_event(record: Mapping[str, Any], last: Mapping[str, Mapping[str, Any]], since: float) -> bool:
    """Whether the journal, which begins at a time, should tell that this record's step is done, and does not. Records
    from before that are of a folder from which this one was copied.
    """
    event = last.get(record["step"])
    if event is None:
        return record["finished"] >= since
    begun = event["event"] == "start" and event.get("digest") == record["digest"]
    return begun and _time(event) <= record["finished"]


def _time(event: Mapping[str, Any]) -> float:
    """When an event was written, in seconds since 1970; infinite if it does not say."""
    try:
        return datetime.fromisoformat(str(event.get("ts"))).timestamp()
    except ValueError:
        return math.inf


def _inputs(folder: Folder, found: Verification) -> _Expected:
    """The copies of the artist's files."""
    named: dict[str, str] = {}
    with contextlib.suppress(DreamzoomError):
        data = stored(folder, layout.REQUEST_COPY) or stored(folder, layout.REQUEST) or b""
        named = named_files(validation.decode_request(data))
    expected: _Expected = {}
    with _noted(found, layout.INPUT_INDEX):
        try:
            index = checked_index(folder)
            found.files += 1
        except FileNotFoundError:
            if named and folder.exists(layout.REQUEST_COPY):  # else it is a result without what it was made from
                found.damaged.append(Damage(layout.INPUT_INDEX, "missing"))
            return {}
        for entry in index.values():
            stamp = entry.get("stamp")
            size = stamp[0] if isinstance(stamp, list) and stamp and is_count(stamp[0]) else 0
            expected[entry["file"]] = (size, entry["sha256"], stamp, "")
    return expected


def _check_result(folder: Folder, found: Verification, expected: _Expected) -> None:
    """Check what a finished job's result says of itself and of files without a record."""
    name = result.NAME
    if found.is_damaged(name):
        return
    if not folder.exists(name):
        with _noted(found, name):
            folder.path(name)
        return
    with _noted(found, name):
        told = result.read(folder.root)
        found.finished = True
        for file, sha256 in told.get("files", {}).items():
            if file not in expected and not found.is_damaged(file):
                found.files += 1
                what = _state(folder, file, None, sha256, None)
                if what:
                    found.damaged.append(Damage(file, what))


def _state(folder: Folder, name: str, size: int | None, sha256: str, stamp: object) -> str:
    """What is wrong with a file, in a word; empty if it is as recorded."""
    try:
        path = folder.path(name)
        if is_unchanged(path, stamp):
            return ""
        if size and folder.size(name) != size:
            return "changed"
        return "" if folder.digest(name) == sha256 else "changed"
    except FileNotFoundError:
        return "missing"
    except RefusedFile as error:
        return _words(error)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"


@contextlib.contextmanager
def _noted(found: Verification, name: str) -> Iterator[None]:
    """Note a file that is refused or can't be read as damaged."""
    try:
        yield
    except RefusedFile as error:
        found.damaged.append(Damage(name, _words(error)))
    except ValueError as error:
        found.damaged.append(Damage(name, f"damaged: {error}"))
    except OSError as error:
        found.damaged.append(Damage(name, f"can't be read: {error.strerror or error}"))


def _words(error: RefusedFile) -> str:
    """A refusal in a few words, without the file's name."""
    text = str(error)
    for kind in ("a link", "a pipe", "a device", "a folder", "a socket"):
        if f" is {kind}" in text:
            return f"no regular file but {kind}"
    return "too large" if "at most" in text else "damaged"


def table(found: Verification) -> str:
    """The result as text for a terminal."""
    lines = [
        f"{one.file}: {one.what}" + (f"; {one.step} makes it again" if one.step else "")
        for one in found.damaged[:MOST_SHOWN]
    ]
    state = "finished" if found.finished else "not finished"
    count = f"{len(found.damaged)} of {found.files}" if found.damaged else f"all {found.files}"
    verdict = "damaged" if found.damaged else "as they were made"
    return "\n".join([*lines, f"{count} files are {verdict} ({found.bytes / 1e6:.1f} MB); the job is {state}"])


def as_json(found: Verification) -> dict[str, Any]:
    """The result as JSON values."""
    damaged = [{"file": one.file, "what": one.what, "step": one.step} for one in found.damaged]
    return {"files": found.files, "bytes": found.bytes, "finished": found.finished, "damaged": damaged}

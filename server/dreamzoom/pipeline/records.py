"""Records of finished steps and the files they wrote, so that a later run can skip them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from core.errors import RefusedFile
from core.safety import limits
from core.safety.contained import is_contained
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import Step
from dreamzoom.progress import Report, reporting_to
from dreamzoom.stages.base import layout

_OLD_KEYS = {"step", "stage", "level", "version", "digest", "outputs", "seconds", "finished"}
"""The keys of records without a check, which older versions wrote."""


def is_done(folder: Folder, step: Step) -> bool:
    """Whether a step was finished and its outputs still have the recorded sizes and hashes."""
    try:
        outputs = read_record(folder, step.digest)["outputs"]
        return all(
            folder.exists(name) and folder.size(name) == entry["bytes"] and folder.digest(name) == entry["sha256"]
            for name, entry in outputs.items()
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return False  # missing or unreadable record: the step runs again and replaces it


def write_record(folder: Folder, step: Step, seconds: float) -> None:
    """Record that a step is finished, with the current sizes, times and hashes of its outputs."""
    outputs = {}
    with reporting_to(Report()):  # what is done is kept, also if the job is cancelled just now
        for file in step.files:
            size, changed = folder.stamp(file.name)
            outputs[file.name] = {"bytes": size, "mtime_ns": changed, "sha256": folder.digest(file.name)}
    record = {"step": step.name, "stage": step.stage.shown_as, "level": step.level, "version": step.stage.version}
    record |= {"digest": step.digest, "outputs": outputs, "seconds": round(seconds, 3), "finished": time.time()}
    folder.write_sealed(layout.record(step.digest), record)


def read_record(folder: Folder, digest: str) -> dict[str, Any]:
    """The record of the step with this digest.

    Raises:
        FileNotFoundError: There is none.
        RefusedFile: It is damaged.
    """
    name = layout.record(digest)
    record = folder.read_sealed(name, limits.RECORD_BYTES, _OLD_KEYS.__contains__)
    if record.get("digest") != digest:
        raise RefusedFile(f"{name} is damaged: it is not the record of its step")
    good = isinstance(record.get("step"), str) and isinstance(record.get("stage"), str) and "level" in record
    good &= record.get("level") is None or is_count(record["level"])
    good &= all(is_time(record.get(name)) for name in ("seconds", "finished"))
    if not good or not _are_outputs(record):
        raise RefusedFile(f"{name} is damaged: something is missing")
    return record


def records(folder: Folder) -> list[dict[str, Any]]:
    """The records of finished steps, ordered by the time they finished; invalid records are skipped."""
    found = []
    for name in folder.names(layout.RECORDS):
        digest = layout.record_digest(name)
        with contextlib.suppress(RefusedFile, FileNotFoundError):
            if digest is not None:
                found.append(read_record(folder, digest))
    return sorted(found, key=lambda record: record["finished"])


def forget(folder: Folder, step: Step, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Remove the records whose outputs this step has just overwritten, and return them."""
    written = {file.name for file in step.files}
    forgotten = [
        record
        for record in known
        if record["digest"] != step.digest and (record["step"] == step.name or written & record["outputs"].keys())
    ]
    for record in forgotten:
        folder.remove(layout.record(record["digest"]))
    return forgotten


def is_count(value: Any) -> bool:
    """Whether a value of a file is a whole number that can be the number of a level or of bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def is_time(value: Any) -> bool:
    """Whether a value of a file is a number of seconds that can be."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _are_outputs(record: dict[str, Any]) -> bool:
    outputs = record.get("outputs")
    return isinstance(outputs, dict) and all(
        is_contained(name)
        and isinstance(entry, dict)
        and is_count(entry.get("bytes"))
        and isinstance(entry.get("sha256"), str)
        for name, entry in outputs.items()
    )


def level_seconds(folder: Folder, count: int) -> list[float]:
    """How many seconds the finished steps of each level took, of `count` levels; the time of steps of several levels is
    divided among all.
    """
    newest = {record["step"]: record for record in records(folder)}
    spent, shared = [0.0] * count, 0.0
    for record in newest.values():
        level, seconds = record["level"], record["seconds"]
        if isinstance(level, int) and 0 <= level < count:
            spent[level] += seconds
        else:
            shared += seconds
    return [round(seconds + shared / count, 3) for seconds in spent]

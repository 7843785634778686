"""Records of finished steps and the files they wrote, so that a later run can skip them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import Step
from dreamzoom.stages.base import layout


def is_done(folder: Folder, step: Step) -> bool:
    """Whether a step was finished and its outputs still have the recorded sizes and hashes."""
    try:
        outputs = folder.read_json(layout.record(step.digest))["outputs"]
        return all(
            folder.exists(name) and folder.size(name) == entry["bytes"] and folder.digest(name) == entry["sha256"]
            for name, entry in outputs.items()
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return False  # missing or unreadable record: the step runs again and replaces it


def write_record(folder: Folder, step: Step, seconds: float) -> None:
    """Record that a step is finished, with the current sizes and hashes of its outputs."""
    outputs = {file.name: {"bytes": folder.size(file.name), "sha256": folder.digest(file.name)} for file in step.files}
    record = {"step": step.name, "stage": step.stage.shown_as, "level": step.level, "version": step.stage.version}
    record |= {"digest": step.digest, "outputs": outputs, "seconds": round(seconds, 3), "finished": time.time()}
    folder.write_json(layout.record(step.digest), record)


def records(folder: Folder) -> list[dict[str, Any]]:
    """The records of finished steps, ordered by the time they finished; invalid records are skipped."""
    found = []
    for path in folder.path(layout.RECORDS).glob("*.json"):
        with contextlib.suppress(ValueError):
            record = folder.read_json(layout.record(path.stem))
            if isinstance(record, dict) and {"step", "digest", "finished"} <= record.keys():
                found.append(record)
    return sorted(found, key=lambda record: record["finished"])


def forget(folder: Folder, step: Step, known: Sequence[dict[str, Any]]) -> None:
    """Remove the records whose outputs this step has just overwritten."""
    for record in known:
        if record["step"] == step.name and record["digest"] != step.digest:
            folder.remove(layout.record(record["digest"]))


def level_seconds(folder: Folder, count: int) -> list[float]:
    """How many seconds the finished steps of each level took, of `count` levels; the time of steps of several levels is
    divided among all.
    """
    newest = {record["step"]: record for record in records(folder)}
    spent, shared = [0.0] * count, 0.0
    for record in newest.values():
        level, seconds = record.get("level"), record.get("seconds")
        if not isinstance(seconds, int | float) or not math.isfinite(seconds):
            continue
        if isinstance(level, int) and 0 <= level < count:
            spent[level] += seconds
        else:
            shared += seconds
    return [round(seconds + shared / count, 3) for seconds in spent]

"""Repair: puts back what has a second copy, and redoes just the steps whose files are damaged.

The same steps give the same bytes, so that a repaired job equals one that was never damaged.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from dreamzoom.pipeline import journal
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_request
from dreamzoom.pipeline.integrity import request_file
from dreamzoom.pipeline.integrity.verify import Verification, verify
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import Summary
from dreamzoom.stages.base import layout


@dataclass(frozen=True)
class Repair:
    """What `repair` did.

    Attributes:
        before, after: What `verify` finds.
        summary: The run that redid what was damaged.
    """

    before: Verification
    after: Verification
    summary: Summary


def repair(folder: Folder, sink: Sink | None = None, cancel: threading.Event | None = None) -> Repair:
    """Make all files of a job as they were. A job that is not finished is finished.

    Raises:
        DamagedJob: Neither copy of the request is whole.
        RefusedFile: A link, pipe or the like stands in the place of a file; the message names it.
        BadRequest: The copy of an artist's file is damaged, and the original is gone.
        DreamzoomError: As in `generate`.
    """
    sink = sink or Sink()
    before = verify(folder)
    for one in before.damaged:
        folder.path(one.file)  # raises for what no step may replace
        sink.log(f"{one.file}: {one.what}", "warning")
    with folder.lock():
        request_file.restore(folder)
        _mend_journal(folder, before)
    summary = generate(read_request(folder), folder, sink, cancel)
    return Repair(before, verify(folder), summary)


def _mend_journal(folder: Folder, found: Verification) -> None:
    """Leave out damaged lines, tell of finished steps whose lines are lost, and forget steps whose records are."""
    events, torn = journal.read_checked(folder)
    whole = [event for event in events if event["event"] not in ("done", "skipped") or _names_its_step(event)]
    if torn or len(whole) < len(events):
        events = whole
        journal.rewrite(folder, events)
    last = journal.last_events(events)
    told = [{"event": "repair", "damaged": len(found.damaged)}]
    for one in found.damaged:
        if one.file.startswith(f"{layout.RECORDS}/") and one.file != layout.REQUEST_COPY:
            folder.remove(one.file)
            if one.step:
                told.append({"event": "forgotten", "step": one.step})
    for record in records(folder):
        if record["step"] not in last:
            told.append({"event": "done", "step": record["step"], "digest": record["digest"]})
    journal.note_all(folder, told)


def _names_its_step(event: dict[str, Any]) -> bool:
    return layout.is_digest(event.get("digest"))

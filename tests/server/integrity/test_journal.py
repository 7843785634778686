"""The journal of a job: cut, forged, long, linked, or of another clock."""

import json
import os
import time

import pytest
from whole_job import SPLATS, contents, damaged, flip

from core.safety import limits
from core.safety.seal import CHECK, sealed, sealed_line
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import verify

pytestmark = pytest.mark.slow


def test_a_journal_is_cut_where_a_crash_cut_a_line_and_flipped_lines_are_counted(tmp_path):
    folder = Folder(tmp_path)
    for number in range(3):
        journal.note(folder, "start", step=str(number))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"ts": "2026')
    assert journal.read_checked(folder)[1] == 1
    journal.note(folder, "start", step="3")
    events, torn = journal.read_checked(folder)
    assert ([event["step"] for event in events], torn) == (["0", "1", "2", "3"], 0)
    flip(tmp_path / "journal.jsonl")
    assert journal.read_checked(folder)[1] == 1
    old = {"ts": "x", "event": "done", "step": "old", "digest": "d", "seconds": 1}
    (tmp_path / "journal.jsonl").write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert journal.read_checked(folder) == ([old], 0)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "done", "step": "x"},
        {"event": "done", "step": "x", "digest": ["a"]},
        {"event": "done", "step": ["x"], "digest": "a" * 64},
        {"event": "done", "step": "x", "digest": "../../../etc/passwd"},
        {"event": "skipped", "step": "x", "digest": {}},
        {"event": "request", "digest": 5},
        {"event": "start", "step": "x", "digest": "a" * 64, "ts": [1]},
        {"event": "start", "step": "x", "digest": "a" * 64, "ts": "0001-01-01T00:00:00"},
    ],
)
def test_a_forged_line_of_the_journal_does_no_harm(whole, job, event):
    with (job / "journal.jsonl").open("ab") as file:
        file.write(sealed_line(event))
    verify(Folder(job))
    assert repair(Folder(job)).after.damaged == []
    assert contents(job) == contents(whole)


def test_of_a_journal_of_too_many_lines_the_last_are_read(whole, job):
    path = job / "journal.jsonl"
    path.write_bytes(b"\n" * 30_000_000 + path.read_bytes())
    began = time.process_time()
    assert damaged(job) == ["journal.jsonl"]
    assert time.process_time() - began < 40
    assert repair(Folder(job)).after.damaged == []
    assert path.stat().st_size < 1 << 20 and contents(job) == contents(whole)


def test_a_long_journal_is_shortened_and_tells_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SHORTENED_BYTES", 2000)
    folder = Folder(tmp_path)
    journal.note(folder, "request", digest="r")
    for event in [*["start", "done"] * 20, "start", "cancelled", "start", "start"]:
        for step in ("a", "b"):
            journal.note(folder, event, step=step, digest=f"of {step}")
    events = journal.read(folder)
    assert len(events) < 40
    assert journal.request_digest(events) == "r" and events[0]["event"] == "request"
    assert journal.crashes(events) == {"of a": 2, "of b": 2}
    assert {name: event["event"] for name, event in journal.last_events(events).items()} == {"a": "start", "b": "start"}


def test_a_journal_with_another_name_becomes_a_file_of_its_own(job, tmp_path):
    (job / "journal.jsonl").rename(tmp_path / "outside")
    os.link(tmp_path / "outside", job / "journal.jsonl")
    before = (tmp_path / "outside").read_bytes()
    journal.note(Folder(job), "repair", damaged=0)
    assert (tmp_path / "outside").read_bytes() == before
    assert (job / "journal.jsonl").read_bytes().startswith(before)


def test_a_clock_that_goes_backwards_is_no_damage(whole, job, monkeypatch):
    """A job that was made while the clock was years ahead."""
    future = time.time() + 4e8
    for record in (job / "stages").glob("*.json"):
        if record.name != "request.json":
            told = json.loads(record.read_bytes()) | {"finished": future}
            record.write_text(json.dumps(sealed({key: item for key, item in told.items() if key != CHECK})) + "\n")
    assert damaged(job) == []
    (job / SPLATS).unlink()
    assert damaged(job) == [SPLATS]
    record = next(json.loads(p.read_bytes()) for p in (job / "stages").glob("*.json") if SPLATS in p.read_text())
    journal.note(Folder(job), "start", step=record["step"], digest=record["digest"])
    repair(Folder(job))
    assert damaged(job) == [] and contents(job) == contents(whole)


@pytest.mark.parametrize("told", [{}, {"digest": "../../../etc/passwd"}])
def test_a_finished_step_without_its_digest_is_damage(whole, job, told):
    with (job / "journal.jsonl").open("ab") as file:
        file.write(sealed_line({"event": "done", "step": "x"} | told))
    assert damaged(job) == ["journal.jsonl"]
    assert repair(Folder(job)).after.damaged == [] and contents(job) == contents(whole)


def test_more_steps_than_a_job_can_have_are_damage(whole, job, monkeypatch):
    monkeypatch.setattr(limits, "JOURNAL_STEPS", 200)
    with (job / "journal.jsonl").open("ab") as file:
        file.writelines(sealed_line({"event": "done", "step": str(n), "digest": f"{n:064x}"}) for n in range(300))
    assert "journal.jsonl" in damaged(job) and len(damaged(job)) <= 201
    assert repair(Folder(job)).after.damaged == [] and contents(job) == contents(whole)

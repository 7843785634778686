"""result.json is read by both sides, which rely on what was checked."""

from __future__ import annotations

import json

import pytest

from core.protocol import result
from core.safety import limits

GOOD = {
    "version": 1,
    "zoom_factor": 2.0,
    "levels": [{"index": k, "cloud": f"levels/{k}/cloud.ply", "splats": f"levels/{k}/splats.ply"} for k in range(3)],
}


def changed(level: int, **values) -> dict:
    levels = [entry | values if k == level else entry for k, entry in enumerate(GOOD["levels"])]
    return GOOD | {"levels": levels}


class TestRead:
    def test_a_good_one(self, tmp_path):
        (tmp_path / result.NAME).write_text(json.dumps(GOOD), encoding="utf-8")
        assert result.read(tmp_path) == GOOD

    def test_none(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            result.read(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ud83d"])
    def test_what_is_no_json(self, tmp_path, text):
        (tmp_path / result.NAME).write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ValueError):
            result.read(tmp_path)


class TestChecked:
    @pytest.mark.parametrize(
        ("found", "says"),
        [
            ([], "no levels"),
            ({}, "no levels"),
            (GOOD | {"levels": []}, "no levels"),
            (GOOD | {"levels": [1, 2]}, "level 0 is missing"),
            (changed(1, index=2), "level 1 is missing"),
            (changed(2, cloud=None), "level 2 names no cloud"),
            (changed(0, splats=3), "level 0 names no splats"),
            (changed(1, splats="../../etc/passwd"), "outside its folder"),
            (changed(1, splats="/etc/passwd"), "outside its folder"),
            (changed(1, splats="C:/x"), "outside its folder"),
            (changed(1, splats="..\\x"), "outside its folder"),
            (changed(1, splats=""), "outside its folder"),
            ({"levels": GOOD["levels"]}, "zoom factor"),
            (GOOD | {"zoom_factor": "2"}, "zoom factor"),
        ],
    )
    def test_what_is_wrong_is_said(self, found, says):
        with pytest.raises(ValueError, match=says):
            result.checked(found)


class TestNotes:
    def test_good_notes_are_as_they_are(self):
        notes = [
            {"level": 0, "field": "levels[0].image", "text": "a.jpg: cropped"},
            {"level": None, "field": "prompt", "text": "b"},
        ]
        assert result.notes_of(GOOD | {"notes": notes}) == notes
        assert result.notes_of(GOOD) == []

    @pytest.mark.parametrize(
        "notes", [3, "text", {"level": 0}, [3, None, [], {}, {"level": "x", "field": "f", "text": "t"}]]
    )
    def test_what_is_no_note_is_left_out(self, notes):
        assert result.notes_of(GOOD | {"notes": notes}) == []

    def test_they_are_lines_of_bounded_length_and_number(self):
        text = "a\n\x1b[31mred\u202e\x00 " + "x" * 5000
        found = result.bounded_notes([{"level": 1, "field": "f\n", "text": text}] * 1000)
        assert len(found) == limits.RESULT_NOTES
        assert found[0]["text"].startswith("a [31mred x")
        assert found[0]["text"].isprintable()
        assert len(found[0]["text"]) == limits.NOTE_CHARACTERS
        assert found[0]["field"] == "f"

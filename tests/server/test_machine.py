"""`dreamzoom check`: what it finds out, what it keeps, and that one broken part does not hide the others."""

from __future__ import annotations

import json

import pytest
import torch
from card import card

from core.errors import BadRequest
from dreamzoom import cli
from dreamzoom.machine import facts
from dreamzoom.machine.check import check, lines
from dreamzoom.machine.measurements import PARTS

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


def silent(line):
    """Takes what is told."""


def test_the_facts_tell_of_every_subject_and_can_be_kept():
    found = facts.facts()
    assert {"system", "memory", "disk", "packages", "cards", "driver", "engines", "models"} <= found.keys()
    assert not [name for name, value in found.items() if str(value).startswith("can't be read")]
    assert found["packages"]["torch"] == torch.__version__
    assert json.loads(json.dumps(found)) == found


def test_without_run_nothing_is_measured(tmp_path):
    found = check(silent, tmp_path / "report.json")
    assert found["parts"] == [] and json.loads((tmp_path / "report.json").read_text())["parts"] == []


@pytest.mark.parametrize("part", ["sampling", "networks", "zoom", "painting", "depth"])
def test_a_part_is_measured_with_small_networks(tmp_path, part):
    (entry,) = check(silent, tmp_path / "report.json", [part], "small")["parts"]
    assert "error" not in entry, entry
    for name in ("bits repeat", "finite", "known pixels kept"):
        assert entry["figures"].get(name, True), name
    for name in ("to the CPU dB", "levels agree dB"):
        assert entry["figures"].get(name, 99) > 45, name
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert kept["parts"][0]["figures"].keys() == entry["figures"].keys()


@pytest.mark.parametrize("part", ["sampling", "networks", "zoom", "painting", "depth"])
def test_a_part_is_measured_on_a_card(part):
    with card():
        (entry,) = check(silent, None, [part], "small")["parts"]
    assert "error" not in entry, entry["error"]


def test_a_part_that_breaks_says_why_and_the_next_goes_on(tmp_path, monkeypatch):
    def broken(bench):
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(PARTS, "painting", broken)
    found = check(silent, tmp_path / "report.json", ["painting", "depth"], "small")["parts"]
    assert "no such kernel" in found[0]["error"] and "figures" in found[1]
    assert "no such kernel" in lines(found[0])[0]


def test_nothing_new_begins_when_the_time_is_up():
    found = check(silent, None, ["depth", "sampling"], "small", minutes=0)["parts"]
    assert all("no time left" in entry["error"] for entry in found)


def test_an_unknown_part_is_refused():
    with pytest.raises(BadRequest, match="part: must be one of"):
        check(silent, None, ["speed"])


def test_the_command_tells_and_keeps(capsys, tmp_path):
    file = tmp_path / "report.json"
    assert cli.main(["check", "--part", "depth", "--size", "small", "--json", str(file)]) == cli.DONE
    told = capsys.readouterr().out
    assert "processor" in told and "seconds a view" in told
    assert json.loads(file.read_text(encoding="utf-8"))["parts"][0]["part"] == "depth"

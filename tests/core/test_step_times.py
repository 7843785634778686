"""Measured step times: kept as means by kind and size, and never a reason to fail."""

import json

import pytest

from core import step_times


@pytest.fixture
def times(tmp_path, monkeypatch):
    """The module, with a file of its own."""
    monkeypatch.setenv(step_times.VARIABLE, str(tmp_path / "deep" / "times.json"))
    return step_times


def test_the_mean_follows_the_newest(times):
    known = {}
    for seconds in (4.0, 2.0, 3.0):
        times.add(known, times.key("procedural", "draft", "fit", 1000), seconds)
    assert times.expected(known, "procedural", "draft", "fit", 1000) == pytest.approx(3.0)
    for _ in range(40):
        times.add(known, times.key("procedural", "draft", "fit", 1000), 10.0)
    assert times.expected(known, "procedural", "draft", "fit", 1000) == pytest.approx(10.0, rel=0.01)


def test_one_measurement_far_off_counts_little(times):
    known = {}
    for seconds in (2.0, 2.0, 2.0, 500.0):
        times.add(known, "a", seconds)
    assert known["a"][0] < 4.0


def test_another_size_is_scaled_and_other_kinds_are_not_mixed(times):
    known = {times.key("procedural", "draft", "fit", 1 << 16): [4.0, 3]}
    assert times.expected(known, "procedural", "draft", "fit", 1 << 18) == pytest.approx(4 * 4**times.BY_PIXELS)
    assert times.expected(known, "procedural", "final", "fit", 1 << 16) is None
    assert times.of_level(known, "procedural", "draft", 1 << 16) == (4.0, True)
    usual = times.of_level({}, "procedural", "draft", 240 * 135)
    assert usual == (pytest.approx(8.35), False)


def test_what_was_never_measured_is_taken_as_usual(times):
    assert times.usual("procedural", "draft", "export.2", 240 * 135) == pytest.approx(4.4)
    assert times.usual("procedural", "draft", "export.0", 480 * 270) == pytest.approx(1.1 * 4**times.BY_PIXELS)
    assert times.usual("procedural", "draft", "plan", 1000) is None
    assert times.usual("diffusion", "draft", "fit.1", 1000) is None


def test_a_level_is_as_long_as_the_finer_ones(times):
    known = {}
    for stage, level, seconds in (("fit", 0, 1.0), ("fit", 1, 2.0), ("fit", 9, 5.0), ("plan", None, 0.5)):
        times.add(known, times.key("procedural", "draft", times.kind(stage, level), 1 << 16), seconds)
    assert times.of_level(known, "procedural", "draft", 1 << 16) == (5.5, True)


def test_what_is_written_is_read_again(times):
    known = {times.key("a", "draft", "fit", 5): [1.5, 2.0]}
    times.write(known)
    assert times.read() == known


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3, "b": [1], "c": ["x", 2], "d": [-1, 2], "e": [1e999, 1]}'])
def test_a_damaged_file_counts_as_none(times, text):
    times.path().parent.mkdir(parents=True)
    times.path().write_text(text)
    assert times.read() == {}
    times.write({"procedural/draft/fit/3": [1.0, 1.0]})
    assert json.loads(times.path().read_text())


def test_a_folder_that_can_not_be_made_is_no_error(times, tmp_path):
    (tmp_path / "deep").write_text("a file")
    times.write({"a": [1.0, 1.0]})
    assert times.read() == {}


def test_nonsense_is_not_added(times):
    known = {}
    for seconds in (float("nan"), float("inf"), -1.0):
        times.add(known, "a", seconds)
    assert known == {}

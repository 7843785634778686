"""Jobs that are killed, changed and repeated: what is finished stays, and the bytes are always the same."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from forked_commands import commands

from core import reach
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.runner import Summary
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

KILLS = 10


def request(**changes):
    return example(levels=3, size=(64, 48)) | {"quality": "draft"} | changes


def make(root, **changes) -> Summary:
    return generate(convert_request(request(**changes)), Folder(root))


def contents(root):
    """Digests of all files that a job is asked for, by name: not its records and its journal, which tell of time."""
    folder = Folder(root)
    names = [path.relative_to(root).as_posix() for path in Path(root).rglob("*") if path.is_file()]
    return {
        name: folder.digest(name) for name in names if not name.startswith(("stages/", "journal")) and name != ".lock"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job that was never disturbed."""
    root = tmp_path_factory.mktemp("whole")
    make(root)
    return root


def test_killed_ten_times_it_ends_with_the_same_bytes_and_repeats_nothing(whole, tmp_path):
    root, rng = tmp_path / "job", np.random.default_rng(3)
    (tmp_path / "request.json").write_text(json.dumps(request()), encoding="utf-8")
    begin = ["generate", str(tmp_path / "request.json"), "--out", str(root)]
    resume = ["resume", str(root)]
    with commands(tmp_path / "said.txt") as start:
        for _ in range(KILLS):
            before = len(journal.read(Folder(root)))
            command = start(resume if Folder(root).is_job() else begin)
            while len(journal.read(Folder(root))) == before:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.35))
            command.kill()
        ended = start(resume).wait()
    assert ended == 0, (tmp_path / "said.txt").read_text()
    assert contents(root) == contents(whole)
    finished, starts = set(), 0
    for event in journal.read(Folder(root)):
        if event["event"] == "start":
            starts += 1
            assert event["step"] not in finished, "a finished step ran again"
        elif event["event"] == "done":
            finished.add(event["step"])
    assert starts > len(finished), "no kill met a running step"


def test_the_same_request_gives_the_same_bytes(whole, tmp_path):
    make(tmp_path)
    assert contents(tmp_path) == contents(whole)


def test_another_seed_gives_another_world(whole, tmp_path):
    make(tmp_path, seed=2)
    for name in ("image.png", "splats.ply", "cloud.ply"):
        for level in range(3):
            file = f"levels/{level:03d}/{name}"
            assert Folder(tmp_path).digest(file) != Folder(whole).digest(file)


def deep(**changed) -> dict:
    """A request of five levels whose factor is so large that only the next two are seen in a picture."""
    wanted = example(5, (64, 48), factor=16.0) | {"quality": "draft"}
    for level, prompt in changed.items():
        wanted["levels"][int(level[1:])]["prompt"] = prompt
    return wanted


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Such a job, begun with four levels, and what was done when the fifth was added."""
    root, four = tmp_path_factory.mktemp("grown"), deep()
    four["levels"].pop()
    four["cameras"] = [camera for camera in four["cameras"] if camera["zoom"] <= 3]
    generate(convert_request(four), Folder(root))
    return root, generate(convert_request(deep()), Folder(root))


def test_more_levels_keep_what_does_not_show_them(grown):
    _, summary = grown
    assert "levels/000/image" in summary.skipped and "levels/001/image" in summary.skipped
    assert "levels/004/image" in summary.ran


def test_a_changed_prompt_redoes_the_levels_that_show_it_and_what_depends_on_them(grown, tmp_path):
    root = shutil.copytree(grown[0], tmp_path / "job")
    before = contents(root)
    summary = generate(convert_request(deep(_4="a city at night")), Folder(root))
    touched = {int(name.split("/")[1]) for name in summary.ran if name.startswith("levels/")}
    assert sorted(touched) == reach.redone({4}, 5, 16.0, 64) == [1, 2, 3, 4]
    assert [name for name in summary.ran if name.endswith("/image")] == [f"levels/00{k}/image" for k in (2, 3, 4)]
    after = contents(root)
    assert all(after[name] == before[name] for name in before if name.startswith("levels/000"))
    assert after["levels/003/image.png"] != before["levels/003/image.png"]

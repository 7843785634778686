"""Jobs that are killed, changed and repeated: what is finished stays, and the bytes are always the same."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core import reach
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.runner import Summary
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"
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


FORKED = """
import os, sys
from dreamzoom import cli
from dreamzoom.pipeline import generate, steps
from dreamzoom.engines import registry
said = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        os.dup2(said, 1), os.dup2(said, 2)
        os._exit(cli.main(eval(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs commands, each in a process of its own, which has no modules to import any more."""


class Command:
    """A command that runs."""

    def __init__(self, pid, wait):
        self.pid, self.wait = pid, wait

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self.wait()


@contextlib.contextmanager
def commands(said):
    """A function that starts the command line with arguments; what it says is appended to a file."""
    environment = os.environ | {"PYTHONPATH": str(SERVER)}
    if not hasattr(os, "fork"):

        def start(arguments):
            with said.open("ab") as file:
                command = [sys.executable, "-m", "dreamzoom", *arguments]
                process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
            return Command(process.pid, process.wait)

        yield start
        return
    forking = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(said)], stdin=-1, stdout=-1, env=environment, text=True
    )

    def start(arguments):
        forking.stdin.write(f"{arguments!r}\n")
        forking.stdin.flush()
        return Command(int(forking.stdout.readline()), lambda: int(forking.stdout.readline()))

    yield start
    forking.communicate()


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


def test_a_changed_prompt_redoes_the_levels_that_show_it_and_what_depends_on_them(tmp_path):
    generate(convert_request(deep()), Folder(tmp_path))
    before = contents(tmp_path)
    summary = generate(convert_request(deep(_4="a city at night")), Folder(tmp_path))
    touched = {int(name.split("/")[1]) for name in summary.ran if name.startswith("levels/")}
    assert sorted(touched) == reach.redone({4}, 5, 16.0, 64) == [1, 2, 3, 4]
    assert [name for name in summary.ran if name.endswith("/image")] == [f"levels/00{k}/image" for k in (2, 3, 4)]
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in before if name.startswith("levels/000"))
    assert after["levels/003/image.png"] != before["levels/003/image.png"]


def test_more_levels_keep_what_does_not_show_them(tmp_path):
    four = deep()
    four["levels"].pop()
    four["cameras"] = [camera for camera in four["cameras"] if camera["zoom"] <= 3]
    generate(convert_request(four), Folder(tmp_path))
    summary = generate(convert_request(deep()), Folder(tmp_path))
    assert "levels/000/image" in summary.skipped and "levels/001/image" in summary.skipped
    assert "levels/004/image" in summary.ran

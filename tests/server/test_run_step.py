"""Steps that run one by one, each in a process of its own, make the same job as one process does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked_commands import commands
from small_jobs import contents

from core.errors import BadRequest, DreamzoomError
from dreamzoom import cli
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.run_step import prepare, run_step
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"


def request(levels=2, **changes):
    return example(levels, (64, 48)) | {"quality": "draft"} | changes


def command(*arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "dreamzoom", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SERVER)},
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("engine", [{"name": "procedural"}, {"name": "spectral", "steps": 5, "refine": True}])
def test_steps_in_processes_of_their_own_give_the_same_bytes(tmp_path, engine):
    wanted = request(engine=engine, preset="lookdown")
    del wanted["cameras"]
    (tmp_path / "request.json").write_text(json.dumps(wanted))
    names = command("prepare", tmp_path / "request.json", "--out", tmp_path / "steps").split()
    assert not (tmp_path / "steps/plan.json").exists()
    said = tmp_path / "said.txt"
    command("run-step", tmp_path / "steps", names[0])
    with commands(said) as start:
        for name in names[1:-1]:
            assert start(["run-step", str(tmp_path / "steps"), name]).wait() == 0, said.read_text()
    command("run-step", tmp_path / "steps", names[-1])
    summary = generate(convert_request(wanted), Folder(tmp_path / "whole"))
    assert list(summary.ran) == names
    assert contents(tmp_path / "steps") == contents(tmp_path / "whole")
    assert generate(convert_request(wanted), Folder(tmp_path / "steps")).ran == ()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A job of one level whose picture is painted, and nothing more."""
    folder = Folder(tmp_path_factory.mktemp("begun") / "job")
    prepare(convert_request(request(1)), folder)
    assert run_step(folder, "levels/000/image")
    return folder


class TestRefusals:
    def test_an_unknown_step_names_those_that_there_are(self, begun):
        with pytest.raises(BadRequest, match=r"plan, levels/000/image, .*levels/000/export, result; got 'levels/7'"):
            run_step(begun, "levels/7")

    def test_steps_of_several_levels_are_named_together(self, tmp_path):
        folder = Folder(tmp_path)
        prepare(convert_request(request(3)), folder)
        with pytest.raises(BadRequest, match="levels/000…002/dream"):
            run_step(folder, "dream")

    def test_what_must_run_first_is_named(self, begun):
        with pytest.raises(DreamzoomError, match="align needs the results of levels/000/dream") as caught:
            run_step(begun, "levels/000/align")
        assert caught.value.remedy == "run levels/000/dream first"

    def test_a_folder_without_a_job(self, tmp_path):
        with pytest.raises(DreamzoomError, match="contains no job"):
            run_step(Folder(tmp_path), "plan")


def test_what_is_done_is_not_done_again_unless_forced(begun):
    picture = begun.path("levels/000/image.png")
    before = picture.stat().st_mtime_ns, picture.read_bytes()
    assert not run_step(begun, "levels/000/image")
    assert picture.stat().st_mtime_ns == before[0]
    assert run_step(begun, "levels/000/image", force=True)
    assert picture.stat().st_mtime_ns > before[0] and picture.read_bytes() == before[1]


def test_the_command_line_tells_what_it_did(begun, capfd):
    assert cli.main(["run-step", str(begun.root), "levels/000/image"]) == 0
    assert "levels/000/image was already done" in capfd.readouterr().err
    assert cli.main(["run-step", str(begun.root), "nonsense"]) == cli.BAD_REQUEST
    assert cli.main(["run-step", str(begun.root), "levels/000/align"]) == cli.FAILED
    assert "(run levels/000/dream first)" in capfd.readouterr().err

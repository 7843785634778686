"""The command line as people and scripts use it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamzoom import cli
from dreamzoom.cli.terminal import Terminal, clock
from dreamzoom.pipeline.events import Progress
from dreamzoom.pipeline.folder import Folder
from dreamzoom.request import schema, validation
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"


def start(*arguments, **more):
    environment = os.environ | {"PYTHONPATH": str(SERVER), "PYTHONIOENCODING": "ascii"} | more.pop("environment", {})
    command = [sys.executable, "-m", "dreamzoom", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **more)


def dreamzoom(capfd, *arguments):
    """Run a command in this process: exit code, standard output, standard error."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        code = leaving.code
    out, err = capfd.readouterr()
    return code, out, err


def write(path, request):
    path.write_text(json.dumps(request), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A finished job of one level, made by `generate` from standard input."""
    folder = tmp_path_factory.mktemp("jobs") / "Über 山"
    request = example(levels=1, size=(48, 32)) | {"quality": "draft"}
    process = start("generate", "-", "--out", folder, stdin=subprocess.PIPE)
    out, err = process.communicate(json.dumps(request).encode())
    assert process.returncode == 0, err
    assert Path(out.decode().strip()) == folder / "result.json"
    assert b"dream, level 0" in err
    return folder


class TestExample:
    @pytest.mark.parametrize(("preset", "levels"), [("rotate360", 1), ("straight", 6)])
    def test_with_a_ready_path(self, capfd, preset, levels):
        code, out, err = dreamzoom(capfd, "example", "--preset", preset)
        request = validation.decode_request(out.encode())
        assert (code, err, request.preset, request.cameras, len(request.levels)) == (0, "", preset, [], levels)

    def test_with_a_path_that_is_not_there(self, capfd):
        code, _, err = dreamzoom(capfd, "example", "--preset", "spiral")
        assert (code, err.count("\n")) == (2, 1)
        assert "rotate360" in err

    def test_is_a_good_request(self, capfd):
        arguments = ("--levels", 4, "--size", "320x200", "--factor", 3, "--engine", "procedural")
        code, out, err = dreamzoom(capfd, "example", *arguments)
        request = validation.decode_request(out.encode())
        assert (code, err) == (0, "")
        assert (len(request.levels), request.width, request.height, request.zoom_factor) == (4, 320, 200, 3)

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--levels", "65"], "levels"),
            (["--levels", "0"], "levels"),
            (["--levels", "many"], "--levels"),
            (["--size", "640"], "--size"),
            (["--size", "8x8"], "width"),
            (["--factor", "1"], "zoom_factor"),
            (["--factor", "nan"], "zoom_factor"),
            (["--engine", "oracle"], "engine.name"),
            (["--sorcery"], "--sorcery"),
        ],
    )
    def test_refuses_in_one_line(self, capfd, arguments, text):
        code, out, err = dreamzoom(capfd, "example", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert text in err


class TestSchema:
    def test_knows_every_field_of_a_request(self, capfd):
        code, out, _ = dreamzoom(capfd, "schema")
        assert code == 0
        assert set(json.loads(out)["$defs"]["Request"]["properties"]) == set(schema.Request.__struct_fields__)


class TestGenerate:
    def test_refuses_bad_requests_in_one_line_that_names_the_field(self, capfd, tmp_path, bad_request):
        raw, field = bad_request
        code, out, err = dreamzoom(capfd, "generate", write(tmp_path / "r.json", raw), "--out", tmp_path / "job")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(field)
        assert not (tmp_path / "job").exists()

    @pytest.mark.parametrize("data", [b"", b'{"version": 1, "lev', b"\x00\x01", b'{"levels": [{"prompt": "\xff"}]}'])
    def test_refuses_what_is_no_json(self, capfd, tmp_path, data):
        (tmp_path / "r.json").write_bytes(data)
        code, _, err = dreamzoom(capfd, "generate", tmp_path / "r.json", "--out", tmp_path / "job")
        assert (code, err.count("\n"), err.startswith("request: must be valid JSON")) == (2, 1, True)

    def test_refuses_a_request_that_is_not_there(self, capfd, tmp_path):
        code, _, err = dreamzoom(capfd, "generate", tmp_path / "none.json", "--out", tmp_path / "job")
        assert (code, err.count("\n")) == (2, 1)
        assert "none.json" in err

    def test_finds_pictures_beside_the_request(self, capfd, tmp_path):
        request = example(1, (48, 32))
        request["levels"][0]["image"] = "none.png"
        code, _, err = dreamzoom(capfd, "generate", write(tmp_path / "r.json", request), "--out", tmp_path / "job")
        assert code == 2
        assert str(tmp_path / "none.png") in err

    def test_refuses_a_folder_that_holds_something_else(self, capfd, tmp_path):
        (tmp_path / "holiday.jpg").touch()
        request = write(tmp_path / "r.json", example(1, (48, 32)))
        code, _, err = dreamzoom(capfd, "generate", request, "--out", tmp_path)
        assert (code, err.count("\n")) == (1, 1)
        assert "no job" in err
        code, _, err = dreamzoom(capfd, "generate", request, "--out", request)
        assert (code, "is a file" in err) == (1, True)

    def test_refuses_a_folder_in_use(self, capfd, job):
        with Folder(job).lock():
            code, _, err = dreamzoom(capfd, "resume", job)
        assert (code, err.count("\n"), "another process" in err) == (1, 1, True)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process alone")
    def test_ctrl_c_cancels(self, tmp_path):
        request = write(tmp_path / "r.json", example(4, (256, 192)))
        process = start("generate", request, "--out", tmp_path / "job")
        assert process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 3
        assert err.decode().splitlines()[-1].startswith("cancelled")
        assert "Traceback" not in err.decode()

    def test_a_finished_job_is_found_finished(self, capfd, job):
        code, out, err = dreamzoom(capfd, "resume", job)
        assert code == 0
        assert "0 steps done" in err
        assert out.strip() == str(job / "result.json")


class TestLooking:
    def test_inspect(self, capfd, job):
        code, out, _ = dreamzoom(capfd, "inspect", job, "--json")
        found = json.loads(out)
        assert (code, found["finished"], len(found["levels"])) == (0, True, 1)
        assert found["levels"][0]["splat_count"] > 0
        assert {"zoom", "dream", "splat", "export"} <= found["stages"].keys()
        code, out, _ = dreamzoom(capfd, "inspect", job)
        assert (code, "finished" in out, "deep space" in out) == (0, True, True)

    def test_inspect_of_what_is_no_job(self, capfd, tmp_path):
        code, _, err = dreamzoom(capfd, "inspect", tmp_path)
        assert (code, err.count("\n"), "contains no job" in err) == (1, 1, True)

    def test_inspect_of_a_damaged_request(self, capfd, tmp_path):
        (tmp_path / "request.json").write_bytes(b"{")
        code, _, err = dreamzoom(capfd, "inspect", tmp_path)
        assert (code, err.count("\n")) == (2, 1)

    @pytest.mark.parametrize(
        "damage", ["{}", "[1]", "{", '{"levels": [{}]}', '{"levels": [{"index": 0, "splats": "../a"}]}']
    )
    @pytest.mark.parametrize("command", ["inspect", "render", "evaluate"])
    def test_a_damaged_result_is_told_of_with_the_remedy(self, capfd, job, tmp_path, command, damage):
        (tmp_path / "request.json").write_bytes((job / "request.json").read_bytes())
        (tmp_path / "result.json").write_text(damage, encoding="utf-8")
        out = ("--out", tmp_path / "out") if command == "render" else ()
        code, _, err = dreamzoom(capfd, command, tmp_path, *out)
        assert (code, err.count("\n")) == (1, 1)
        assert f"{tmp_path / 'result.json'} is damaged" in err
        assert "dreamzoom resume" in err

    def test_render(self, capfd, job, tmp_path):
        code, _, _ = dreamzoom(capfd, "render", job, "--out", tmp_path / "out", "--frames", "2-3", "--size", "40x30")
        assert code == 0
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["frame_00002.png", "frame_00003.png"]

    def test_render_of_frames_that_are_not_there(self, capfd, job, tmp_path):
        code, _, err = dreamzoom(capfd, "render", job, "--out", tmp_path / "out", "--frames", "900-901")
        assert (code, err.count("\n"), err.startswith("frames")) == (2, 1, True)

    def test_reference(self, capfd, tmp_path):
        request = write(tmp_path / "r.json", example(1, (48, 32)))
        code, _, _ = dreamzoom(capfd, "reference", request, "--out", tmp_path / "out", "--frames", "1")
        assert code == 0
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["frame_00001.npz", "frame_00001.png"]

    def test_evaluate(self, capfd, job):
        code, out, _ = dreamzoom(capfd, "evaluate", job, "--json")
        assert (code, json.loads(out)["psnr_mean"] > 15) == (0, True)

    def test_engines(self, capfd):
        code, out, _ = dreamzoom(capfd, "engines", "--json")
        assert (code, json.loads(out)[0]["name"]) == (0, "procedural")
        assert "ready" in dreamzoom(capfd, "engines")[1]


class TestErrors:
    def test_no_traceback_unless_asked_for(self, tmp_path, job):
        (tmp_path / "result.json").write_text("{}", encoding="utf-8")
        (tmp_path / "request.json").write_bytes((job / "request.json").read_bytes())
        for debug in (False, True):
            process = start(
                "render", tmp_path, "--out", tmp_path, environment={"DREAMZOOM_DEBUG": "1"} if debug else {}
            )
            _, err = process.communicate()
            assert process.returncode == 1
            assert (b"Traceback" in err) == debug
            assert debug or err.count(b"\n") == 1

    def test_a_closed_pipe_is_no_error_to_talk_about(self):
        process = start("example", "--levels", "64")
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 1


class Screen:
    """A stream that says it is a terminal, or not."""

    def __init__(self, live):
        self.live, self.text = live, ""

    def isatty(self):
        return self.live

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class TestTerminal:
    def test_a_bar_on_a_terminal(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.delenv("TERM", raising=False)
        screen = Screen(live=True)
        with Terminal(screen) as terminal:
            terminal.progress(Progress("dream", 2, 0.5, 61.0, "painting"))
            terminal.log("depth was scaled", "warning")
        lines = screen.text.replace("\n", "\r").split("\r")
        bar = next(line for line in lines if "%" in line)
        assert "50%" in bar
        assert "1:01 left" in bar
        assert "dream, level 2: painting" in bar
        assert max(map(len, lines)) < 80
        assert screen.text.endswith("warning: depth was scaled\n")

    def test_a_line_per_stage_elsewhere(self):
        screen = Screen(live=False)
        with Terminal(screen) as terminal:
            for fraction, level in ((0.1, 0), (0.2, 0), (0.5, 1), (1.0, 1)):
                terminal.progress(Progress("dream", level, fraction, None, "x"))
        assert screen.text == " 10% dream, level 0\n 50% dream, level 1\n"

    def test_clock(self):
        assert [clock(seconds) for seconds in (0.4, 7, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]

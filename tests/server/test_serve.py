"""The server process, spoken to as Blender speaks to it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from core.protocol import error_codes, messages
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow

GENEROUS = 30.0  # seconds, which only what hangs takes


class TestStart:
    def test_answers_at_once_who_it_is(self, server):
        answer = server.ask(1, "initialize")["result"]
        assert time.monotonic() - server.began < GENEROUS
        assert (answer["name"], answer["pid"]) == ("dreamzoom", server.process.pid)
        assert [row["name"] for row in answer["engines"]][0] == "procedural"
        assert all(row.keys() == {"name", "available", "reason", "remedy"} for row in answer["engines"])

    def test_imports_nothing_heavy_before_it_answers(self, server):
        """Seen from outside: no numeric library is mapped into the process when it has answered."""
        maps = Path(f"/proc/{server.process.pid}/maps")
        if not maps.exists():
            pytest.skip("only Linux shows what a process has loaded")
        server.ask(1, "initialize")
        assert not [name for name in ("torch", "numba", "scipy", "llvmlite") if f"/{name}/" in maps.read_text()]


def test_machine_tells_device_memory_engines_and_models(lasting_server):
    facts = lasting_server.ask("machine", "machine")["result"]
    assert facts["memory"]["total GB"] > 0 and facts["system"]["cores"] >= 1
    assert isinstance(facts["cards"], list) and isinstance(facts["models"], list)
    assert facts["engines"][0] == "procedural"


class TestEnd:
    def test_of_input_ends_it(self, server):
        server.ask(1, "initialize")
        server.process.stdin.close()
        assert server.process.wait(GENEROUS) == 0

    def test_of_input_ends_it_while_a_job_computes(self, server, tmp_path):
        server.send(1, "generate", request=example(12, (1024, 1024)), out=str(tmp_path / "job"))  # minutes
        while server.next()["method"] != "progress":
            pass
        time.sleep(1)
        server.process.stdin.close()
        assert server.process.wait(GENEROUS) == 0

    def test_shutdown_is_answered_first(self, server):
        assert server.ask(1, "shutdown")["result"] == {}
        assert server.process.wait(GENEROUS) == 0


class TestVerify:
    def test_names_damage_and_repairs_it(self, server, tmp_path, small_request):
        server.ask(1, "generate", request=small_request, out=str(tmp_path))
        assert server.ask(2, "verify", out=str(tmp_path))["result"]["damaged"] == []
        splats = tmp_path / "levels/000/splats.ply"
        before = splats.read_bytes()
        splats.unlink()
        wanted = [{"file": "levels/000/splats.ply", "what": "missing", "step": "levels/000/export"}]
        assert server.ask(3, "verify", out=str(tmp_path))["result"]["damaged"] == wanted
        assert server.ask(4, "verify", out=str(tmp_path), repair=True)["result"]["damaged"] == wanted
        assert splats.read_bytes() == before
        assert server.ask(5, "verify", out=str(tmp_path), repair=1.5)["error"]["data"]["field"] == "repair"
        assert server.ask(6, "verify", out=str(tmp_path / "none"))["error"]["code"] == error_codes.OTHER

    def test_a_job_is_resumed_with_the_request_that_it_was_begun_with_and_no_other(
        self, server, tmp_path, small_request
    ):
        server.ask(1, "generate", request=small_request, out=str(tmp_path))
        assert server.ask(2, "generate", out=str(tmp_path), resume=True)["result"]["out"] == str(tmp_path)
        twice = server.ask(3, "generate", out=str(tmp_path), resume=True, request=small_request)
        assert twice["error"]["data"]["field"] == "request"
        path = tmp_path / "request.json"
        path.write_bytes(path.read_bytes().replace(b"deep space", b"deer space"))
        changed = server.ask(4, "generate", out=str(tmp_path), resume=True)["error"]
        assert "request.json was damaged, or changed" in changed["message"] and "repair" in changed["data"]["remedy"]


class TestGenerate:
    def test_a_job_with_progress_and_artifacts(self, server, tmp_path, small_request):
        out = tmp_path / "Отпуск 山 é"
        answer = server.ask("job 1", "generate", request=small_request, out=str(out))
        assert Path(answer["result"]["result"]) == out / "result.json"
        assert json.loads((out / "result.json").read_bytes())["levels"][0]["index"] == 0
        told = [note["params"] for note in server.notifications if note["method"] == "progress"]
        assert all(
            note.keys() == {"id", "stage", "level", "levels", "fraction", "seconds_left", "message"} for note in told
        )
        assert told[-1]["fraction"] == 1
        assert {note["stage"] for note in told} <= set(messages.STAGES)
        assert {note["id"] for note in told} == {"job 1"}
        shown = [note["params"] for note in server.notifications if note["method"] == "artifact"]
        assert {"image", "cloud", "splats", "preview"} == set(messages.ARTIFACTS) == {note["kind"] for note in shown}
        assert all((out / note["path"]).is_file() for note in shown if note["path"] != "live.png")

    def test_cancel_is_noticed_and_the_job_goes_on_later(self, server, tmp_path, small_request):
        request = example(3, (160, 120))
        server.send(1, "generate", request=request, out=str(tmp_path / "job"))
        while server.next()["method"] != "progress":
            pass
        server.send(2, "generate", request=request, out=str(tmp_path / "other"))
        assert server.answer()["error"]["code"] == error_codes.BUSY
        assert server.ask(3, "cancel", id=99)["result"] == {"cancelled": False}
        server.send(4, "cancel", id=1)
        answers = {answer["id"]: answer for answer in (server.answer(), server.answer())}
        assert answers[4]["result"] == {"cancelled": True}
        assert answers[1]["error"]["code"] == error_codes.CANCELLED
        assert "result" in server.ask(5, "generate", request=small_request, out=str(tmp_path / "job"))


class TestRefusals:
    def test_of_bad_requests_name_the_field_and_the_server_lives_on(self, lasting_server, tmp_path, bad_request):
        raw, field = bad_request
        answer = lasting_server.ask(7, "generate", request=raw, out=str(tmp_path / "job"))
        assert answer["error"]["code"] == error_codes.BAD_REQUEST
        assert answer["error"]["data"]["field"].startswith(field)
        assert answer["error"]["data"]["message"].startswith(("must", "is"))
        assert lasting_server.ask(8, "initialize")["result"]["name"] == "dreamzoom"

    def test_of_a_picture_that_is_not_there(self, lasting_server, tmp_path, small_request):
        small_request["levels"][0]["image"] = "no such.png"
        answer = lasting_server.ask(1, "generate", request=small_request, out=str(tmp_path / "job"))
        assert answer["error"]["code"] == error_codes.BAD_REQUEST
        assert answer["error"]["data"]["field"] == "levels[0].image"

    def test_then_a_good_request_works_on_the_same_server(self, lasting_server, tmp_path, small_request):
        answer = lasting_server.ask(9, "generate", request=small_request | {"seed": -1}, out=str(tmp_path / "job"))
        assert answer["error"]["data"]["field"] == "seed"
        assert "result" in lasting_server.ask(10, "generate", request=small_request, out=str(tmp_path / "job"))

    @pytest.mark.parametrize(
        ("params", "field"),
        [
            ({}, "out"),
            ({"out": 3}, "out"),
            ({"out": "a\0b"}, "out"),
            ({"out": "job"}, "request"),
            ({"out": "job", "request": {}, "colour": 1}, "colour"),
        ],
    )
    def test_of_wrong_parameters(self, lasting_server, params, field):
        assert lasting_server.ask(1, "generate", **params)["error"]["data"]["field"] == field

    def test_of_a_folder_that_holds_something_else(self, lasting_server, tmp_path, small_request):
        (tmp_path / "holiday.jpg").touch()
        error = lasting_server.ask(1, "generate", request=small_request, out=str(tmp_path))["error"]
        assert (error["code"], "no job" in error["message"], bool(error["data"]["remedy"])) == (
            error_codes.OTHER,
            True,
            True,
        )

    def test_of_truncated_json_garbage_and_floods(self, lasting_server):
        lasting_server.body(b'{"jsonrpc": "2.0", "id": 1, "met')
        assert lasting_server.answer()["error"]["code"] == error_codes.PARSE_ERROR
        lasting_server.raw(b"\x00\xffGET / HTTP/1.1\r\n\r\n")
        lasting_server.send(2, "initialize")
        assert lasting_server.answer()["error"]["code"] == error_codes.PARSE_ERROR
        assert lasting_server.answer()["id"] == 2
        lasting_server.raw(b"Content-Length: 123456789012\r\n\r\n")
        assert lasting_server.answer()["error"]["code"] == error_codes.INVALID_REQUEST
        assert lasting_server.ask(3, "initialize")["id"] == 3

    def test_of_unknown_methods(self, lasting_server):
        assert lasting_server.ask(1, "destroy")["error"]["code"] == error_codes.UNKNOWN_METHOD


class TestIds:
    def test_of_a_running_request_is_refused_and_that_request_is_answered_once(self, lasting_server):
        lasting_server.send("same", "machine")
        lasting_server.send("same", "ping")
        lasting_server.send("same", "machine")
        answers = [lasting_server.answer() for _ in range(3)]
        refused = [answer for answer in answers if answer["id"] is None]
        assert [answer["error"]["data"]["id"] for answer in refused] == ["same", "same"]
        assert "result" in next(answer for answer in answers if answer["id"] == "same")

    def test_of_a_bad_request_is_told(self, lasting_server):
        lasting_server.body(b'{"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": [1]}')
        answer = lasting_server.answer()
        assert (answer["id"], answer["error"]["code"]) == (5, error_codes.INVALID_REQUEST)

    def test_notifications_are_not_answered(self, lasting_server):
        for method in ("initialize", "none", "generate", "ping"):
            lasting_server.body(json.dumps({"jsonrpc": "2.0", "method": method}).encode())
        lasting_server.send(7, "ping")
        assert lasting_server.answer() | {"result": 0} == {"jsonrpc": "2.0", "id": 7, "result": 0}

    def test_many_requests_at_once_are_refused_beyond_a_limit(self, lasting_server):
        for number in range(40):
            lasting_server.send(number, "machine")
        answers = [lasting_server.answer() for _ in range(40)]
        assert sorted(answer["id"] for answer in answers) == list(range(40))
        codes = {answer["error"]["code"] for answer in answers if "error" in answer}
        assert codes <= {error_codes.BUSY}


class TestUnreadOutput:
    def test_end_of_input_is_noticed_all_the_same(self, server):
        for number in range(3000):
            server.send(number, "none" * 10)
        server.process.stdin.close()
        assert server.process.wait(GENEROUS) == 0


class TestCrash:
    def test_a_killed_client_leaves_no_server(self, tmp_path):
        """The parent is killed the hard way; the server, which it started, ends by itself."""
        import subprocess
        import sys

        server_folder = Path(__file__).parents[2] / "server"
        program = (
            "import subprocess, sys, time\n"
            "p = subprocess.Popen([sys.executable, '-m', 'dreamzoom', 'serve'], stdin=subprocess.PIPE,"
            " stdout=subprocess.PIPE)\n"
            "print(p.pid, flush=True)\ntime.sleep(60)"
        )
        environment = os.environ | {"PYTHONPATH": str(server_folder)}
        parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
        end = time.monotonic() + GENEROUS
        while time.monotonic() < end and _lives(pid):
            time.sleep(0.05)
        assert not _lives(pid)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process alone")
def test_ctrl_c_ends_the_server_quietly(server):
    server.ask(1, "initialize")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(GENEROUS) == 0
    time.sleep(0.1)
    assert b"".join(server.errors) == b""


@pytest.mark.slow
def test_steps_run_where_the_client_says(server, tmp_path, small_request):
    out = str(tmp_path / "job")
    for executor, field in (("cloud", "executor"), (3, "executor"), ("local:0", "executor")):
        refused = server.ask(1, "generate", request=small_request, out=out, executor=executor)
        assert refused["error"]["data"]["field"] == field
    refused = server.ask(2, "generate", request=small_request, out=out, storage="s3://x")
    assert refused["error"]["data"]["field"] == "storage"
    assert server.ask(3, "generate", request=small_request, out=out, executor="local:2")["result"]["out"] == out


def test_what_is_kept_on_disk_is_listed_and_removed_by_name(server, tmp_path):
    job = tmp_path / "jobs" / "one"
    (job / "stages").mkdir(parents=True)
    (job / "request.json").write_text("{}")
    jobs = [str(tmp_path / "jobs")]
    found = server.ask(1, "leftovers", jobs=jobs)["result"]["found"]
    assert [one["path"] for one in found if one["kind"] == "job"] == [str(job)]
    assert server.ask(2, "leftovers", jobs="x")["error"]["data"]["field"] == "jobs"
    assert server.ask(3, "leftovers.remove", paths=[str(tmp_path)], jobs=jobs)["error"]["data"]["field"] == "path"
    assert server.ask(4, "leftovers.remove", paths=[str(job)], jobs=jobs)["result"]["removed"][0]["kind"] == "job"
    assert not job.exists()

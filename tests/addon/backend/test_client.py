"""The client against real processes: the real server where it matters, small ones that misbehave otherwise."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from addon import core
from addon.backend import client, launch, process_group, server_messages

SERVER = launch.code_folder()


@pytest.fixture
def start(tmp_path):
    """Start clients that are gone after the test."""
    started = []

    def make(*command):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        found = client.Client(command, environment | {"PYTHONPATH": str(SERVER)}, tmp_path / "server.log")
        started.append(found)
        return found

    yield make
    for found in started:
        found.close()


@pytest.fixture
def server(start, server_python):
    return start(server_python, "-m", "dreamzoom", "serve")


def collect(found, wanted, seconds=30):
    """Messages until `wanted` of them is true; that one is the last."""
    until = time.monotonic() + seconds
    seen = []
    while time.monotonic() < until:
        found.wait_for_message(0.2)
        for message in found.messages():
            seen.append(message)
            if wanted(message):
                return seen
    raise AssertionError(f"not among {seen}")


def answer(found, identity):
    return collect(found, lambda message: isinstance(message, dict) and message.get("id") == identity)[-1]


def ended(found):
    return collect(found, lambda message: isinstance(message, client.Ended))[-1]


class TestServer:
    def test_initialize_names_the_engines(self, server):
        result = answer(server, server.request("initialize", {}))["result"]
        assert "procedural" in {engine["name"] for engine in result["engines"]}
        assert result["pid"] == server.pid

    def test_a_bad_request_is_refused_and_the_server_lives_on(self, server, tmp_path):
        bad = {"version": 1, "levels": [], "cameras": []}
        error = answer(server, server.request("generate", {"request": bad, "out": str(tmp_path / "job")}))["error"]
        assert error["code"] == -32602
        assert error["data"]["field"]
        assert "result" in answer(server, server.request("initialize", {}))

    def test_a_method_that_is_none_is_refused(self, server):
        assert answer(server, server.request("dance", {}))["error"]["code"] == -32601

    def test_cancelling_nothing_is_no_accident(self, server):
        assert answer(server, server.request("cancel", {"id": 999}))["result"] == {"cancelled": False}

    def test_shutdown_ends_the_process(self, server):
        server.request("shutdown", {})
        assert ended(server).code == 0
        assert not server.is_alive

    def test_closing_ends_the_process_by_itself(self, server):
        answer(server, server.request("initialize", {}))
        server.close(patience=60)
        assert server._process.returncode == 0, "it was not killed"

    def test_two_servers_side_by_side(self, start, server_python):
        pair = [start(server_python, "-m", "dreamzoom", "serve") for _ in range(2)]
        pids = {answer(found, found.request("initialize", {}))["result"]["pid"] for found in pair}
        assert len(pids) == 2

    def test_dies_with_a_killed_parent(self, server_python, tmp_path):
        script = (
            "import os, sys, time; sys.path.insert(0, sys.argv[1]); from addon.backend.client import Client\n"
            "from pathlib import Path\n"
            "c = Client(sys.argv[2:], os.environ | {'PYTHONPATH': sys.argv[1] + '/server'}, Path('x.log'))\n"
            "c.request('initialize', {}); c.wait_for_message(30); print(c.pid, flush=True); time.sleep(60)"
        )
        # The modules alone and what they share with the server: the packages that they lie in need bpy
        for module in (client, process_group, server_messages, core):
            file = Path(module.__file__)
            copy = tmp_path / "addon" / file.parent.name / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
        (tmp_path / "server").symlink_to(SERVER, target_is_directory=True)
        parent = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), server_python, "-m", "dreamzoom", "serve"],
            stdout=subprocess.PIPE,
            cwd=tmp_path,
        )
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        until = time.monotonic() + 30
        while time.monotonic() < until and _runs(child):
            time.sleep(0.05)
        assert not _runs(child)


class TestMisbehaviour:
    def test_a_program_that_is_not_there(self, start):
        message = ended(start("/nowhere/python", "-m", "dreamzoom"))
        assert message.code is None
        assert "/nowhere/python" in message.reason

    def test_a_dead_server_is_reported_with_its_last_lines(self, start, tmp_path):
        found = start(sys.executable, "-c", "import sys; print('out of memory', file=sys.stderr); sys.exit(7)")
        message = ended(found)
        assert message.code == 7
        assert message.lines[-1] == "out of memory"
        assert "out of memory" in (tmp_path / "server.log").read_text()

    def test_output_that_is_no_protocol_ends_it(self, start):
        for told in ("hello", "Content-Length: 3\\n\\n[1]", "Content-Length: 2\\n\\nno"):
            message = ended(start(sys.executable, "-c", f"import time; print('{told}', flush=True); time.sleep(60)"))
            assert "can't be read" in message.reason

    def test_a_message_that_is_cut_off_is_told(self, start):
        message = ended(start(sys.executable, "-c", "import sys; print('Content-Length: 50\\n\\n{'); sys.exit(3)"))
        assert (message.code, "code 3 in the middle of a message" in message.reason) == (3, True)

    def test_a_server_that_does_not_listen_never_blocks(self, start):
        found = start(sys.executable, "-c", "import time; time.sleep(60)")
        found.request("generate", {"filler": "x" * 2_000_000})
        assert found.messages() == []
        assert found.is_alive, "nobody waited for its end"

    def test_a_talkative_server_s_log_stays_small(self, start, tmp_path):
        talk = "import sys\nfor k in range(40000): print('line', k, 'x' * 90, file=sys.stderr)"
        message = ended(start(sys.executable, "-c", talk))
        assert message.lines[-1].startswith("line 39999")
        assert (tmp_path / "server.log").stat().st_size < 2 * client.MAX_LOG


def _runs(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False

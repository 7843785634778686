"""A server that hangs, does not stop or sends what can't be: it is noticed, and ended with all that it has started."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from addon.backend import client, connection, launch, main_loop, server_messages

ANSWERS = """
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
sys.stderr.write(f"{child.pid}\\n"); sys.stderr.flush()
while True:
    length = int(sys.stdin.buffer.readline().split(b":")[1]); sys.stdin.buffer.readline()
    message = json.loads(sys.stdin.buffer.read(length))
    if message["method"] in ("ping", "initialize"):
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"working": True}}).encode()
        sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body); sys.stdout.buffer.flush()
"""


@pytest.fixture
def quick_pings(monkeypatch):
    monkeypatch.setattr(client, "PING_SECONDS", 0.2)


@pytest.fixture
def started(tmp_path):
    running = []

    def start(program):
        running.append(client.Client([sys.executable, "-c", program], dict(os.environ), tmp_path / "server.log"))
        return running[-1]

    yield start
    for found in running:
        found.kill()


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def lives(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


class TestHung:
    @pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no system to stop a process")
    def test_a_stopped_server_is_noticed_and_one_that_goes_on_too(self, quick_pings, started):
        server = started(ANSWERS)
        server.request("initialize", {})
        wait_until(lambda: server.is_working)
        wait_until(lambda: server.silence < 1)
        os.kill(server.pid, signal.SIGSTOP)
        wait_until(lambda: server.silence > 1)
        os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: server.silence == 0)

    def test_time_to_start_is_not_silence(self, quick_pings, started):
        server = started("import time; time.sleep(60)")
        time.sleep(1)
        assert server.silence == 0

    @pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no system to stop a process")
    def test_a_stopped_server_is_ended_with_its_children(self, started):
        server = started(ANSWERS)
        wait_until(lambda: server._last_lines)
        child = int(server._last_lines[0])
        os.kill(server.pid, signal.SIGSTOP)
        server.kill()
        wait_until(lambda: not server.is_alive and not lives(child))


class TestConnection:
    @pytest.fixture
    def link(self, dreamzoom, monkeypatch):
        monkeypatch.setattr(launch, "command", lambda: [sys.executable, "-c", ANSWERS])
        monkeypatch.setattr(connection, "CANCEL_SECONDS", 0.5)
        link = connection.Connection()
        yield link
        link.kill()
        main_loop.stop_all()

    def test_a_cancelled_request_that_does_not_stop_ends_the_server(self, link):
        received = []
        identity = link.request("generate", {}, received.append)
        process = link.client._process
        link.cancel(identity)
        wait_until(lambda: link.step() is None or received)
        assert isinstance(received[0], client.Ended) and received[0].is_wanted
        wait_until(lambda: process.poll() is not None)

    def test_a_receiver_that_fails_ends_the_request_once(self, link):
        received = []

        def receive(message):
            received.append(message)
            if not isinstance(message, client.Ended):
                raise KeyError("fraction")

        link.request("initialize", {}, receive)
        wait_until(lambda: link.step() is None or len(received) > 1)
        assert [type(message) for message in received] == [dict, client.Ended]
        assert link.client is None

    def test_a_server_that_still_works_on_what_was_cancelled_is_replaced(self, link, quick_pings):
        received = []
        link.request("initialize", {}, received.append)
        wait_until(lambda: (link.step(), received)[1])
        first = link.client
        wait_until(lambda: first.is_working)
        time.sleep(0.6)
        link.request("initialize", {}, received.append)
        assert link.client is not first
        wait_until(lambda: not first.is_alive)


def test_a_task_that_fails_ends_alone(dreamzoom, capfd):
    calls = []
    main_loop.start(lambda: 1 / 0)
    main_loop.start(lambda: calls.append(1) or 0.1)
    main_loop.pump()
    main_loop.pump()
    main_loop.stop_all()
    assert len(calls) == 2
    assert "ZeroDivisionError" in capfd.readouterr().err


PROGRESS = {"id": 1, "stage": "zoom", "level": None, "levels": 2, "fraction": 0.5, "seconds_left": None, "message": ""}
ARTIFACT = {"id": 1, "kind": "image", "level": 0, "path": "levels/000/image.png"}


def notification(method, params):
    return {"jsonrpc": "2.0", "method": method, "params": params}


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            {"id": 1, "result": {}},
            {"id": "a", "error": {"code": -1, "message": "x"}},
            {"id": None, "error": {"code": -1, "message": "x", "data": {}}},
            notification("progress", PROGRESS),
            notification("artifact", ARTIFACT),
            notification("later", {"id": 1}),
        ],
    )
    def test_good_ones(self, message):
        expected = message if "method" in message else message | {"attachment": b""}
        assert server_messages.parse(json.dumps(message).encode()) == expected

    @pytest.mark.parametrize(
        "message",
        [
            [],
            {},
            {"id": [1], "result": {}},
            {"id": 1, "result": 5},
            {"id": 1, "error": "x"},
            {"id": 1, "error": {"code": "x", "message": "x"}},
            {"id": 1, "error": {"code": 1, "message": None}},
            {"id": 1, "error": {"code": 1, "message": "x", "data": []}},
            notification(5, {}),
            notification("progress", []),
            notification("progress", PROGRESS | {"fraction": "half"}),
            notification("progress", PROGRESS | {"stage": None}),
            notification("progress", PROGRESS | {"levels": True}),
            notification("progress", PROGRESS | {"id": {}}),
            notification("log", {"id": 1, "level": "info", "message": 5}),
            notification("artifact", ARTIFACT | {"path": "../../x"}),
            notification("artifact", ARTIFACT | {"path": "a\0b"}),
            notification("artifact", ARTIFACT | {"path": 5}),
        ],
    )
    def test_bad_ones(self, message):
        with pytest.raises(ValueError):
            server_messages.parse(json.dumps(message).encode())

    def test_deep_large_and_infinite_ones(self):
        for body in (
            b"[" * 100_000,
            b'{"id":1,"result":{"x":[' + b"1," * 300_000 + b"1]}}",
            b'{"id":1,"result":{"x":NaN}}',
        ):
            with pytest.raises(ValueError):
                server_messages.parse(body)

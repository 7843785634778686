"""A whole installation from a package index of the test's own: killed in its middle, gone on with, and its progress."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import package_index
import pytest

from core import installation

pytestmark = pytest.mark.slow

SERVER = Path(__file__).resolve().parents[2] / "server"


class Run:
    """The installer as the add-on starts it, and what it has told.

    Attributes:
        events: Each with the index's bytes sent when it was read.
    """

    def __init__(self, index, script, folder, cache):
        command = [sys.executable, "-I", str(script), "--json", "--device", "cpu", "--python", sys.executable]
        command += ["--into", str(folder), "--log", str(folder.parent / "install.log")]
        self.index, self.events = index, []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, **index.variables(cache), "PYTHONUTF8": "1"},
            start_new_session=True,
        )

    def read_until(self, found):
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append((event, self.index.sent))
            if found(event):
                return True
        return False

    def finish(self):
        self.read_until(lambda event: False)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """An installation that was killed while it downloaded, and the one that went on."""
    base = tmp_path_factory.mktemp("安装 with spaces")
    wheels = package_index.stand_ins()
    index = package_index.Index(*wheels)
    script = package_index.skeleton(SERVER, base / "server", wheels)
    folder = base / "user data" / "环境"
    index.seconds_per_chunk = 0.004
    first = Run(index, script, folder, base / "cache")
    half = 3 * 1_500_000
    assert first.read_until(lambda event: event.get("step") == "download" and event.get("done", 0) > half), first.events
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait(30)
    between = installation.state(folder, "any"), installation.read_failure(folder)
    asked = list(index.asked)
    index.asked.clear()
    second = Run(index, script, folder, base / "cache")
    code = second.finish()
    yield {"first": first, "second": second, "code": code, "between": between, "asked": asked, "index": index,
           "folder": folder, "script": script, "wheels": wheels, "cache": base / "cache"}  # fmt: skip
    index.close()


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
class TestFlow:
    def test_a_killed_one_is_not_taken_for_whole(self, flow):
        assert flow["between"] == ("partial", None)

    def test_it_goes_on_to_the_end(self, flow):
        assert flow["code"] == 0, flow["second"].events[-1]
        wanted = installation.digest(installation.SERVER_PYTHON, [flow["script"].with_name("requirements.txt")])
        assert installation.state(flow["folder"], wanted, "cpu") == "ready"
        python = installation.environment_python(flow["folder"])
        subprocess.run([python, "-c", "import torch, av"], check=True)

    def test_what_was_downloaded_is_not_downloaded_again(self, flow):
        whole = [name for name in flow["asked"][:-1] if not name.startswith("pip")]
        assert len(whole) >= 2
        assert not set(whole) & set(flow["index"].asked)

    @pytest.mark.parametrize("run", ["first", "second"])
    def test_the_bar_only_grows_and_names_each_step(self, flow, run):
        standings = [event for event, _ in flow[run].events if event["event"] == "progress"]
        fractions = [standing["fraction"] for standing in standings]
        assert fractions == sorted(fractions)
        steps = list(dict.fromkeys(standing["step"] for standing in standings))
        assert steps == list(installation.STEPS[: len(steps)])

    def test_megabytes_are_those_that_were_sent(self, flow):
        pip = next(len(data) for name, data in flow["wheels"] if name.startswith("pip"))
        total = sum(len(data) for name, data in flow["wheels"]) - pip
        downloads = [(event, sent - pip) for event, sent in flow["first"].events if event.get("step") == "download"]
        assert {event["total"] for event, _ in downloads} == {total}
        told = [(event["done"], sent) for event, sent in downloads if event["text"]]
        assert len(told) >= 5
        for done, sent in told:
            assert -0.02 * total <= sent - done <= 0.35 * total  # what is on its way, and not read yet
        last = [event for event, _ in flow["second"].events if event.get("step") == "install"]
        assert last and all(event["done"] == event["total"] for event in last)

    def test_the_log_holds_what_pip_said(self, flow):
        assert "Successfully installed" in (flow["folder"].parent / "install.log").read_text(encoding="utf-8")

    def test_it_ends_when_its_blender_does(self, flow, tmp_path):
        run = Run(flow["index"], flow["script"], tmp_path / "environment", tmp_path / "cache")
        assert run.read_until(lambda event: event.get("step") == "environment")
        run.process.stdin.close()
        until = time.monotonic() + 30
        while run.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert run.process.poll() not in (None, 0)

"""Blender is killed while its server starts, waits or works: are the server and what it started gone in two seconds?
And a server that hangs: is it noticed in ten, and ended by Restart Server?

A real Blender, as a Python module, loads the add-on, starts the server as the artist's click does, and gets SIGKILL at
a random moment. All processes that descend from it are found by a variable of their environment.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

ENVIRONMENT = "bpy53"
SHORT = 2
FULL = 50
GONE, NOTICED = 2.0, 10.0
"""Seconds."""

VARIABLE = "DREAMZOOM_TORTURE"

ROOT = Path(__file__).resolve().parents[3]
CLIENT = """
import json, os, signal, subprocess, sys, time
root, folder, way = sys.argv[1:]
sys.path.insert(0, root)
import bpy
import addon
from addon.backend import current_job, launch, main_loop, preferences
from addon.backend.connection import connection

bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register()
launch.user_folder = lambda: __import__("pathlib").Path(folder, "user")
if way == "workers":
    preferences.DEFAULTS["executor"] = "local:2"
bpy.ops.dreamzoom.create_rig(levels=2 if way == "idle" else 3)
rig = bpy.context.view_layer.objects.active.dreamzoom
rig.quality, rig.size = "draft", 32 if way == "idle" else 640
rig.job_folder, rig.import_when_done = os.path.join(folder, "job"), False

def tell(**words):
    print("@" + json.dumps(words), flush=True)

def pump(until):
    while not until():
        main_loop.pump()
        connection.wait(0.02)

if sys.stdin.readline() != "go\\n":
    sys.exit(1)
bpy.ops.dreamzoom.generate()
server = connection.client._process
tell(server=server.pid)
if way == "starting":
    time.sleep(60)
pump(lambda: current_job.get().status != "starting")
if way == "idle":
    pump(lambda: not current_job.is_busy())
elif way == "cancelled":
    until = time.monotonic() + 0.7
    pump(lambda: time.monotonic() > until)
    bpy.ops.dreamzoom.cancel()
elif way == "held":
    held = subprocess.Popen(["sleep", "30"], pass_fds=[server.stdin.fileno()], start_new_session=True, env={},
                            stdin=-3, stdout=-3, stderr=-3)
    tell(held=held.pid)
tell(status=current_job.get().status)
if way == "undrained":
    for number in range(3000):
        connection.client.request("none" * 50, {})
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGSTOP)
if way == "hung":
    began = time.monotonic()
    os.kill(server.pid, signal.SIGSTOP)
    pump(lambda: connection.hung_seconds > 0)
    tell(noticed=time.monotonic() - began)
    bpy.ops.dreamzoom.restart_server()
    tell(ended=server.wait(20))
pump(lambda: False)
"""

WAYS = {
    "starting": 1.5,
    "working": 4.0,
    "held": 3.0,
    "undrained": 2.0,
    "cancelled": 0.6,
    "workers": 5.0,
    "idle": 1.0,
}
"""What Blender does, and how long after that at most, in seconds, it is killed."""


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Kill `rounds` Blenders."""
    if not Path("/proc/self/environ").exists():
        return True, "skipped: needs Linux to find all processes"
    ways = [list(WAYS)[number % len(WAYS)] for number in range(FULL)]
    if rounds is not None:
        ways = rng.sample(list(WAYS), rounds)
    gone, late, count = [], [], 0
    upcoming = _Blender(folder / "0", ways[0])
    for number, way in enumerate(ways):
        blender = upcoming
        if number + 1 < len(ways):
            upcoming = _Blender(folder / str(number + 1), ways[number + 1])  # starts meanwhile
        try:
            seconds, most = blender.killed(rng.uniform(0, WAYS[way]))
        finally:
            blender.end()
        gone.append(seconds)
        count = max(count, most)
        if seconds > GONE:
            late.append(f"{way}: {seconds:.1f} s")
    if rounds is None:
        late += [f"hung: noticed after {seconds:.1f} s" for seconds in [_noticed(folder)] if seconds > NOTICED]
    told = f"; late: {', '.join(late[:5])}" if late else ""
    told = told or ("; one that hangs is noticed in time and replaced" if rounds is None else "")
    return not late, (
        f"{sum(seconds <= GONE for seconds in gone)} of {len(ways)} servers, with up to {count} processes, gone within "
        f"{GONE:.0f} s of their Blender, the slowest after {max(gone):.2f} s{told}"
    )


def _noticed(folder: Path) -> float:
    """Seconds until a Blender has noticed that its server hangs; it then ends it."""
    blender = _Blender(folder / "hung", "hung")
    try:
        return blender.noticed()
    finally:
        blender.end()


class _Blender:
    """A Blender that waits with a rig.

    Args:
        folder: For its files; it does not exist yet.
        way: One of `WAYS`.
    """

    def __init__(self, folder: Path, way: str):
        folder.mkdir()
        self._way, self._mark, self._held = way, uuid.uuid4().hex, 0
        self._errors = (folder / "errors.txt").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(ROOT), str(folder), way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {VARIABLE: self._mark, "DREAMZOOM_SERVER_PYTHON": _server_python()},
        )

    def killed(self, after: float) -> tuple[float, int]:
        """Let it work, kill it so many seconds later; the seconds until all it started were gone, and their number."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._told("server")
        if self._way != "starting":
            if self._way == "held":
                self._held = self._told("held")
            if self._told("status") in ("failed", "done") and self._way != "idle":
                raise RuntimeError("the job is over before Blender was killed")
        time.sleep(after)
        began, most = time.monotonic(), len(_marked(self._mark)) - 1
        if most < 1:
            raise RuntimeError("there is no server")
        self._process.kill()
        self._process.wait()
        while (left := _marked(self._mark)) and time.monotonic() - began < 20:
            time.sleep(0.02)
        seconds = time.monotonic() - began
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return seconds, most

    def noticed(self) -> float:
        """Let it work with a server that stops answering; the seconds until it has noticed."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        seconds = self._told("noticed")
        if self._told("ended") >= 0:
            raise RuntimeError("the hung server was not killed")
        return seconds

    def end(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        for pid in [*_marked(self._mark), *([self._held] if self._held else [])]:
            os.kill(pid, signal.SIGKILL)

    def _told(self, name: str) -> Any:
        """A value that it tells. Raises RuntimeError if it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@") and name in (words := json.loads(line[1:])):
                return words[name]
        self._errors.seek(0)
        raise RuntimeError(f"Blender ended: {self._errors.read()[-500:]}")


def _server_python() -> str:
    import environments

    return os.environ.get("DREAMZOOM_SERVER_PYTHON") or str(environments.need("server"))


def _marked(mark: str) -> list[int]:
    """The processes that live and have the mark in their environment."""
    found, wanted = [], f"{VARIABLE}={mark}".encode()
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if wanted in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
            except OSError:
                continue  # of another user, or gone meanwhile
    return found

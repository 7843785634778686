"""The death of the client in all its forms: is the server gone within two seconds?

- the client is killed while the server does nothing, starts, or works;
- the client is killed, and a process that it had started before holds the server's standard input;
- nobody reads what the server says, and its input ends, or its client is killed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SHORT = 2
FULL = 50
GONE = 2.0
"""Seconds."""

CLIENT = """
import json, os, subprocess, sys, time
from dreamzoom.request.example import example
way, work, folder = sys.argv[1:]
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
variables = os.environ | {"DREAMZOOM_CLIENT": str(os.getpid())}
full, sink = os.pipe()
server = subprocess.Popen(
    [sys.executable, "-m", "dreamzoom", "serve"], stdin=subprocess.PIPE,
    stdout=sink if "unread" in way else subprocess.DEVNULL, stderr=sink if "unread" in way else subprocess.DEVNULL,
    env=variables, start_new_session=True,
)
def send(**message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    server.stdin.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
    server.stdin.flush()
if "grandchild" in way:
    held = subprocess.Popen(["sleep", "30"], pass_fds=[server.stdin.fileno()], start_new_session=True, **quiet)
    print(held.pid, file=sys.stderr, flush=True)
if work != "starting":
    send(id=1, method="initialize")
    time.sleep(1.0)
if work == "working":
    request = example(3, (640, 480))
    send(id=2, method="generate", params={"request": request, "out": folder + "/job"})
    time.sleep(0.5)
if "unread" in way:
    for number in range(2000):
        send(id=f"x{number}", method="none" * 10)
    time.sleep(0.3)
print(server.pid, flush=True)
if way == "unread end":
    server.stdin.close()
    print("closed", flush=True)
time.sleep(60)
"""

WAYS = ("killed", "grandchild", "unread grandchild", "unread end", "unread killed")
WORKS = ("starting", "idle", "working")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Let `rounds` clients die."""
    count = FULL if rounds is None else rounds
    gone, late = [], []
    for number in range(count):
        way, work = WAYS[number % len(WAYS)], rng.choice(WORKS)
        seconds = _die(rng, way, work, folder)
        gone.append(seconds)
        if seconds > GONE:
            late.append(f"{way} while {work}: {seconds:.1f} s")
    within = sum(seconds <= GONE for seconds in gone)
    told = f"; late: {', '.join(late[:5])}" if late else ""
    gone_in = f"{within} of {count} servers gone within {GONE:.0f} s of their client"
    return not late, f"{gone_in}, the slowest after {max(gone):.2f} s{told}"


def _die(rng: random.Random, way: str, work: str, folder: Path) -> float:
    """Let a client die in a way while its server does some work: the seconds until the server was gone."""
    pipe = subprocess.PIPE
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, way, work, str(folder)], stdout=pipe, stderr=pipe, text=True
    )
    held = int(client.stderr.readline()) if "grandchild" in way else 0
    server = int(client.stdout.readline())
    time.sleep(rng.uniform(0, 0.3))
    if way == "unread end":
        client.stdout.readline()
        began = time.monotonic()
    else:
        began = time.monotonic()
        client.kill()
    while time.monotonic() - began < 20 and _lives(server):
        time.sleep(0.01)
    seconds = time.monotonic() - began
    client.kill()
    client.communicate()
    for pid in (held, server):
        if pid and _lives(pid):
            os.kill(pid, signal.SIGKILL)
    return seconds


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return os.name != "posix" or not Path("/proc/self/stat").exists()

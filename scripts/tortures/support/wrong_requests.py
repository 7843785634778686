"""Requests that are well-formed but wrong, many at once: is each answered once, by its id, within a second?"""

from __future__ import annotations

import copy
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dreamzoom.request.example import example
from tortures.support.speaker import Speaker

AT_ONCE = 50
SLOWEST, GROWTH, THREADS = 1.0, 80.0, 24
"""Seconds until an answer; megabytes that the process may hold more afterwards; threads that it may have."""

VALUES = [
    None,
    True,
    -1,
    0,
    2**31,
    1e300,
    float("nan"),
    "",
    "x",
    "\0",
    "\ud83d",
    "é" * 5000,
    [],
    {},
    [[]] * 3,
    [0] * 500,
]


def send(rng: random.Random, count: int, folder: Path) -> tuple[bool, str]:
    """Send `count` wrong requests, fifty at a time: whether all went well, and figures."""
    speaker = Speaker(folder)
    good = example(2, (64, 48)) | {"quality": "draft"}
    speaker.send("warm", "generate", request=good | {"seed": -1}, out=str(folder / "job"))
    speaker.answer("warm", 300)
    slowest, lost, before, threads = 0.0, 0, speaker.memory(), 0
    for first in range(0, count, AT_ONCE):
        if first == count // 4 // AT_ONCE * AT_ONCE:
            before = speaker.memory()
        waiting = {}
        for number in range(first, min(first + AT_ONCE, count)):
            message = _wrong(rng, number, good, folder)
            body = json.dumps(message).encode()
            speaker.body(body)
            waiting[number] = time.monotonic()
        threads = max(threads, speaker.threads())
        slowest, missing = _collect(speaker, waiting, slowest)
        lost += missing
    growth = speaker.memory() - before
    alive = speaker.process.poll() is None
    speaker.end()
    passed = alive and slowest <= SLOWEST and not lost and growth <= GROWTH and threads <= THREADS
    return passed, (
        f"{count} wrong requests, {AT_ONCE} at a time: slowest answer {slowest:.2f} s, {lost} not answered once, "
        f"memory {growth:+.0f} MB, at most {threads} threads, {'alive' if alive else 'DEAD'}"
    )


def _collect(speaker: Speaker, waiting: dict[int, float], slowest: float) -> tuple[float, int]:
    """Wait for the answers to requests sent at these times: the slowest in seconds, and how many are not answered once.

    The requests are independent, so each takes its time from when the one before it was answered.
    """
    answers: Counter[int] = Counter()
    before = 0.0
    while len(answers) < len(waiting):
        try:
            message = speaker.wait(lambda message: "method" not in message and message.get("id") in waiting, 30)
        except TimeoutError:
            break
        answers[message["id"]] += 1
        slowest = max(slowest, message["arrived"] - max(before, waiting[message["id"]]))
        before = message["arrived"]
    return slowest, sum(answers[number] != 1 for number in waiting)


def _wrong(rng: random.Random, number: int, good: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A request that must be refused, or does nothing."""
    method = rng.choice(["generate"] * 6 + ["cancel", "initialize", "ping", "models.offer", "models.get", "none"])
    params: Any = {}
    if method == "generate":
        params = {"request": _changed(rng, good), "out": str(folder / "\0job")}  # refused even where it is valid
        if rng.random() < 0.2:
            params[rng.choice(["request", "out", "other"])] = rng.choice(VALUES)
        if params.get("out") != str(folder / "\0job"):
            params["request"] = {"seed": -1}
    elif method == "models.offer":
        params = {"name": rng.choice([None, 5, [], {}, True])}
    elif method == "models.get":
        params = {"offers": rng.choice(VALUES)}
    elif method == "cancel":
        params = {"id": rng.choice(VALUES)}
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _changed(rng: random.Random, good: dict[str, Any]) -> Any:
    """A request with one to three values at random places replaced or removed."""
    request: Any = copy.deepcopy(good)
    for _ in range(rng.randrange(1, 4)):
        holder, key = None, None
        node = request
        while isinstance(node, (dict, list)) and node and (holder is None or rng.random() < 0.8):
            holder, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = holder[key]
        if holder is None:
            continue
        if rng.random() < 0.3:
            del holder[key]
        else:
            holder[key] = rng.choice(VALUES)
    return request

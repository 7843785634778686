"""Cancel work at random moments: jobs of each engine, "Zoom Into", verification and downloads. How soon is the
cancellation answered, and how soon has work stopped?

A job is cancelled and resumed again and again until it is done, so that the moments lie in all its stages. Meanwhile
pings show whether anything keeps the server from answering.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.protocol import error_codes
from core.safety.seal import CHECK, sealed
from dreamzoom.request.example import example
from tortures.support import finished, jobs, slow_hub
from tortures.support.speaker import Speaker

SHORT = 1
FULL = 50
ANSWERED, STOPPED = 0.5, 2.0
"""Seconds after which a cancellation must have been answered, and its work have stopped but for one denoising step."""

SMALL = {"width": 96, "height": 64, "levels": [{"prompt": "sea"}, {"prompt": "moss"}], "cameras": example(2)["cameras"]}
LARGE = 4 << 30
"""Bytes of a file that is only read."""

TESTS = Path(__file__).resolve().parents[3] / "tests"


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Cancel `rounds` times in each kind of work."""
    count = FULL if rounds is None else rounds
    lines, passed = [], True
    with slow_hub.running() as variables:
        home = {"HF_HOME": str(folder / "home")}
        os.environ |= home | variables
        for name, (method, params) in _work(folder, rounds is not None).items():
            found = _Trial(rng, folder, method, params).run(count)
            lines.append(f"{name} {found}")
            print(f"  {name} {found}", flush=True)
            passed &= found.passed
    return passed, f"{count} cancellations in each; answered / stopped after at most: " + ", ".join(lines)


def _work(folder: Path, short: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """Methods and parameters, large enough that they take long."""
    out = {"out": str(folder / "job")}
    if short:
        return {"procedural": ("generate", out | {"request": example(2, (96, 64)) | {"quality": "draft"}})}
    requests = {
        "procedural": example(3, (1280, 720)),
        "spectral": example(3, (768, 512), engine="spectral"),
        "diffusion": _diffusion(folder),
        "zoom into": _zoom_into(folder),
    }
    work: dict[str, tuple[str, dict[str, Any]]] = {
        name: ("generate", out | {"request": request}) for name, request in requests.items()
    }
    work["verify"] = ("verify", {"out": str(_large_job(folder))})
    offers = [{"repository": slow_hub.REPOSITORY, "revision": slow_hub.COMMIT}]
    return work | {"download": ("models.get", {"offers": offers})}


def _diffusion(folder: Path) -> dict[str, Any]:
    """A request for networks with random weights."""
    sys.path.insert(0, str(TESTS))
    import models

    os.environ.pop("HF_HUB_OFFLINE", None)  # which the tests set, and the servers would inherit
    picture, depth = models.stable_diffusion(folder / "picture"), models.depth_anything(folder / "depth")
    engine = {"name": "diffusion", "model": str(picture), "depth_model": str(depth), "steps": 12, "device": "cpu"}
    return example(3, (384, 256)) | {"engine": engine}


def _zoom_into(folder: Path) -> dict[str, Any]:
    """A request that begins with a scene of splats."""
    finished.write_job(folder / "scene", np.random.default_rng(1), 1, 100_000)
    request = example(3, (480, 320))
    request["levels"][0]["splats"] = str(folder / "scene/levels/000/splats.ply")
    return request


def _large_job(folder: Path) -> Path:
    """A finished job one of whose files takes seconds to read."""
    root = jobs.copied(jobs.whole(), folder / "large")
    record = next(path for path in sorted((root / "stages").iterdir()) if path.name != "request.json")
    told = json.loads(record.read_bytes())
    told["outputs"]["levels/000/parts/large.npz"] = {"bytes": LARGE, "sha256": "0" * 64}
    record.write_text(json.dumps(sealed({key: item for key, item in told.items() if key != CHECK})) + "\n")
    with (root / "levels/000/parts/large.npz").open("wb") as file:
        file.truncate(LARGE)
    return root


class _Trial:
    """One kind of work, cancelled again and again.

    Attributes:
        answers, stops, pings: Seconds.
        passed: Whether all were within the limits.
    """

    def __init__(self, rng: random.Random, folder: Path, method: str, params: dict[str, Any]):
        self.rng, self.folder, self.method, self.params = rng, folder, method, params
        self.answers, self.stops, self.pings = [], [], []
        self.worst = self.worst_stop = ""

    def run(self, count: int) -> _Trial:
        speaker, patience, number, done = Speaker(self.folder), 0.6, 0, []
        job = self.folder / "job"
        if self.method == "generate":
            self._warm(speaker, job)
        while len(self.answers) < count:
            number += 1
            speaker.rest()
            speaker.send(number, self.method, **self.params)
            until = time.monotonic() + self.rng.uniform(0.02, 2 * patience)
            answer, stage = self._follow(speaker, number, until)
            if answer is None:
                self._cancel(speaker, number, stage)
            elif "error" in answer:
                raise RuntimeError(answer["error"]["message"])
            else:  # all is done: begin again
                shutil.rmtree(job, ignore_errors=True)
                shutil.rmtree(self.folder / "home", ignore_errors=True)
            records = sorted(file.name for file in (job / "stages").glob("*.json")) if job.exists() else []
            stands = self.method == "generate" and records == done  # a longer wait, so that a long step ends once
            patience = min(1.4 * patience, 60) if stands else 0.6
            done = records
        speaker.end()
        shutil.rmtree(job, ignore_errors=True)
        return self

    def _warm(self, speaker: Speaker, job: Path) -> None:
        """Compile, as the first job does."""
        request = self.params["request"]
        levels = [request["levels"][0] | {"prompt": "sea"}, *SMALL["levels"][1:]]
        speaker.send("warm", "generate", request=request | SMALL | {"levels": levels}, out=str(job))
        if "error" in (answer := speaker.answer("warm", 1200)):
            raise RuntimeError(answer["error"]["message"])
        shutil.rmtree(job)

    @property
    def passed(self) -> bool:
        return max(self.answers) <= ANSWERED and max(self.stops) <= STOPPED

    def __str__(self) -> str:
        slow = sum(stop > ANSWERED for stop in self.stops)
        return (
            f"{max(self.answers):.2f} ({self.worst}) / {max(self.stops):.2f} s ({self.worst_stop}; {slow} above "
            f"{ANSWERED} s), slowest ping {max(self.pings, default=0):.2f} s"
        )

    def _follow(self, speaker: Speaker, number: int, until: float) -> tuple[dict[str, Any] | None, str]:
        """The answer of a job (None if there is none before `until`) and the last stage that it told."""
        stage, ping = "start", None
        while (left := until - time.monotonic()) > 0:
            if ping is None:
                ping = speaker.send("ping", "ping")
            try:
                message = speaker.wait(lambda message: True, min(left, 0.1))
            except TimeoutError:
                if speaker.process.poll() is not None:
                    raise
                continue
            if message.get("id") == "ping":
                self.pings.append(message["arrived"] - ping)
                ping = None
                time.sleep(min(0.02, max(0.0, until - time.monotonic())))
            elif message.get("id") == number:
                return message, stage
            elif message.get("method") == "progress":
                stage = f"{message['params']['stage']} {message['params']['level']}"
        if ping is not None:
            self.pings.append(speaker.answer("ping")["arrived"] - ping)
        return None, stage

    def _cancel(self, speaker: Speaker, number: int, stage: str) -> None:
        began = speaker.send(f"cancel {number}", "cancel", id=number)
        answer = speaker.answer(number)
        if answer.get("error", {}).get("code") != error_codes.CANCELLED:
            return  # it was done just before
        answered = answer["arrived"] - began
        while speaker.ask("ping", "ping")["result"]["working"]:
            time.sleep(0.01)
        stopped = time.monotonic() - began
        if answered >= max(self.answers, default=0):
            self.worst = stage
        if stopped >= max(self.stops, default=0):
            self.worst_stop = stage
        self.answers.append(answered)
        self.stops.append(stopped)

"""Cancel jobs at random moments, in each engine: how soon is the cancellation answered, and how soon has work stopped?

A job is cancelled and resumed again and again until it is done, so that the moments lie in all its stages. Meanwhile
pings show whether anything keeps the server from answering.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from core.protocol import error_codes
from dreamzoom.request.example import example
from tortures.support.speaker import Speaker

SHORT = 1
FULL = 50
ANSWERED, STOPPED = 0.5, 2.0
"""Seconds after which a cancellation must have been answered, and its work have stopped but for one denoising step."""

SMALL = {"width": 96, "height": 64, "levels": [{"prompt": "sea"}, {"prompt": "moss"}], "cameras": example(2)["cameras"]}
TESTS = Path(__file__).resolve().parents[3] / "tests"


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Cancel `rounds` times in each engine."""
    short = rounds is not None
    count = FULL if rounds is None else rounds
    lines, passed = [], True
    for engine, request in _requests(folder, short).items():
        found = _Trial(rng, folder, request).run(count)
        lines.append(f"{engine} {found}")
        passed &= found.passed
    return passed, f"{count} cancellations in each engine; answered / stopped after at most: " + ", ".join(lines)


def _requests(folder: Path, short: bool) -> dict[str, dict[str, Any]]:
    """A request for each engine, large enough that its steps take long."""
    quick = example(2, (96, 64)) | {"quality": "draft"}
    if short:
        return {"procedural": quick}
    made = {
        "procedural": example(3, (1280, 720)),
        "spectral": example(3, (768, 512), engine="spectral"),
    }
    sys.path.insert(0, str(TESTS))
    import models

    picture, depth = models.stable_diffusion(folder / "picture"), models.depth_anything(folder / "depth")
    engine = {"name": "diffusion", "model": str(picture), "depth_model": str(depth), "steps": 12, "device": "cpu"}
    made["diffusion"] = example(3, (384, 256)) | {"engine": engine}
    return made


class _Trial:
    """One engine's job, cancelled again and again.

    Attributes:
        answers, stops, pings: Seconds.
        passed: Whether all were within the limits.
    """

    def __init__(self, rng: random.Random, folder: Path, request: dict[str, Any]):
        self.rng, self.folder, self.request = rng, folder, request
        self.answers, self.stops, self.pings = [], [], []
        self.worst = self.worst_stop = ""

    def run(self, count: int) -> _Trial:
        speaker, patience, number, done = Speaker(self.folder), 0.6, 0, []
        job = self.folder / "job"
        speaker.send("warm", "generate", request=self.request | SMALL, out=str(job))  # compiles, as the first job does
        if "error" in (answer := speaker.answer("warm", 1200)):
            raise RuntimeError(answer["error"]["message"])
        shutil.rmtree(job)
        while len(self.answers) < count:
            number += 1
            speaker.rest()
            speaker.send(number, "generate", request=self.request, out=str(job))
            until = time.monotonic() + self.rng.uniform(0.02, 2 * patience)
            answer, stage = self._follow(speaker, number, until)
            if answer is None:
                self._cancel(speaker, number, stage)
            elif "error" in answer:
                raise RuntimeError(answer["error"]["message"])
            else:
                shutil.rmtree(job)  # the whole job is done: begin again
            records = sorted(file.name for file in (job / "stages").glob("*.json")) if job.exists() else []
            patience = 0.6 if records != done else min(1.4 * patience, 60)
            done = records
        speaker.end()
        shutil.rmtree(job, ignore_errors=True)
        return self

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

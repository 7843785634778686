"""Many small jobs in one server: does its memory grow, does it keep files open or threads?"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from dreamzoom.request.example import example
from tortures.support.speaker import Speaker

SHORT = 2
FULL = 500
WARM = 50
"""Jobs after which what is kept on purpose (compiled code, the pools' threads) is there."""
GROWTH = 0.05
"""Share by which the memory may grow from then on."""

PROMPTS = ("a green leaf", "snowy mountains", "deep space", "a blue ocean", "a city at night")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Run `rounds` jobs, each in a new folder."""
    count = FULL if rounds is None else rounds
    speaker = Speaker(folder)
    failed, before, memory = 0, (0.0, 0, 0), 0.0
    for number in range(count):
        request = example(1, (rng.choice([32, 48]), 32)) | {"quality": "draft", "seed": rng.randrange(1000)}
        request["levels"][0]["prompt"] = rng.choice(PROMPTS)
        if rng.random() < 0.1:
            request["seed"] = -1  # refused
        speaker.send(number, "generate", request=request, out=str(folder / "job"))
        if rng.random() < 0.1:
            speaker.send(f"cancel {number}", "cancel", id=number)
        answer = speaker.answer(number, 600)
        failed += "error" in answer and answer["error"]["code"] not in (-32602, -32800)
        while speaker.ask("ping", "ping")["result"]["working"]:
            pass
        shutil.rmtree(folder / "job", ignore_errors=True)
        speaker.rest()
        if number == min(WARM, count // 2):
            before = speaker.memory(), speaker.descriptors(), speaker.threads()
    memory, files, threads = speaker.memory(), speaker.descriptors(), speaker.threads()
    speaker.end()
    growth = memory / before[0] - 1
    left = files - before[1]
    passed = not failed and left <= 0 and threads <= before[2] + 2 and (rounds is not None or growth <= GROWTH)
    return passed, (
        f"{count} jobs: memory {before[0]:.0f} → {memory:.0f} MB ({growth:+.1%}), {left:+d} open files, "
        f"{threads - before[2]:+d} threads, {failed} failed"
    )

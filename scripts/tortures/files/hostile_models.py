"""Model folders that anyone may have made: refused by name, quickly and without much memory, and the rest is listed."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable

from tortures.attacks import models

SHORT = 12
ROUNDS = 1500
MOST_SECONDS, MOST_BYTES = 1.0, 500 << 20
HANG_SECONDS = 20
OUTSIDE = "what lies outside the model"

Attack = Callable[[random.Random, pathlib.Path], str]
"""Spoils a whole model in a folder; returns a word that the refusal must contain, empty if it may be accepted too."""


def run(rng: random.Random, rounds: int | None, folder: pathlib.Path) -> tuple[bool, str]:
    """Spoil a model in a different way each round and list it, as `models` and `check` do and as a job begins.

    Passed if each answer comes in time, within the memory, and is a refusal that names the fault where there is one.
    """
    (folder / "outside.json").write_text(json.dumps({"text": OUTSIDE}), encoding="utf-8")
    wrong: list[str] = []
    slowest, largest, refused = 0.0, 0, 0
    attacks = attacks_by_name()
    names = list(attacks)
    count = rounds or ROUNDS
    for index in range(count):
        name = names[index % len(names)] if index < len(names) and count >= len(names) else rng.choice(names)
        model = models.whole_model(folder / "model")
        word = attacks[name](rng, model)
        reason, seconds, size = _listed(model)
        slowest, largest, refused = max(slowest, seconds), max(largest, size), refused + bool(reason)
        if (word and word not in reason) or OUTSIDE in reason:
            wrong.append(f"{name}: {reason!r:.200}")
        elif seconds > MOST_SECONDS or size > MOST_BYTES:
            wrong.append(f"{name}: {seconds:.1f} s, {size / 1e6:.0f} MB")
        remove(model)
    line = f"{count} models, {refused} refused, at most {slowest:.2f} s and {largest / 1e6:.0f} MB"
    return not wrong, line + (f", {len(wrong)} wrong: {wrong[0]}" if wrong else "")


def _listed(model: pathlib.Path) -> tuple[str, float, int]:
    """The reason why a model can't be used, the seconds of computing and the bytes of memory that it took to say so.

    In a process of its own, where that is cheap: so that one that hangs is ended, and memory is that of this model.
    Seconds of computing, as other processes may have the processor meanwhile; one that waits is ended.
    """
    from dreamzoom.engines.diffusion import catalogue

    if not hasattr(os, "fork"):
        began = time.process_time()
        return catalogue.entry("model", model).reason, time.process_time() - began, 0
    reading, writing = os.pipe()
    before = _resident()
    child = os.fork()
    if not child:
        signal.alarm(HANG_SECONDS)
        began = time.process_time()
        try:
            reason = catalogue.entry("model", model).reason
        except BaseException as error:  # no exception may come out of it
            reason = f"escaped: {type(error).__name__}: {error}"
        text = json.dumps([reason, time.process_time() - began])
        os.write(writing, text.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read()
    _, _, usage = os.wait4(child, 0)
    reason, seconds = json.loads(told) if told else ("no answer", float(HANG_SECONDS))
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return reason, seconds, max(0, peak - before)


def _resident() -> int:
    status = pathlib.Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def remove(model: pathlib.Path) -> None:
    """Remove what a round left."""
    if model.is_symlink():
        model.unlink()
    shutil.rmtree(model, ignore_errors=True)


def attacks_by_name() -> dict[str, Attack]:
    """All attacks; those with pipes and links only where the operating system has them."""
    found = {name: attack for name, attack in vars(models).items() if name.startswith("with_")}
    if not hasattr(os, "mkfifo"):
        found = {name: attack for name, attack in found.items() if "pipe" not in name and "link" not in name}
    return found

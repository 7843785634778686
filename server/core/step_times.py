"""How long the steps of jobs take on this machine: measured by the server, read by both sides for their estimates.

A file in the user's cache folder holds, for each kind of step at each size, the mean of the latest measurements. Where
it is missing, damaged or can't be written, estimates are less exact, and nothing else changes.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from .atomic_files import replacing
from .disk import cache_home
from .errors import RefusedFile
from .safety import bounded_json, limits

VARIABLE = "DREAMZOOM_STEP_TIMES"
"""Environment variable that names another file."""

NEWEST = 0.3
"""Weight of the newest measurement in the mean."""

TRUSTED, OUTLIER = 3, 3.0
"""After so many measurements a new one counts as at most so many times, and at least so small a part of, the mean."""

BY_PIXELS = 0.8
"""A step's time grows with so high a power of the count of pixels, where only another size has been measured."""

MAX_ENTRIES = 2000

DEEP = 2
"""From this level on, the steps of a stage take about as long."""

USUAL: dict[str, tuple[int, dict[str, tuple[float, float, float]]]] = {
    "draft": (
        240 * 135,
        {
            "image": (1.5, 1.2, 1.3),
            "dream": (1.6, 1.2, 1.1),
            "align": (0.2, 0.2, 0.25),
            "fit": (1.3, 1.3, 1.3),
            "export": (1.1, 1.8, 4.4),
        },
    ),
    "preview": (
        128 * 72,
        {
            "image": (0.8, 0.5, 0.6),
            "dream": (0.8, 0.7, 0.5),
            "align": (0.05, 0.2, 0.2),
            "fit": (4.7, 3.4, 4.1),
            "export": (0.4, 0.7, 0.9),
        },
    ),
    "final": (
        224 * 126,
        {
            "image": (1.4, 0.8, 0.8),
            "dream": (2.3, 1.4, 1.4),
            "align": (0.3, 0.35, 0.35),
            "fit": (13.5, 22.0, 22.0),
            "export": (2.8, 2.7, 2.7),
        },
    ),
}
"""By quality: a count of pixels, and by stage the seconds of the first level, the second, and a finer one, by the
procedural engine on two cores. Taken where nothing was measured on this machine.
"""

Times = dict[str, list[float]]
"""By `key`: [mean seconds, count of measurements]."""


def path() -> Path:
    """The file."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    return cache_home() / "dreamzoom" / "step_times.json"


def kind(stage: str, level: int | None) -> str:
    """Names the steps of a stage that take about as long: of the first level, the second, and all finer ones."""
    return stage if level is None else f"{stage}.{min(level, DEEP)}"


def first_job(engine: str) -> str:
    """In place of the engine's name: for the first job of a process, which loads code."""
    return f"{engine}, first job"


def key(engine: str, quality: str, stage: str, pixels: int) -> str:
    """Names a kind of step; sizes within a quarter of an octave of pixels are the same."""
    return f"{engine}/{quality}/{stage}/{round(4 * math.log2(max(pixels, 1)))}"


def read() -> Times:
    """All measurements; none where the file is missing or damaged."""
    try:
        found = bounded_json.read_json(path(), limits.RECORD_BYTES)
    except (OSError, RefusedFile):
        return {}
    return {name: entry for name, entry in found.items() if _is_entry(entry)} if isinstance(found, dict) else {}


def add(times: Times, name: str, seconds: float) -> None:
    """Add a measurement to the mean of its kind."""
    if math.isfinite(seconds) and seconds >= 0:
        mean, count = times.get(name, [seconds, 0.0])
        if count >= TRUSTED:  # one that is far off was held up by something else
            seconds = min(max(seconds, mean / OUTLIER), mean * OUTLIER)
        share = max(NEWEST, 1 / (count + 1))
        times[name] = [round(mean + share * (seconds - mean), 4), count + 1]


def write(times: Times) -> None:
    """Write the file; failing to do so is no error."""
    kept = dict(list(times.items())[-MAX_ENTRIES:])
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        with replacing(path()) as file:
            file.write(json.dumps(kept, indent=0).encode())
    except OSError:
        pass


def expected(times: Times, engine: str, quality: str, stage: str, pixels: int) -> float | None:
    """Seconds for a step, from measurements of the same size or else of the nearest; None where there are none."""
    exact = times.get(key(engine, quality, stage, pixels))
    if exact is not None:
        return exact[0]
    start = f"{engine}/{quality}/{stage}/"
    here = 4 * math.log2(max(pixels, 1))
    sizes = [(abs(int(name[len(start) :]) - here), name) for name in times if name.startswith(start)]
    if not sizes:
        return None
    _, name = min(sizes)
    return times[name][0] * 2 ** ((here - int(name[len(start) :])) / 4 * BY_PIXELS)


def usual(engine: str, quality: str, stage: str, pixels: int) -> float | None:
    """Seconds for a step where nothing was measured; None where that is not known."""
    if engine != "procedural" or quality not in USUAL:
        return None
    size, stages = USUAL[quality]
    name, _, level = stage.partition(".")
    if name not in stages:
        return None
    return stages[name][int(level or DEEP)] * (max(pixels, 1) / size) ** BY_PIXELS


def of_level(times: Times, engine: str, quality: str, pixels: int) -> tuple[float, bool]:
    """Seconds for a whole level, one of the finer ones, and whether that is measured."""
    for kind_of_job in (engine, first_job(engine)):
        start = f"{kind_of_job}/{quality}/"
        deepest: dict[str, str] = {}
        for name in sorted(name.split("/")[2] for name in times if name.startswith(start)):
            deepest[name.partition(".")[0]] = name
        found = [expected(times, kind_of_job, quality, stage, pixels) or 0.0 for stage in deepest.values()]
        if found:
            return sum(found), True
    size, stages = USUAL.get(quality, USUAL["preview"])
    return sum(seconds[DEEP] for seconds in stages.values()) * (pixels / size) ** BY_PIXELS, False


def _is_entry(entry: Any) -> bool:
    numbers = isinstance(entry, list) and len(entry) == 2 and all(isinstance(value, int | float) for value in entry)
    return numbers and all(math.isfinite(value) and value >= 0 for value in entry)

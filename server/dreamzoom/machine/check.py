"""Describes this machine and runs the measurements. A measurement that fails does not stop the others; each result is
printed and saved as soon as it is available.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import BadRequest
from dreamzoom.machine import facts

MINUTES = 8.0
ROOM = 12 << 30
"""Minimum GPU memory, in bytes, for measurements with networks of SDXL's size."""

Say = Callable[[str], None]


def check(
    say: Say,
    file: Path | None = None,
    parts: Sequence[str] | None = None,
    size: str = "auto",
    minutes: float = MINUTES,
) -> dict[str, Any]:
    """Describe and measure this machine.

    Args:
        say: Receives each line of output as soon as it is available.
        file: JSON file that is written again after each part.
        parts: Names of the measurements; None for no measurement, empty for all.
        size: Size of the networks: "sdxl", "small", or "auto" for the largest that fits.
        minutes: After this time no further part starts, and long parts stop.

    Returns:
        The content of the file: "facts" by subject, and "parts", each with its name, seconds and figures or error.

    Raises:
        BadRequest: There is no such part or size.
    """
    found: dict[str, Any] = {"facts": facts.facts(), "parts": []}
    for line in facts.lines(found["facts"]):
        say(line)
    _keep(file, found)
    if parts is None:
        return found
    deadline = time.monotonic() + minutes * 60
    bench, chosen = _bench(parts, size, deadline)
    say(f"networks of size {bench.size.name} with random weights, in {bench.where.dtype} on {bench.where.device}")
    for name, measure in chosen.items():
        left = deadline - time.monotonic()
        entry = {"part": name, "error": "skipped: no time left"} if left <= 0 else _measured(name, measure, bench)
        found["parts"].append(entry)
        _keep(file, found)
        for line in lines(entry):
            say(line)
    return found


def lines(entry: dict[str, Any]) -> list[str]:
    """Format one part as text, with one line for each figure."""
    head = f"{entry['part']:10} {entry.get('seconds', 0.0):7.1f} s"
    if "error" in entry:
        return [f"{head}  {entry['error'].splitlines()[-1]}"]
    return [head] + [f"    {key:44} {value}" for key, value in entry["figures"].items()]


def _bench(parts: Sequence[str], size: str, deadline: float):
    from dreamzoom.engines.diffusion import loading
    from dreamzoom.machine.measurements import PARTS, Bench
    from dreamzoom.machine.random_networks import SIZES

    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise BadRequest("part", f"must be one of {', '.join(PARTS)}; got {unknown[0]!r}")
    if size not in ("auto", *SIZES):
        raise BadRequest("size", f"must be auto or one of {', '.join(SIZES)}; got {size!r}")
    where = loading.placement("auto", "auto")
    chosen = SIZES[_fitting(where.device) if size == "auto" else size]
    return Bench(chosen, where, deadline), {name: PARTS[name] for name in parts or PARTS}


def _fitting(device) -> str:
    from dreamzoom.engines.diffusion.memory import free_bytes

    return "sdxl" if device.type != "cpu" and free_bytes(device) > ROOM else "small"


def _measured(name: str, measure: Callable[[Any], dict[str, Any]], bench: Any) -> dict[str, Any]:
    from dreamzoom.engines.diffusion.memory import release

    began = time.perf_counter()
    try:
        figures = {"figures": measure(bench)}
    except Exception:  # any error of a driver or library is reported; the other parts still run
        figures = {"error": traceback.format_exc().strip()}
    release()
    return {"part": name, "seconds": round(time.perf_counter() - began, 1)} | figures


def _keep(file: Path | None, found: dict[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")

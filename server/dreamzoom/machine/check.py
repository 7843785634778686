"""Looks at this machine, measures it part by part, and keeps what was found: each part in its own try, told at once."""

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
"""Bytes of a card's memory from which on networks of SDXL's size are measured."""

Say = Callable[[str], None]


def check(
    say: Say,
    file: Path | None = None,
    parts: Sequence[str] | None = None,
    size: str = "auto",
    minutes: float = MINUTES,
) -> dict[str, Any]:
    """Everything that there is to know of this machine.

    Args:
        say: Takes a line as soon as it is known.
        file: Where all is kept as JSON, written anew after each part.
        parts: What to measure, by name; None measures nothing, empty all.
        size: Of the networks: "sdxl", "small", or "auto" for what the machine has room for.
        minutes: After so many no other part begins, and the long ones stop.

    Returns:
        What is in the file: "facts" by subject and "parts", each with its name, seconds and figures or error.

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
        entry = {"part": name, "error": "left out: no time left"} if left <= 0 else _measured(name, measure, bench)
        found["parts"].append(entry)
        _keep(file, found)
        for line in lines(entry):
            say(line)
    return found


def lines(entry: dict[str, Any]) -> list[str]:
    """One part for people: a line for each figure."""
    head = f"{entry['part']:10} {entry.get('seconds', 0.0):7.1f} s"
    if "error" in entry:
        return [f"{head}  {entry['error'].splitlines()[-1]}"]
    return [head] + [f"    {key:44} {value}" for key, value in entry["figures"].items()]


def _bench(parts: Sequence[str], size: str, deadline: float):
    from dreamzoom.engines.diffusion import loading
    from dreamzoom.machine.networks import SIZES
    from dreamzoom.machine.parts import PARTS, Bench

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
    except Exception:  # whatever a driver or a library raises: the other parts go on, and the report tells
        figures = {"error": traceback.format_exc().strip()}
    release()
    return {"part": name, "seconds": round(time.perf_counter() - began, 1)} | figures


def _keep(file: Path | None, found: dict[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")

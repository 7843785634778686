"""A summary of a job's folder, finished or not: levels, counts, file sizes, seconds per stage."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from core.errors import RefusedFile
from core.protocol.result import Note, notes_of
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import read_request, read_result
from dreamzoom.pipeline.integrity.verify import as_json, verify
from dreamzoom.pipeline.records import is_count, records
from dreamzoom.stages.base import layout


def inspect(folder: Folder) -> dict[str, Any]:
    """Summarise a job.

    Returns:
        "finished", "engine", "quality", "seed", "size", "zoom_factor"; "levels": per level its prompt, names of its
        finished steps, numbers of points and splats (None if not finished), bytes; "refined": per group of levels of
        the second pass "first", "last", "links", "before_db", "after_db"; "stages": seconds by stage; "seconds" and
        "bytes" of the whole job; "notes": what was guessed or changed in the artist's files, if it is finished;
        "damaged": the files that are not as they were made, as `verify` finds quickly.

    Raises:
        DreamzoomError: The folder contains no job.
    """
    request = read_request(folder)
    count = len(request.levels)
    done = [record for record in records(folder) if record["level"] is None or record["level"] < count]
    counts = _counts(folder)
    stages: dict[str, float] = {}
    for record in done:
        stages[record["stage"]] = round(stages.get(record["stage"], 0.0) + record["seconds"], 3)
    levels = []
    for index, level in enumerate(request.levels):
        own = [record for record in done if record["level"] == index]
        levels.append(
            {
                "index": index,
                "prompt": level.prompt,
                "steps": [record["step"] for record in own],
                "points": counts.get(index, {}).get("points"),
                "splat_count": counts.get(index, {}).get("splat_count"),
                "bytes": _bytes(own),
                "seconds": round(sum(record["seconds"] for record in own), 3),
            }
        )
    return {
        "folder": str(folder.root),
        "finished": folder.exists(layout.RESULT.path()),
        "engine": request.engine.__struct_config__.tag,
        "quality": request.quality,
        "seed": request.seed,
        "size": [request.width, request.height],
        "zoom_factor": request.zoom_factor,
        "levels": levels,
        "refined": _refined(folder, count),
        "stages": stages,
        "seconds": round(sum(stages.values()), 3),
        "bytes": _bytes(done),
        "notes": _notes(folder),
        "damaged": as_json(verify(folder, quick=True))["damaged"],
    }


def table(found: dict[str, Any]) -> str:
    """Format the result of `inspect` as text for a terminal."""
    width, height = found["size"]
    state = "finished" if found["finished"] else "not finished: continue it with `dreamzoom resume`"
    lines = [
        f"{found['folder']}: {state}",
        f"engine {found['engine']}, quality {found['quality']}, seed {found['seed']}, {width}×{height}, "
        f"zoom factor {found['zoom_factor']:g}",
        "",
        "level    points    splats        MB  seconds  prompt",
    ]
    for level in found["levels"]:
        points, splats = (
            "-" if level[name] is None else f"{level[name]:,}".replace(",", " ") for name in ("points", "splat_count")
        )
        prompt = level["prompt"] if len(level["prompt"]) <= 48 else level["prompt"][:47] + "…"
        lines.append(
            f"{level['index']:5}{points:>10}{splats:>10}{level['bytes'] / 1e6:10.1f}{level['seconds']:9.1f}  {prompt}"
        )
    for group in found["refined"]:
        if group["links"]:
            lines.append(
                f"levels {group['first']} to {group['last']}: views agree to {group['after_db']:.1f} dB, "
                f"before the second pass to {group['before_db']:.1f} dB"
            )
    lines += ["", "stage      seconds"]
    lines += [f"{stage:10}{seconds:8.1f}" for stage, seconds in found["stages"].items()]
    lines += [f"{'all':10}{found['seconds']:8.1f}", "", f"{found['bytes'] / 1e6:.1f} MB"]
    if found["notes"]:
        lines += ["", "guessed or changed when files were read:"]
        lines += [f"  {note['text']}" if note["level"] is None else _of_level(note) for note in found["notes"]]
    if found["damaged"]:
        lines += ["", f'damaged; "dreamzoom verify --repair {found["folder"]}" makes them as they were:']
        lines += [f"  {one['file']}: {one['what']}" for one in found["damaged"]]
    return "\n".join(lines)


def _of_level(note: Note) -> str:
    return f"  level {note['level']}: {note['text']}"


def _notes(folder: Folder) -> list[Note]:
    """The notes of the finished job's result."""
    return notes_of(read_result(folder)) if folder.exists(layout.RESULT.path()) else []


def _counts(folder: Folder) -> dict[int, Mapping[str, object]]:
    """Counts of points and splats by level, as the finished job's result tells them."""
    if not folder.exists(layout.RESULT.path()):
        return {}
    return {level["index"]: level for level in read_result(folder)["levels"]}


def _refined(folder: Folder, count: int) -> list[dict[str, Any]]:
    """The gain in consistency of each group of levels in the second pass, read from the group's first level."""
    names = [layout.AGREEMENT.path(level) for level in range(count)]
    found = []
    for name in names:
        with contextlib.suppress(FileNotFoundError, RefusedFile):  # a damaged one is listed as such
            group = folder.read_json(name)
            if _is_group(group):
                found.append(group)
    return found


def _is_group(value: Any) -> bool:
    """Whether a value of a file is what the second pass writes of a group."""
    if not isinstance(value, dict) or not all(is_count(value.get(name)) for name in ("first", "last", "links")):
        return False
    gains = [value.get(name) for name in ("before_db", "after_db")]
    return not value["links"] or all(isinstance(gain, (int, float)) and abs(gain) < 1e6 for gain in gains)


def _bytes(done: list[dict[str, Any]]) -> int:
    return sum(entry["bytes"] for record in done for entry in record["outputs"].values())

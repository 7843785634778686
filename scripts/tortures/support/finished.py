"""Finished jobs as Blender imports them, made without a server. Needs numpy alone, so that it runs in Blender."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from core.safety.seal import CHECK, sealed

SPLATS = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2")
SPLATS += ("rot_0", "rot_1", "rot_2", "rot_3")


def write_job(folder: Path, rng: np.random.Generator, levels: int, count: int) -> dict[str, Any]:
    """Write a finished job with `count` points and splats a level; returns its result."""
    entries, files = [], {}
    for level in range(levels):
        base = f"levels/{level:03d}"
        (folder / base).mkdir(parents=True)
        points = np.zeros(
            count, [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
        )
        splats = np.zeros(count, [(name, "<f4") for name in SPLATS])
        for table in (points, splats):
            for name in "xyz":
                table[name] = rng.normal(size=count)
        splats["rot_0"], splats["opacity"] = 1, 3
        splats["scale_0"] = splats["scale_1"] = splats["scale_2"] = -4
        entry: dict[str, Any] = {"index": level, "prompt": f"level {level}"}
        for name, table in (("cloud", points), ("splats", splats)):
            _write_ply(folder / base / f"{name}.ply", table)
            entry[name] = f"{base}/{name}.ply"
            files[entry[name]] = hashlib.sha256((folder / entry[name]).read_bytes()).hexdigest()
        entries.append(entry)
    return write_result(folder, {"version": 2, "zoom_factor": 2.0, "levels": entries, "files": files, "cameras": []})


def write_result(folder: Path, value: dict[str, Any]) -> dict[str, Any]:
    """Write a result with its own check."""
    found = sealed({key: item for key, item in value.items() if key != CHECK})
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    return found


def _write_ply(path: Path, table: np.ndarray) -> None:
    kinds = {"f4": "float", "u1": "uchar"}
    lines = [f"property {kinds[kind[1:]]} {name}" for name, kind in table.dtype.descr]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}", *lines, "end_header", ""]
    path.write_bytes("\n".join(header).encode() + table.tobytes())

"""Many imports and deletions in one Blender: does its memory grow, is any datablock left?"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np

ENVIRONMENT = "bpy53"
SHORT = 3
FULL = 50
WARM = 10
GROWTH = 0.05
"""Share by which the memory may grow after the first WARM rounds."""

LEVELS = 3
SPLATS = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2")
SPLATS += ("rot_0", "rot_1", "rot_2", "rot_3")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Create a rig, import a job twice and delete the rig, `rounds` times."""
    import bpy

    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import addon
    from addon.results import importer

    count = FULL if rounds is None else rounds
    write_job(folder / "job", np.random.default_rng(rng.randrange(2**32)), 3000 if rounds is None else 200)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    before, memory, left = 0.0, 0.0, {}
    for number in range(count):
        bpy.ops.dreamzoom.create_rig(levels=LEVELS)
        root = bpy.context.view_layer.objects.active
        for _ in range(2):
            importer.import_job(root, folder / "job")
        bpy.ops.dreamzoom.delete_rig()
        blocks = datablocks()
        if number == 0:
            first = blocks
        left = {name: blocks[name] - first[name] for name in blocks if blocks[name] != first[name]}
        if number == min(WARM, count // 2):
            before = held()
    memory = held()
    addon.unregister()
    growth = memory / before - 1
    passed = not left and (rounds is not None or growth <= GROWTH)
    return passed, (
        f"{count} rounds of two imports and a deletion: memory {before:.0f} → {memory:.0f} MB ({growth:+.1%}), "
        f"datablocks left: {', '.join(f'{name} {more:+d}' for name, more in left.items()) or 'none'}"
    )


def datablocks() -> dict[str, int]:
    """How many datablocks of each kind there are."""
    import bpy

    kinds = (
        "objects",
        "meshes",
        "pointclouds",
        "materials",
        "node_groups",
        "images",
        "collections",
        "actions",
        "cameras",
    )
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds if hasattr(bpy.data, kind)}


def held() -> float:
    """Megabytes of main memory that this process holds now (Linux)."""
    import os

    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def write_job(folder: Path, rng: np.random.Generator, count: int) -> None:
    """Write a finished job with `count` points and splats a level."""
    entries = []
    for level in range(LEVELS):
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
        _write_ply(folder / base / "cloud.ply", points)
        _write_ply(folder / base / "splats.ply", splats)
        entries.append({"index": level, "cloud": f"{base}/cloud.ply", "splats": f"{base}/splats.ply"})
    (folder / "result.json").write_text(json.dumps({"version": 1, "zoom_factor": 2.0, "levels": entries}))


def _write_ply(path: Path, table: np.ndarray) -> None:
    kinds = {"f4": "float", "u1": "uchar"}
    lines = [f"property {kinds[kind[1:]]} {name}" for name, kind in table.dtype.descr]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}", *lines, "end_header", ""]
    path.write_bytes("\n".join(header).encode() + table.tobytes())

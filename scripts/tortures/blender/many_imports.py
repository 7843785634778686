"""Many imports and deletions in one Blender: does its memory grow, is any datablock left?"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np

from tortures.support import finished

ENVIRONMENT = "bpy53"
SHORT = 3
FULL = 50
WARM = 10
GROWTH = 0.05
"""Share by which the memory may grow after the first WARM rounds."""

LEVELS = 3


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Create a rig, import a job twice and delete the rig, `rounds` times."""
    import bpy

    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import addon
    from addon.results import importer

    count = FULL if rounds is None else rounds
    made = np.random.default_rng(rng.randrange(2**32))
    finished.write_job(folder / "job", made, LEVELS, 3000 if rounds is None else 200)
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

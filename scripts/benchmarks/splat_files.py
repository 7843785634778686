"""Reading and writing files of splats: seconds and megabytes."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from core import formats
from core.gaussians import Gaussians

CASES = [(".ply", 0, 2_000_000), (".ply", 3, 2_000_000), (".compressed.ply", 0, 500_000), (".spz", 0, 500_000)]
CASES += [(".splat", 0, 500_000)]
REPEATS = 3
TARGETS = {(".ply", 0): (0.5, 1.0)}
"""Seconds to read and to write."""


def rows() -> list[dict]:
    """One row per kind of file: the best of three times to read and write it."""
    return [_row(*case) for case in CASES]


def _row(ending: str, degree: int, count: int) -> dict:
    splats = _splats(count, degree)
    reads, writes = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"splats{ending}"
        for _ in range(REPEATS):
            start = time.perf_counter()
            formats.write(path, splats)
            middle = time.perf_counter()
            back = formats.read(path).splats
            reads.append(time.perf_counter() - middle)
            writes.append(middle - start)
            if len(back) != count:
                raise RuntimeError(f"{ending}: {len(back)} of {count} splats came back")
        megabytes = path.stat().st_size / 1e6
    read_target, write_target = TARGETS.get((ending, degree), (None, None))
    return {
        "file": ending,
        "splats": count,
        "sh_degree": degree,
        "megabytes": round(megabytes, 1),
        "read_s": round(min(reads), 3),
        "read_target_s": read_target,
        "write_s": round(min(writes), 3),
        "write_target_s": write_target,
    }


def _splats(count: int, degree: int) -> Gaussians:
    rng = np.random.default_rng(0)
    quaternions = rng.standard_normal((count, 4), dtype=np.float32)
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return Gaussians(
        rng.standard_normal((count, 3), dtype=np.float32),
        rng.standard_normal((count, 3), dtype=np.float32) - np.float32(5),
        quaternions,
        rng.standard_normal(count, dtype=np.float32),
        rng.standard_normal((count, (degree + 1) ** 2, 3), dtype=np.float32),
    )


def main():
    """Print the rows, as a table or as JSON."""
    table = rows()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"rows": table}) + "\n")
        return
    columns = list(table[0])
    for line in [columns, *([str(row[column]) for column in columns] for row in table)]:
        sys.stdout.write("".join(f"{cell:>16}" for cell in line) + "\n")


if __name__ == "__main__":
    main()

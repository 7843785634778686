"""Runs in Blender's Python: 100 MB to and from a server that sees no folder of this machine, moved by the add-on.

    python ssh_in_blender.py SCRATCH

Prints one JSON object. The environment names the server's Python (DREAMZOOM_SERVER_PYTHON).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "server"), str(ROOT / "scripts")]

from addon.backend.client import Client  # noqa: E402
from addon.backend.remote.link import ConnectionCut, Link  # noqa: E402
from addon.backend.remote.mirror import Mirror  # noqa: E402
from addon.backend.remote.transfer import FAILED, SENT, WHOLE, Transfer  # noqa: E402
from benchmarks.cluster import distant  # noqa: E402

MEGABYTES = 100
LEVELS = 4
VALUES = ("x", "y", "z", "r", "g", "b", "a", "s0", "s1", "s2", "q0", "q1", "q2", "q3")
ROW = np.dtype([(name, "<f4") for name in (*VALUES, "nx", "ny", "nz")] + [("view", "<i4")])


class Measurement:
    """The machine there and the folders here."""

    def __init__(self, scratch: Path):
        self.scratch, self.far = scratch, scratch / "far"
        self.far.mkdir()
        self._count = 0

    def connect(self, *options: object) -> Client:
        """A server there, behind a new connection."""
        self._count += 1
        command = distant.server_command(os.environ["DREAMZOOM_SERVER_PYTHON"], self.far, *options)
        client = Client(command, dict(os.environ), self.scratch / f"log{self._count}")
        Link(client).ask("initialize", {})
        return client

    def job(self, name: str, file: str, make) -> tuple[Path, Path]:
        """A job there whose levels have a file each, 100 MB in all, and its folder here."""
        here = self.scratch / name
        here.mkdir()
        mirror = Mirror(here)
        mirror.save()
        there = self.far / distant.JOBS / mirror.job
        there.mkdir(parents=True)
        (there / "request.json").write_text("{}")
        for level in range(LEVELS):
            data = make(level, MEGABYTES * 1_000_000 // LEVELS)
            files = {f"levels/{level:03d}/{file}": data}
            distant.finish(there, files, f"levels/{level:03d}/export", float(level + 1))
        return here, there

    def begin(self, client: Client, here: Path, *pictures: Path) -> Transfer:
        """A transfer that may fetch."""
        levels = [{"prompt": "", "image": str(path)} for path in pictures]
        moved = Transfer(client, here, {"levels": levels, "engine": {"name": "procedural"}})
        _until(moved, SENT)
        return moved

    def fetch(self, client: Client, here: Path) -> dict[str, Any]:
        """Fetch a job; seconds until all is here, and until the first level is."""
        moved = self.begin(client, here)
        began, first = time.monotonic(), 0.0
        for level in range(LEVELS):
            moved.announce(level)
        moved.finish()
        while moved.phase not in (WHOLE, FAILED):
            if not first and moved.arrived():
                first = time.monotonic() - began
            time.sleep(0.002)
        if moved.error is not None and not isinstance(moved.error, ConnectionCut):
            raise moved.error
        return {
            "seconds": time.monotonic() - began,
            "first": first,
            "fetched": moved.fetched,
            "cut": moved.error is not None,
        }


def _until(moved: Transfer, phase: str) -> None:
    while moved.phase not in (phase, FAILED):
        time.sleep(0.002)
    if moved.error is not None:
        raise moved.error


def noise(seed: int, size: int) -> bytes:
    """Bytes that can't be packed."""
    return np.random.default_rng(seed).bytes(size)


def splats(seed: int, size: int) -> bytes:
    """A PLY of splats: normals that are 0, a view's number, and values that vary as real ones do."""
    rows = np.zeros(size // ROW.itemsize, ROW)
    random = np.random.default_rng(seed)
    for name in VALUES:
        rows[name] = random.normal(size=len(rows))
    rows["view"] = np.sort(random.integers(0, 40, len(rows)))
    kinds = dict.fromkeys(ROW.names or (), "float") | {"view": "int"}
    columns = "".join(f"property {kind} {name}\n" for name, kind in kinds.items())
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{columns}end_header\n"
    return header.encode() + rows.tobytes()


def is_same(here: Path, there: Path) -> bool:
    """Whether every file of the levels is the same on both sides."""
    names = [path.relative_to(there) for path in there.glob("levels/*/*")]
    return len(names) == LEVELS and all((here / name).read_bytes() == (there / name).read_bytes() for name in names)


def main() -> None:
    """Measure."""
    bench, found = Measurement(Path(sys.argv[1])), {}
    lasting = bench.connect()
    other, waited = Link(lasting), []
    here, there = bench.job("noise", "depth.npz", noise)
    stop = threading.Event()

    def ping() -> None:
        while not stop.is_set():
            began = time.monotonic()
            other.ask("ping", {})
            waited.append(time.monotonic() - began)

    thread = threading.Thread(target=ping)
    thread.start()
    found["down"] = bench.fetch(lasting, here)
    stop.set()
    thread.join()
    found["pings"] = [sorted(waited)[len(waited) // 2], max(waited)]
    same = [is_same(here, there)]

    here, there = bench.job("splats", "splats.ply", splats)
    found["splats"] = bench.fetch(lasting, here)
    same.append(is_same(here, there))

    photo = bench.scratch / "photo.exr"
    photo.write_bytes(noise(9, MEGABYTES * 1_000_000))
    began = time.monotonic()
    bench.begin(lasting, here, photo)
    found["up"] = time.monotonic() - began
    same.append(next((bench.far / distant.JOBS).glob(".received/*/photo.exr")).read_bytes() == photo.read_bytes())

    here, there = bench.job("cut", "depth.npz", lambda level, size: noise(20 + level, size))
    half = MEGABYTES * 500_000
    before = bench.fetch(bench.connect("--cut-down", half), here)
    kept = sum(path.stat().st_size for path in [*here.glob("levels/*/*"), *here.glob(".receiving-*")])
    began = time.monotonic()
    client = bench.connect()
    found["reconnect"] = time.monotonic() - began
    after = bench.fetch(client, here)
    again = half - kept
    found["cut"] = {"was_cut": before["cut"], "kept": kept, "again": again, "seconds": after["seconds"]}
    same.append(is_same(here, there))
    found["same"] = all(same)
    for one in (lasting, client):
        one.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Cluster: steps on two nodes against one, deaths, cancellation, what Ray costs, and a simulation of a large cluster.

    python scripts/benchmark.py cluster [--only PART ...] [--size WxH] [--json]

Parts: bytes, limit (of this machine, without Ray), waits (steps that only wait), steps (real ones), overhead, apart
(machines that do not see the job's folder), deaths, cancel, farm, ssh (files to and from a server that does not see
them), simulation. The nodes are processes on this machine with one core each, so it should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.cluster.deaths import measure_cancel, measure_deaths
from benchmarks.cluster.film import measure_farm
from benchmarks.cluster.jobs import contents, request_of
from benchmarks.cluster.nodes import executor_of, nodes
from benchmarks.cluster.simulation import bottleneck, shortest, simulate
from benchmarks.cluster.ssh import measure_ssh
from benchmarks.cluster.timeline import draw_timeline
from benchmarks.shared.table import Table
from dreamzoom.cluster.pool import WorkerPool
from dreamzoom.engines import registry
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import Step, build
from dreamzoom.progress import Report
from dreamzoom.request.schema import Request

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("bytes", "limit", "waits", "steps", "overhead", "apart", "deaths", "cancel", "farm", "ssh", "simulation")
WAIT = 1.0
"""Seconds of a step that only waits."""


class Waiting:
    """An executor whose steps wait on a worker, as for an engine elsewhere, and write nothing but their files."""

    def __init__(self, pool: WorkerPool):
        self._pool = pool

    @property
    def slots(self) -> int:
        """As the pool."""
        return self._pool.slots

    def lane(self, step: Step) -> tuple[str, int]:
        """As the pool."""
        return self._pool.lane(step)

    def execute(self, step: Step, folder: Folder, report: Report) -> None:
        """Wait."""
        waits(self._pool, step.name, folder.root, WAIT, report)
        for file in step.files:
            folder.write(file.name, b"")

    def prioritise(self, folder: Folder, priority: int) -> None:
        """Nothing: there is one job."""

    def close(self) -> None:
        """Nothing: the pool is closed by its owner."""


def waits(pool: WorkerPool, name: str, folder: Path, seconds: float, report: Report) -> None:
    """Wait on a worker."""
    order = {"command": [sys.executable, "-S", "-c", f"import time; time.sleep({seconds})"], "reads": {}, "writes": []}
    pool.command(name, folder, lambda: order, report, "waits")


def measure_waits(table: Table, scratch: Path) -> None:
    """Eight levels whose steps wait, on one node and on two."""
    request, took = request_of(8, (96, 64)), {}
    for count in (1, 2):
        folder = Folder(scratch / f"waits{count}")
        with nodes(count) as found, executor_of(found) as pool:
            with ThreadPoolExecutor(count) as threads:  # the actors start
                list(threads.map(lambda number: waits(pool, f"first {number}", scratch, 3.0, Report()), range(count)))
            began = time.monotonic()
            run(build(request, registry.make(request)), folder, executor=Waiting(pool))
            took[count] = time.monotonic() - began
    ratio = took[1] / took[2]
    table.add("steps that wait, 8 levels: two nodes against one", ratio, ">= 1.7", ratio >= 1.7, waits_speedup=ratio)
    draw_timeline(Folder(scratch / "waits2"), ROOT / "out" / "cluster" / "waits.png")
    table.add("  its timeline", "out/cluster/waits.png")


def on_nodes(count: int, request: Request, folder: Folder, sink: Sink | None = None) -> float:
    """Generate on `count` nodes; returns the seconds, without the cluster's start."""
    with nodes(count) as found, executor_of(found) as pool:
        began = time.monotonic()
        generate(request, folder, sink, executor=pool)
        return time.monotonic() - began


def alone(size: tuple[int, int], folder: Path) -> float:
    """Generate in one process with one thread, without a cluster; returns the seconds."""
    code = (
        "import time; from pathlib import Path; from benchmarks.cluster.__main__ import *\n"
        f"began = time.monotonic(); generate(request_of(6, {size}), Folder(Path({str(folder)!r})))\n"
        "print(time.monotonic() - began)"
    )
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | threads, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1])


def measure_limit(table: Table, scratch: Path, size: tuple[int, int]) -> None:
    """What this machine allows: two jobs side by side, in processes of one thread without Ray, against one."""
    one = alone(size, scratch / "limit0")
    with ThreadPoolExecutor(2) as threads:
        both = max(threads.map(lambda name: alone(size, scratch / name), ("limit1", "limit2")))
    table.add("two processes without Ray, two jobs against one after the other", 2 * one / both, limit=2 * one / both)


def measure_steps(table: Table, scratch: Path, size: tuple[int, int], only: list[str]) -> None:
    """The demo's kind of job with real steps: on two nodes, on one, and without Ray."""
    request = request_of(6, size)
    two = on_nodes(2, request, Folder(scratch / "two")) if {"steps", "bytes"} & set(only) else 0.0
    one = on_nodes(1, request, Folder(scratch / "one")) if {"steps", "overhead"} & set(only) else 0.0
    if "steps" in only:
        ratio = one / two
        table.add("real steps: two nodes of one core against one", ratio, ">= 1.5", ratio >= 1.5, steps_speedup=ratio)
        built = build(request, registry.make(request))
        seconds, beside = (
            {record["step"]: record["seconds"] for record in records(Folder(scratch / name))} for name in ("one", "two")
        )
        allowed = sum(seconds.values()) / shortest(built, seconds, 2)
        slower = sum(beside.values()) / sum(seconds.values())
        table.add("  a step beside another takes longer by the factor", slower, steps_slower=slower)
        table.add("  at most, by its graph of steps and their seconds on one", allowed, steps_allowed=allowed)
        draw_timeline(Folder(scratch / "two"), ROOT / "out" / "cluster" / "steps.png")
        table.add("  its timeline", "out/cluster/steps.png")
    if not {"overhead", "bytes"} & set(only):
        return
    local = alone(size, scratch / "alone")
    if "overhead" in only:
        share = one / local - 1
        table.add(
            "Ray on one node against one process with one thread", share, "<= 0.05", share <= 0.05, overhead=share
        )
    if "bytes" in only:
        same = contents(scratch / "two") == contents(scratch / "alone")
        table.add("the same bytes as the local executor", "yes" if same else "no", "yes", same, same_bytes=same)


def measure_apart(table: Table, scratch: Path) -> None:
    """Two nodes that do not see the job's folder: the same bytes, and how many were moved."""
    request, jobs = request_of(3, (96, 64)), scratch / "jobs"
    generate(request, Folder(scratch / "seen"))
    jobs.mkdir()
    caches = [scratch / "first cache", scratch / "second cache"]
    with nodes(0) as found, found.apart(jobs, caches[0]), found.apart(jobs, caches[1]), executor_of(found) as pool:
        generate(request, Folder(jobs / "job"), executor=pool)
        moved = {name: count / 1e6 for name, count in pool.moved.items()}
    same = contents(scratch / "seen") == contents(jobs / "job")
    table.add("two nodes that do not see the folder: the same bytes", "yes" if same else "no", "yes", same)
    written = sum(len(data) for data in contents(jobs / "job").values()) / 1e6
    table.add("  the job's files, MB", written)
    table.add("  sent to the nodes / fetched from them, MB", f"{moved['sent']:.1f} / {moved['fetched']:.1f}")
    read = sum(path.stat().st_size for cache in caches for path in cache.rglob("*") if path.is_file()) / 1e6
    table.add("  kept by the nodes, MB", read)


def measure_simulation(table: Table, scratch: Path) -> None:
    """1,000 jobs on 64 GPUs, from the seconds of a measured job."""
    request, folder = request_of(6, (96, 64)), Folder(scratch / "measured")
    generate(request, folder)
    steps = build(request, registry.make(request))
    seconds = {record["step"]: record["seconds"] for record in records(folder)}
    found = simulate(steps, seconds, 1000, 64, 0.02)
    table.add(
        "simulated, 1,000 jobs, 64 GPUs, 2 % of steps fail: utilisation", found.utilisation, ">= 0.9",
        found.utilisation >= 0.9, utilisation=found.utilisation,
    )  # fmt: skip
    table.add("  lost to failures / idle", f"{found.lost:.3f} / {found.idle:.3f}")
    moved = 1000 * sum(path.stat().st_size for path in folder.root.rglob("*") if path.is_file()) * 3
    table.add("  what would limit more GPUs next", bottleneck(found, moved, 1e9))


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--size", default="288x162", help="WIDTHxHEIGHT of the job with real steps")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    table = Table()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        if "waits" in options.only:
            measure_waits(table, scratch)
        if "limit" in options.only:
            measure_limit(table, scratch, (width, height))
        if {"bytes", "steps", "overhead"} & set(options.only):
            measure_steps(table, scratch, (width, height), options.only)
        if "apart" in options.only:
            measure_apart(table, scratch)
        if "deaths" in options.only:
            measure_deaths(table, scratch)
        if "cancel" in options.only:
            measure_cancel(table, scratch)
        if "farm" in options.only:
            measure_farm(table, scratch)
        if "ssh" in options.only:
            measure_ssh(table, scratch)
        if "simulation" in options.only:
            measure_simulation(table, scratch)
    print(table.json() if options.json else table.text())
    return 0 if all(row["met"] is not False for row in table.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

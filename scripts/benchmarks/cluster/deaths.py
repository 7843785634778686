"""What dies while a job runs on a cluster, what that costs, and how fast a cancelled job lets go of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.cluster.jobs import At, contents, disturbed, request_of
from benchmarks.cluster.nodes import Nodes, executor_of, nodes
from benchmarks.shared.table import Table
from core.errors import Cancelled, DreamzoomError
from dreamzoom.cluster.ray_pool import RayPool
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.request.schema import Request

DEATHS: dict[str, Callable[[Nodes], None]] = {
    "a killed worker": Nodes.kill_worker,
    "a killed node": lambda found: found.kill(found.nodes[-1]),
    "a dead head that comes back": Nodes.restart,
}


def measure_deaths(table: Table, scratch: Path) -> None:
    """A killed worker, a killed node, a dead head that comes back, and one that stays away until the job has ended."""
    request = request_of(3, (96, 64))
    generate(request, Folder(scratch / "whole"))
    wanted = contents(scratch / "whole")

    def is_as_wanted(folder: Folder) -> bool:
        done = [event["step"] for event in journal.read(folder) if event["event"] == "done"]
        return contents(folder.root) == wanted and len(done) == len(set(done))

    for name, action in DEATHS.items():
        folder = Folder(scratch / name.replace(" ", "_"))
        with nodes(2) as found, executor_of(found) as pool:
            disturbed(request, folder, pool, lambda found=found, action=action: action(found))
        met = is_as_wanted(folder)
        table.add(f"{name}: same bytes, no finished step twice", "yes" if met else "no", "yes", met)
    folder = Folder(scratch / "lost")
    with nodes(2) as found:
        took = _lost(found, folder, request)
        found.start_again()
        with executor_of(found) as pool:
            generate(request, folder, executor=pool)
    met = is_as_wanted(folder)
    told = "a head that stays dead: the job ends, and goes on in another cluster"
    table.add(told, "yes" if met else "no", "yes", met)
    table.add(
        "  noticed after, s (the wait for its return is set to 5 s)", took, "<= 60", took <= 60, lost_seconds=took
    )
    table.figures["deaths_survived"] = all(row["met"] for row in table.rows[-5:])


def _lost(found: Nodes, folder: Folder, request: Request) -> float:
    """Generate until the cluster is killed and the job has ended; returns the seconds from the one to the other."""
    killed: list[float] = []
    patience, RayPool.WAITED = RayPool.WAITED, 5.0
    try:
        with executor_of(found) as pool, contextlib.suppress(DreamzoomError):
            disturbed(request, folder, pool, lambda: (found.kill_all(), killed.append(time.monotonic())))
        return time.monotonic() - killed[0]
    finally:
        RayPool.WAITED = patience


def measure_cancel(table: Table, scratch: Path) -> None:
    """From the cancellation until the cluster's cores are free."""
    import ray  # pyright: ignore[reportMissingImports]

    request, cancel = request_of(3, (192, 108)), threading.Event()
    with nodes(2) as found, executor_of(found) as pool:
        ray.init(address=found.address, log_to_driver=False, logging_level=40)
        sink = At("splat", cancel.set)
        with contextlib.suppress(Cancelled):
            generate(request, Folder(scratch / "cancelled"), sink, cancel, executor=pool)
        ended = time.monotonic() - sink.when
        pool.close()
        while ray.available_resources().get("CPU", 0) < 2:
            time.sleep(0.02)
        took = time.monotonic() - sink.when
        ray.shutdown()
    table.add("cancel: everything freed after, s", took, "<= 2", took <= 2, cancel_seconds=took)
    table.add("  the job had ended after, s", ended)

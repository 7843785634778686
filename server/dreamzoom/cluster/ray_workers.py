"""The driver of workers on a Ray cluster. The only module that imports Ray.

    python -m dreamzoom.cluster.ray_workers [HOST:PORT]

It takes the same messages as a worker (`worker`) and runs as many steps at once as the cluster has room for. A worker
is an actor that keeps its engine loaded; one with a GPU serves the steps that use one, if the cluster has any. This is
a process of its own because Ray ends the driver's process when the cluster's head is lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from core.errors import DreamzoomError
from dreamzoom.cluster.channel import SERVER
from dreamzoom.cluster.worker import Worker, described

ENDS = ("done", "cancelled", "failed")
GRACE = 1.0
"""A cancelled step may go on for so many seconds; then its actor is killed, which frees its GPU."""


class Actor:
    """A worker on the cluster: one step at a time, and a second thread that hears of cancellation."""

    def __init__(self):
        self._worker = Worker()

    def run(self, order: dict[str, Any]):
        """Run a step; yields its events as they come."""
        import queue

        events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._worker.run, args=(order, events.put), daemon=True).start()
        while True:
            event = events.get()
            yield event
            if event["event"] in ENDS:
                return

    def cancel(self, ticket: int) -> None:
        """Cancel a step."""
        self._worker.cancel(ticket)


def _actors() -> Any:
    ray_: Any = ray
    return ray_.remote(max_concurrency=2, max_restarts=0)(Actor)


class Driver:
    """Runs orders on actors of the cluster."""

    def __init__(self, emit: Callable[[int, dict[str, Any]], None]):
        self._emit = emit
        self._idle: dict[bool, list[Any]] = {False: [], True: []}
        self._running: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def room(self) -> tuple[int, int]:
        """How many workers the cluster has room for: on cores, and on GPUs."""
        found = ray.cluster_resources()
        return int(found.get("CPU", 0)), int(found.get("GPU", 0))

    def run(self, order: dict[str, Any]) -> None:
        """Run one order; all that happens is emitted."""
        ticket = int(order["ticket"])
        emit = partial(self._emit, ticket)
        gpu = bool(order.get("gpu")) and self.room[1] > 0
        actor = None
        try:
            actor = self._take(gpu)
            with self._lock:
                self._running[ticket] = actor
            last: dict[str, Any] = {}
            for reference in actor.run.options(num_returns="streaming").remote(order):
                last = ray.get(reference)
                if last["event"] not in ENDS:
                    emit(last)
            with self._lock:  # before the last event: the pool may send the next order as soon as it has it
                self._idle[gpu].append(actor)
            emit(last)
        except RayError as error:
            emit({"event": "died", "message": " ".join(str(error).split())[:300]})
        except BaseException as error:
            emit({"event": "failed", "error": described(error)})
        finally:
            with self._lock:
                self._running.pop(ticket, None)

    def cancel(self, ticket: int) -> None:
        """Cancel an order; its actor is killed if it goes on."""
        with self._lock:
            actor = self._running.get(ticket)
        if actor is None:
            return
        actor.cancel.remote(ticket)
        time.sleep(GRACE)
        with self._lock:
            still = self._running.get(ticket) is actor
        if still:
            ray.kill(actor)

    def _take(self, gpu: bool) -> Any:
        with self._lock:
            if self._idle[gpu]:
                return self._idle[gpu].pop()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        variables = {"env_vars": threads | {"PYTHONPATH": os.environ.get("PYTHONPATH", str(SERVER))}}
        return _actors().options(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0, runtime_env=variables).remote()


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def main() -> None:
    """Connect, then serve standard input until it ends."""
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(ticket: int, event: dict[str, Any]) -> None:
        with lock, contextlib.suppress(BrokenPipeError):
            target.write(json.dumps({"ticket": ticket} | event).encode() + b"\n")
            target.flush()

    address = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        if address:
            _knock(address)
        ray.init(
            address=address,
            namespace="dreamzoom",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=None if address else False,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        if address is None:
            emit(0, {"event": "failed", "error": described(DreamzoomError(f"Ray does not start: {error}"))})
            return
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    driver = Driver(emit)
    cpus, gpus = driver.room
    emit(0, {"event": "ready", "slots": max(1, cpus + gpus)})
    for line in source:
        order = json.loads(line)
        work = (driver.cancel, int(order["cancel"])) if "cancel" in order else (driver.run, order)
        threading.Thread(target=work[0], args=(work[1],), daemon=True).start()
    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()

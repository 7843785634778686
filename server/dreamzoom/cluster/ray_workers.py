"""The driver of workers on a Ray cluster. The only module that imports Ray.

    python -m dreamzoom.cluster.ray_workers [HOST:PORT]

It takes the same messages as a worker (`worker`) and runs as many orders at once as it is given. A worker is an actor
that keeps its engine loaded; it has a GPU for orders with "gpu", else a core. Actors on machines that do not see the
job's folder get the files of "reads" that they don't have, and send those of "writes" (`transfer`). While the cluster
answers, ticket 0 is told every `WATCH` seconds for how many orders it has room: {"event": "room", "cores": N, "cards":
N}; the first time the event is "ready". This is a process of its own because Ray ends the driver's process when the
cluster's head is lost.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
import ray  # pyright: ignore[reportMissingImports]
from ray._private import services  # pyright: ignore[reportMissingImports]
from ray._private.authentication.authentication_token_setup import (  # pyright: ignore[reportMissingImports]
    maybe_enable_token_auth_if_token_available,
)
from ray._raylet import GcsClient  # pyright: ignore[reportMissingImports]
from ray.exceptions import AuthenticationError, RayError, RayTaskError  # pyright: ignore[reportMissingImports]

from core.atomic_files import TEMPORARY
from core.errors import Cancelled, DreamzoomError
from dreamzoom import __version__
from dreamzoom.cluster import transfer
from dreamzoom.cluster.channel import SERVER
from dreamzoom.cluster.worker import Worker, described
from dreamzoom.pipeline.folder import Folder

ENDS = ("done", "cancelled", "failed")
GRACE = 1.0
"""A cancelled order may go on for so many seconds; then its actor is killed, which frees its GPU."""
WATCH = 2.0
"""Seconds between two looks at the cluster."""
IDLE = 60.0
"""An actor that had nothing to do for so many seconds is ended, so that its core or GPU is free for others."""
TOLD = 20.0
"""Seconds after which is said that an order waits for a machine."""
PATIENCE = 300.0
"""Seconds that an order waits for a machine; four times as long where Ray can start further ones."""
STARTS = 15
"""An actor that does not start is tried so often: until Ray has noticed that a machine is dead."""
MEMORY = 1 << 30
"""Bytes of main memory that an actor asks for."""
MOST = 256
"""Actors at once, at most."""

Emit = Callable[[dict[str, Any]], None]


class Actor:
    """A worker on the cluster: one order at a time, and a second thread that hears of cancellation."""

    def __init__(self):
        self._worker = Worker()
        self._shelf = transfer.Shelf()

    def greet(self) -> dict[str, str]:
        """Which machine this is, and its version of Dreamzoom."""
        return {"host": socket.gethostname(), "version": __version__}

    def sees(self, path: str) -> bool:
        """Whether this machine has a file at a path."""
        return Path(path).is_file()

    def files(self, method: str, *arguments: Any) -> Any:
        """Call a method of this machine's `transfer.Shelf`."""
        return getattr(self._shelf, method)(*arguments)

    def run(self, order: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Run an order; yields its events as they come."""
        events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._worker.run, args=(order, events.put), daemon=True).start()
        while True:
            event = events.get()
            yield event
            if event["event"] in ENDS:
                return

    def cancel(self, ticket: int) -> None:
        """Cancel an order."""
        self._worker.cancel(ticket)


class Hired:
    """An actor, as the driver knows it.

    Attributes:
        actor: Ray's handle.
        gpu: Whether it has a GPU.
        host: The machine's name.
        seen: Whether the machine sees a folder, by the folder.
        since: When it became idle.
    """

    def __init__(self, actor: Any, gpu: bool):
        self.actor, self.gpu, self.host = actor, gpu, ""
        self.seen: dict[str, bool] = {}
        self.since = 0.0


class Driver:
    """Runs orders on actors of the cluster.

    Args:
        emit: Receives (ticket, event).
    """

    def __init__(self, emit: Callable[[int, dict[str, Any]], None]):
        self._emit = emit
        self._idle: list[Hired] = []
        self._running: dict[int, Hired] = {}
        self._cancels: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self._told_apart: set[tuple[str, str]] = set()
        self.look()

    def look(self) -> dict[str, int]:
        """How many orders the cluster has room for, on cores and on GPUs; counts machines that Ray can still start."""
        self._machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        more = _startable()
        self._grows = bool(more)
        cores = sum(min(int(one.get("CPU", 0)), int(one.get("memory", 0) // MEMORY)) for one in self._machines)
        cards = sum(int(one.get("GPU", 0)) for one in self._machines)
        cores, cards = max(cores, more.get("CPU", 0)), max(cards, more.get("GPU", 0))
        return {"cores": min(cores, MOST), "cards": min(cards, MOST)}

    def watch(self) -> None:
        """Say again and again how much room there is, and end actors that have nothing to do."""
        while True:
            time.sleep(WATCH)
            self._emit(0, {"event": "room"} | self.look())
            with self._lock:
                leaving = [one for one in self._idle if time.monotonic() - one.since > IDLE]
                self._idle = [one for one in self._idle if one not in leaving]
            for one in leaving:
                ray.kill(one.actor)

    def run(self, order: dict[str, Any]) -> None:
        """Run one order; all that happens is emitted."""
        ticket = int(order["ticket"])
        emit = partial(self._emit, ticket)
        with self._lock:
            cancel = self._cancels.setdefault(ticket, threading.Event())
        last: dict[str, Any]
        try:
            hired = self._take(bool(order.get("gpu")), cancel, emit)
            with self._lock:
                self._running[ticket] = hired
            apart = not order.keys() & {"files", "greet"} and not self._sees(hired, order["job"], cancel)
            ask, sent = partial(_asked, cancel, hired.actor.files), 0
            if apart:
                order["files"], sent = transfer.send(ask, order["reads"])
            last = self._followed(hired, order, emit)
            if apart and last["event"] == "done":
                fetched = transfer.fetch(ask, Folder(Path(order["job"])), order["writes"], last["outputs"])
                last |= {"sent": sent, "fetched": fetched}
            self._give_back(ticket, hired)
        except RayError as error:
            last = {"event": "died", "message": _in_short(error)}
        except Cancelled:
            last = {"event": "cancelled"}
            with self._lock:
                hired = self._running.get(ticket)
            if hired is not None:
                self._give_back(ticket, hired)
        except BaseException as error:
            last = {"event": "failed", "error": described(error)}
        with self._lock:
            self._running.pop(ticket, None)
            self._cancels.pop(ticket, None)
        emit(last)  # after all else: the pool may send the next order as soon as it has it

    def cancel(self, ticket: int) -> None:
        """Cancel an order; its actor is killed if it goes on."""
        with self._lock:
            self._cancels.setdefault(ticket, threading.Event()).set()
            hired = self._running.get(ticket)
        if hired is None:
            return
        hired.actor.cancel.remote(ticket)
        time.sleep(GRACE)
        with self._lock:
            still = self._running.get(ticket) is hired
        if still:
            ray.kill(hired.actor)

    def _give_back(self, ticket: int, hired: Hired) -> None:
        hired.since = time.monotonic()
        with self._lock:
            self._running.pop(ticket, None)
            self._idle.append(hired)

    def _take(self, gpu: bool, cancel: threading.Event, emit: Emit) -> Hired:
        """An actor that answers: an idle one, or a new one when the cluster has room for it.

        Raises:
            Cancelled: The order was cancelled.
            DreamzoomError: There was no room for too long, or the machine has another version of Dreamzoom.
        """
        if (found := self._idle_one(gpu, cancel)) is not None:
            return found
        began, told, starts, hired = time.monotonic(), TOLD, 0, Hired(_new_actor(gpu), gpu)
        greeting = hired.actor.greet.remote()
        while True:
            try:
                if ray.wait([greeting], timeout=0.2)[0]:
                    try:
                        return self._greeted(hired, ray.get(greeting))
                    except RayError as error:  # perhaps Ray put it on a machine that has just died
                        starts += 1
                        if starts == STARTS:
                            remedy = "look whether all machines have Dreamzoom and its packages at the same place"
                            raise DreamzoomError(f"no worker starts on Ray: {_in_short(error)}", remedy) from None
                    time.sleep(WATCH)
                    hired = Hired(_new_actor(gpu), gpu)
                    greeting = hired.actor.greet.remote()
                if (found := self._idle_one(gpu, cancel)) is not None:  # another order gave it back meanwhile
                    ray.kill(hired.actor)
                    return found
                if cancel.is_set():
                    raise Cancelled
                waited = time.monotonic() - began
                if waited > told:
                    told = waited + 3 * TOLD
                    emit({"event": "log", "level": "warning", "message": self._waits_for(gpu)})
                if waited > PATIENCE * (4 if self._grows else 1):
                    raise DreamzoomError(
                        f"{self._waits_for(gpu)}, for {waited / 60:.0f} minutes now",
                        "look at the cluster (ray status), then resume the job: finished steps are kept",
                    )
            except BaseException:
                ray.kill(hired.actor)
                raise

    def _idle_one(self, gpu: bool, cancel: threading.Event) -> Hired | None:
        """An idle actor that answers; None if there is none."""
        while True:
            with self._lock:
                found = next((one for one in self._idle if one.gpu == gpu), None)
                if found is None:
                    return None
                self._idle.remove(found)
            with contextlib.suppress(RayError):  # its machine died since
                _asked(cancel, found.actor.greet)
                return found

    def _greeted(self, hired: Hired, words: dict[str, str]) -> Hired:
        hired.host = words["host"]
        if words["version"] != __version__:
            raise DreamzoomError(
                f"{hired.host} has Dreamzoom {words['version']}, this machine has {__version__}",
                "install the same version on all machines of the cluster",
            )
        return hired

    def _waits_for(self, gpu: bool) -> str:
        what, cores = "GPU" if gpu else "core", sum(int(one.get("CPU", 0)) for one in self._machines)
        cards = sum(int(one.get("GPU", 0)) for one in self._machines)
        has = f"{len(self._machines)} machines with {cores} cores and {cards} GPUs answer"
        return f"waiting for a free {what} with {MEMORY >> 30} GB of memory on the cluster ({has})"

    def _sees(self, hired: Hired, place: str, cancel: threading.Event) -> bool:
        """Whether an actor's machine sees a folder of this machine: a new file there, which no older copy can have."""
        if place not in hired.seen:
            Path(place).mkdir(parents=True, exist_ok=True)
            sign = Path(place) / f"{TEMPORARY}{os.getpid()}-{time.monotonic_ns()}"
            try:
                sign.touch()
                hired.seen[place] = _asked(cancel, hired.actor.sees, str(sign))
            finally:
                sign.unlink(missing_ok=True)
            if not hired.seen[place] and (hired.host, place) not in self._told_apart:
                self._told_apart.add((hired.host, place))
                self._emit(0, {"event": "log", "message": f"{hired.host} does not see {place}: files are sent to it"})
        return hired.seen[place]

    def _followed(self, hired: Hired, order: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """Run an order on an actor and emit its events but the last, which is returned."""
        last: dict[str, Any] = {}
        for reference in hired.actor.run.options(num_returns="streaming").remote(order):
            last = ray.get(reference)
            if last["event"] not in ENDS:
                emit(last)
        return last


def _new_actor(gpu: bool) -> Any:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    variables = {"env_vars": threads | {"PYTHONPATH": os.environ.get("PYTHONPATH", str(SERVER))}}
    remote: Any = ray.remote(max_concurrency=2, max_restarts=0)(Actor)  # pyright: ignore[reportCallIssue]
    options = remote.options(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0, memory=MEMORY, runtime_env=variables)
    return options.remote()


def _startable() -> dict[str, int]:
    """The resources of the cluster when Ray has started all machines that it may; empty if it starts none."""
    found = ray._private.state.state.get_max_resources_from_cluster_config()
    return {name: int(min(found.get(name, 0), MOST)) for name in ("CPU", "GPU")} if found else {}


def _asked(cancel: threading.Event, method: Any, *arguments: Any) -> Any:
    """What a method of an actor answers. Raises Cancelled, RayError, and what the method raised."""
    reference = method.remote(*arguments)
    while not ray.wait([reference], timeout=0.2)[0]:
        if cancel.is_set():
            raise Cancelled
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None


def _in_short(error: BaseException) -> str:
    """Ray's message of several lines as one."""
    return " ".join(str(error).split())[:300]


def _connect(address: str) -> None:
    """Connect to the cluster at HOST:PORT; without an address to this machine's, which is started if there is none.

    Raises:
        OSError: Nothing listens there; Ray itself would try for a minute.
        Exception: Any of Ray.
    """
    common: dict[str, Any] = {"namespace": "dreamzoom", "log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        own = os.environ.get("RAY_ADDRESS") or services.find_bootstrap_address(None)
        try:
            _knock(own or "")
        except (OSError, ValueError):  # none, or one that was killed
            ray.init(address="local", include_dashboard=False, **common)
            return
        address = str(own)
    _knock(address)
    try:
        GcsClient(address=address)
    except AuthenticationError:  # Ray takes its token by itself only where it finds the cluster by itself
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    ray.init(address=address, **common)


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT, and ValueError if that is no such address."""
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

    try:
        _connect(sys.argv[1] if len(sys.argv) > 1 else "")
        driver = Driver(emit)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        sys.stderr.write(f"{_in_short(error)}\n")
        sys.exit(1)
    emit(0, {"event": "ready"} | driver.look())
    threading.Thread(target=driver.watch, name="watch", daemon=True).start()
    for line in source:
        order = json.loads(line)
        work = (driver.cancel, int(order["cancel"])) if "cancel" in order else (driver.run, order)
        threading.Thread(target=work[0], args=(work[1],), daemon=True).start()
    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()

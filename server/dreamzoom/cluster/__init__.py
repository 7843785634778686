"""Executors that run a job's steps in other processes and on other machines.

    local        in the server's own process, one step at a time (the default)
    local:N      N processes on this machine
    ray          a Ray cluster: the one that this machine belongs to, or a new one of this machine alone
    ray://HOST   a Ray cluster whose head is HOST:PORT

A worker is a process that runs steps (`worker`). `local:N` starts N of them and talks to each over its standard input
and output; `ray` starts one process (`ray_workers`, the only module that imports Ray), which passes the same messages
on to workers on the cluster. What a step reads and writes lies in the job's folder, if the worker's machine sees it;
else it is sent, or goes through a store (`store`), and each machine keeps it (`cache`).
"""

from __future__ import annotations

import re
import socket
import tempfile
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import BadRequest, Cancelled
from dreamzoom.cluster.pool import Log, WorkerPool
from dreamzoom.cluster.quarantine import Local
from dreamzoom.cluster.ray_pool import RayPool
from dreamzoom.cluster.store import Store
from dreamzoom.pipeline.executors import Executor
from dreamzoom.progress import Report, reporting_to

MOST_WORKERS = 256
RAY_PORT = 6379
"""The port of `ray start --head`."""


def make(
    name: str,
    storage: str = "",
    log: Log = lambda message: None,
    cancel: threading.Event | None = None,
) -> Executor:
    """The executor of this name (see the module). The caller closes it.

    Args:
        name: As "local:2".
        storage: URL of a store that the workers use in place of the job's folder; empty if they see the folder.
        log: Receives what happens to the workers.
        cancel: Set it to stop connecting to a cluster.

    Raises:
        BadRequest: No executor has this name, or the store can't be used with it.
        Cancelled: `cancel` was set.
        DreamzoomError: Ray or the store's package is not installed; the remedy says how to install it.
    """
    found = re.fullmatch(r"local(?::(\d{1,4}))?|ray(?:://([^\s:/]+)(?::(\d{1,5}))?/?)?", name)
    if found is None or (found[1] and not 1 <= int(found[1]) <= MOST_WORKERS):
        raise BadRequest("executor", f"must be local, local:N, ray or ray://HOST:PORT; got {name[:100]!r}")
    if name == "local":
        if storage:
            raise BadRequest("storage", "is used by workers alone; choose the executor local:N or ray, or leave it out")
        return Local()
    store = Store(storage) if storage else None
    if name.startswith("ray"):
        return RayPool(f"{found[2]}:{found[3] or RAY_PORT}" if found[2] else "", store, log, partial(_check, cancel))
    return WorkerPool(int(found[1]), store, log)


def tried(name: str, storage: str = "", cancel: threading.Event | None = None) -> dict[str, Any]:
    """Try whether steps can run so: starts or reaches a worker, and puts a file into the store and fetches it again.

    Returns:
        "slots": how many steps run at once; "host": the name of a machine that runs them.

    Raises:
        As `make`, and DreamzoomError for what does not work.
    """
    report = _Cancellable(cancel)
    with closing(make(name, storage, cancel=cancel)) as executor, reporting_to(report):
        if storage:
            _try_store(Store(storage))
        host = executor.greet(report) if isinstance(executor, WorkerPool) else socket.gethostname()
        return {"slots": executor.slots, "host": host}


def _try_store(store: Store) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "try"
        path.write_bytes(b"Dreamzoom tries whether this storage works.")
        store.get(store.put(path), Path(scratch) / "back")


class _Cancellable(Report):
    def __init__(self, cancel: threading.Event | None):
        self._cancel = cancel

    def check(self) -> None:
        _check(self._cancel)


def _check(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled

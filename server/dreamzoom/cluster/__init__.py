"""Executors that run a job's steps in other processes and on other machines.

    local        in the server's own process, one step at a time (the default)
    local:N      N processes on this machine
    ray          a Ray cluster: the one that this machine belongs to, or a new one of this machine alone
    ray://HOST   a Ray cluster whose head is HOST:PORT

A worker is a process that runs steps (`worker`). `local:N` starts N of them and talks to each over its standard input
and output; `ray` starts one process (`ray_workers`, the only module that imports Ray), which passes the same messages
on to workers on the cluster. What a step reads and writes lies in the job's folder, which all machines see, or goes
through a store (`store`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from core.errors import BadRequest
from dreamzoom.cluster.pool import RayPool, WorkerPool
from dreamzoom.cluster.quarantine import Local
from dreamzoom.cluster.store import Store
from dreamzoom.pipeline.executors import Executor

MOST_WORKERS = 256


def make(name: str, storage: str = "", log: Callable[[str], None] = lambda message: None) -> Executor:
    """The executor of this name (see the module). The caller closes it.

    Args:
        name: As "local:2".
        storage: URL of a store that the workers use in place of the job's folder; empty if they see the folder.
        log: Receives what happens to the workers.

    Raises:
        BadRequest: No executor has this name, or the store can't be used with it.
        DreamzoomError: Ray or the store's package is not installed; the remedy says how to install it.
    """
    found = re.fullmatch(r"local(?::(\d{1,4}))?|ray(?:://(\S+))?", name)
    if found is None or (found[1] and not 1 <= int(found[1]) <= MOST_WORKERS):
        raise BadRequest("executor", f"must be local, local:N, ray or ray://HOST:PORT; got {name[:100]!r}")
    if name == "local":
        if storage:
            raise BadRequest("storage", "is used by workers alone; choose the executor local:N or ray, or leave it out")
        return Local()
    store = Store(storage) if storage else None
    if name.startswith("ray"):
        return RayPool(found[2] or "", store, log)
    return WorkerPool(int(found[1]), store, log)

"""A Ray cluster on this machine: a head without cores, and nodes of one core each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from dreamzoom import cluster
from dreamzoom.cluster.pool import WorkerPool

os.environ.setdefault("RAY_worker_niceness", "0")  # as the process without Ray that it is compared with
MEMORY = 100 << 20
"""Bytes of each node's object store: steps exchange files, not objects."""


class Nodes:
    """The cluster."""

    def __init__(self, count: int):
        from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY},
        )
        self.nodes = [self.add() for _ in range(count)]

    def add(self):
        """Add a node of one core."""
        return self.cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    def kill(self, node) -> None:
        """Kill a node without notice."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def restart(self) -> None:
        """Kill everything, the head too, and start it again at the same address."""
        count, head = len(self.nodes), self.cluster.head_node
        port = int(self.cluster.address.rpartition(":")[2])
        for node in list(self.nodes):
            self.kill(node)
        self.cluster.remove_node(head, allow_graceful=False)
        self.cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=MEMORY, gcs_server_port=port)
        self.nodes = [self.add() for _ in range(count)]


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """A cluster of `count` nodes; it is shut down at the end."""
    found = Nodes(count)
    try:
        yield found
    finally:
        found.cluster.shutdown()


@contextmanager
def executor_of(found: Nodes) -> Iterator[WorkerPool]:
    """The executor for a cluster."""
    with closing(cluster.make(f"ray://{found.cluster.address}")) as executor:
        assert isinstance(executor, WorkerPool)
        yield executor

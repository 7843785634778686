"""A Ray cluster on this machine: a head without cores, and nodes of one core each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dreamzoom import cluster
from dreamzoom.cluster.ray_pool import RayPool

os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would starve the workers beside other programs
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

    @property
    def address(self) -> str:
        """HOST:PORT of the head."""
        return self.cluster.address

    def add(self):
        """Add a node of one core."""
        return self.cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    def kill(self, node) -> None:
        """Kill a node without notice."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def kill_worker(self) -> None:
        """Kill a worker that runs a step."""
        raylets = {process.process.pid for node in self.nodes for process in node.all_processes["raylet"]}
        for _ in range(100):
            listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
            for line in listed.stdout.splitlines():
                pid, parent, program = line.split(maxsplit=2)
                if int(parent) in raylets and program.startswith("ray::Actor.run"):
                    os.kill(int(pid), signal.SIGKILL)
                    return
            time.sleep(0.1)

    def kill_all(self) -> None:
        """Kill everything, the head too."""
        self.port, self.count = int(self.address.rpartition(":")[2]), len(self.nodes)
        for node in list(self.nodes):
            self.kill(node)
        self.cluster.remove_node(self.cluster.head_node, allow_graceful=False)

    def start_again(self) -> None:
        """Start what `kill_all` killed, at the same address."""
        self.cluster.add_node(
            num_cpus=0, include_dashboard=False, object_store_memory=MEMORY, gcs_server_port=self.port
        )
        self.nodes = [self.add() for _ in range(self.count)]

    def restart(self) -> None:
        """Kill everything and start it again."""
        self.kill_all()
        self.start_again()

    @contextmanager
    def apart(self, hidden: Path, cache: Path) -> Iterator[None]:
        """A node of one core which finds the folder `hidden` empty, with a cache of its own. Needs Linux and root."""
        command = (
            f"mount -t tmpfs none '{hidden}' && exec '{sys.executable}' -m ray.scripts.scripts start --block "
            f"--address={self.address} --num-cpus=1 --object-store-memory={MEMORY} --dashboard-agent-listen-port=0"
        )
        before = self.alive()
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", command],
            env=os.environ | {"DREAMZOOM_CACHE": str(cache)},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not self.alive() - before:
                if node.poll() is not None:
                    raise RuntimeError("a node apart does not start")
                time.sleep(0.2)
            yield
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            node.wait()

    def alive(self) -> set[str]:
        """The ids of the nodes that answer."""
        from ray._raylet import GcsClient  # pyright: ignore[reportMissingImports]

        found = GcsClient(address=self.address).get_all_node_info()
        return {str(name) for name, one in found.items() if one.state == 0}

    def close(self) -> None:
        """End all."""
        self.cluster.shutdown()


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """A cluster of `count` nodes; it is shut down at the end."""
    with closing(Nodes(count)) as found:
        yield found


@contextmanager
def executor_of(found: Nodes) -> Iterator[RayPool]:
    """The executor for a cluster."""
    with closing(cluster.make(f"ray://{found.address}")) as executor:
        assert isinstance(executor, RayPool)
        yield executor

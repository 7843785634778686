"""A Ray cluster of two nodes of one core each, on this machine."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "server"), str(ROOT / "tests")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "server"), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would starve the workers beside other tests

MEMORY = 100 << 20
"""Bytes of each node's object store: steps exchange files, not objects."""


class TwoNodes:
    """The cluster; nodes can be killed and added."""

    def __init__(self, nodes=2):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY},
        )
        self.nodes = [self.add() for _ in range(nodes)]

    @property
    def address(self):
        return self.cluster.address

    def add(self):
        return self.cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    def kill(self, node):
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def close(self):
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def nodes():
    pytest.importorskip("ray", reason='Ray is not installed (pip install "ray[default]")')
    found = TwoNodes()
    yield found
    found.close()


@pytest.fixture(scope="session")
def local_job(tmp_path_factory):
    """The contents of a job of three levels that was generated in this process."""
    from small_jobs import contents, small_request

    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.generate import generate

    folder = Folder(tmp_path_factory.mktemp("local") / "job")
    generate(small_request(3), folder)
    return contents(folder.root)

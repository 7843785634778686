"""A Ray cluster of two nodes of one core each, on this machine."""

import os
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), *(str(ROOT / name) for name in ("server", "tests", "scripts"))]
seen = [str(ROOT / "server"), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ["PYTHONPATH"] = os.pathsep.join(seen)
os.environ.setdefault("RAY_DEDUP_LOGS", "0")


@pytest.fixture(scope="module")
def nodes():
    pytest.importorskip("ray", reason='Ray is not installed (pip install "ray[default]")')
    from benchmarks.cluster.nodes import Nodes

    with closing(Nodes(2)) as found:
        yield found


@pytest.fixture
def bare(nodes):
    """The cluster without its two nodes, which come back afterwards."""
    for node in list(nodes.nodes):
        nodes.kill(node)
    while len(nodes.alive()) > 1:
        time.sleep(0.2)
    yield nodes
    nodes.nodes = [nodes.add(), nodes.add()]


@pytest.fixture(scope="session")
def local_job(tmp_path_factory):
    """The contents of a job of three levels that was generated in this process."""
    from small_jobs import contents, small_request

    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.generate import generate

    folder = Folder(tmp_path_factory.mktemp("local") / "job")
    generate(small_request(3), folder)
    return contents(folder.root)

"""Steps on a Ray cluster of two nodes: the same bytes, deaths, cancellation."""

import threading
import time
from contextlib import closing

import pytest
from small_jobs import contents, done_steps, small_request

from core.errors import Cancelled, DreamzoomError
from dreamzoom import cluster
from dreamzoom.cluster.ray_pool import RayPool
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate


class At(Sink):
    """Does something once, when a stage begins."""

    def __init__(self, stage, action):
        self.stage, self.action, self.logged, self.when = stage, action, [], None

    def progress(self, progress):
        if self.when is None and progress.stage == self.stage and progress.message != "done":
            self.when = time.monotonic()
            self.action()

    def log(self, message, level):
        self.logged.append(message)


def test_the_bytes_are_those_of_the_local_executor(nodes, tmp_path, local_job):
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        assert executor.slots == 2
        generate(small_request(3), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == local_job


def test_a_killed_worker_costs_only_its_step(nodes, tmp_path, local_job):
    import os
    import signal
    import subprocess

    def kill():
        found = subprocess.run(["pgrep", "-f", "ray::Actor.run"], capture_output=True, text=True, check=False)
        for pid in found.stdout.split()[:1]:
            os.kill(int(pid), signal.SIGKILL)

    sink = At("splat", lambda: threading.Timer(0.3, kill).start())
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), sink, executor=executor)
    assert any("begun again" in message for message in sink.logged)
    assert contents(tmp_path / "job") == local_job
    assert len(done_steps(tmp_path / "job")) == len(set(done_steps(tmp_path / "job")))


def test_a_killed_node_costs_only_what_it_held(nodes, tmp_path, local_job):
    sink = At("splat", lambda: nodes.kill(nodes.nodes[-1]))
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), sink, executor=executor)
    nodes.nodes.append(nodes.add())
    assert contents(tmp_path / "job") == local_job
    assert len(done_steps(tmp_path / "job")) == len(set(done_steps(tmp_path / "job")))


def test_cancelling_frees_the_cluster(nodes, tmp_path):
    import ray

    cancel = threading.Event()
    sink = At("dream", cancel.set)
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        with pytest.raises(Cancelled):
            generate(small_request(3), Folder(tmp_path / "job"), sink, cancel, executor=executor)
        assert sink.when is not None
        assert time.monotonic() - sink.when < 20  # the benchmark measures the 2 s
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        until = time.monotonic() + 20
        while ray.available_resources().get("CPU") != 2 and time.monotonic() < until:
            time.sleep(0.2)
        assert ray.available_resources()["CPU"] == 2
    finally:
        ray.shutdown()


def test_no_cluster_is_said(tmp_path):
    with pytest.raises(DreamzoomError, match="no Ray cluster answers"):
        RayPool("127.0.0.1:1", None, print)

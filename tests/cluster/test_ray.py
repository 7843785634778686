"""Steps on a Ray cluster of two nodes: the same bytes, deaths, cancellation."""

import os
import shutil
import threading
import time
from contextlib import closing

import pytest
from benchmarks.cluster.jobs import At, disturbed
from small_jobs import contents, done_steps, small_request
from small_stages import Listener

from core.errors import Cancelled, DreamzoomError
from dreamzoom import cluster
from dreamzoom.cluster.ray_pool import RayPool
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate


def test_the_bytes_are_those_of_the_local_executor(nodes, tmp_path, local_job):
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        assert executor.slots == 2
        generate(small_request(3), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == local_job


def test_a_killed_worker_costs_only_its_step(nodes, tmp_path, local_job):
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        sink = disturbed(small_request(3), Folder(tmp_path / "job"), executor, nodes.kill_worker)
    assert any("begun again" in message for message in sink.logged)
    assert contents(tmp_path / "job") == local_job
    assert len(done_steps(tmp_path / "job")) == len(set(done_steps(tmp_path / "job")))


def test_a_killed_node_costs_only_what_it_held(nodes, tmp_path, local_job):
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        disturbed(small_request(3), Folder(tmp_path / "job"), executor, lambda: nodes.kill(nodes.nodes[-1]))
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
        assert time.monotonic() - sink.when < 20  # the benchmark measures the 2 s
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        until = time.monotonic() + 20
        while ray.available_resources().get("CPU") != 2 and time.monotonic() < until:
            time.sleep(0.2)
        assert ray.available_resources()["CPU"] == 2
    finally:
        ray.shutdown()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="a file system of its own needs Linux and its root")
def test_machines_that_do_not_see_the_folder_get_what_they_lack(bare, tmp_path, local_job):
    told, moved, jobs, caches = [], [], tmp_path / "jobs", [tmp_path / "first", tmp_path / "second"]
    jobs.mkdir()
    with (
        bare.apart(jobs, caches[0]),
        bare.apart(jobs, caches[1]),
        closing(cluster.make(f"ray://{bare.address}", log=told.append)) as executor,
    ):
        assert executor.slots == 2
        generate(small_request(3), Folder(jobs / "job"), executor=executor)
        moved.append(dict(executor.moved))
        held = sum(path.stat().st_size for one in caches for path in one.rglob("*") if path.is_file())
        shutil.rmtree(jobs / "job/levels/002")
        generate(small_request(3), Folder(jobs / "job"), executor=executor)
        moved.append({name: executor.moved[name] - moved[0][name] for name in moved[0]})
    assert contents(jobs / "job") == local_job
    assert any("does not see" in line for line in told)
    made = sum(len(data) for name, data in local_job.items() if name.startswith(("levels", "plan")))
    assert moved[0]["fetched"] == made  # each file that a step wrote, once
    assert moved[0]["sent"] <= held  # nothing twice to the same machine
    assert moved[1]["fetched"] < made
    assert moved[1]["sent"] < moved[0]["sent"] / 4  # the machines have kept nearly all


def test_a_dead_head_that_comes_back_costs_only_what_was_held(nodes, tmp_path, local_job):
    told = []
    with closing(cluster.make(f"ray://{nodes.address}", log=told.append)) as executor:
        disturbed(small_request(3), Folder(tmp_path / "job"), executor, nodes.restart)
    assert any("is lost; trying to reach it" in line for line in told)
    assert contents(tmp_path / "job") == local_job
    assert len(done_steps(tmp_path / "job")) == len(set(done_steps(tmp_path / "job")))


def test_a_lost_cluster_ends_the_job_which_goes_on_when_there_is_one(nodes, tmp_path, local_job, monkeypatch):
    monkeypatch.setattr(RayPool, "WAITED", 3.0)
    with (
        closing(cluster.make(f"ray://{nodes.address}")) as executor,
        pytest.raises(DreamzoomError, match="is lost and did not come back") as failure,
    ):
        disturbed(small_request(3), Folder(tmp_path / "job"), executor, nodes.kill_all)
    assert "resume" in failure.value.remedy
    before = done_steps(tmp_path / "job")
    nodes.start_again()
    with closing(cluster.make(f"ray://{nodes.address}")) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == local_job
    done = done_steps(tmp_path / "job")
    assert before
    assert len(done) == len(set(done))


def test_a_cluster_without_a_free_core_is_said_and_given_up(bare, tmp_path, monkeypatch):
    monkeypatch.setattr(RayPool, "DRIVER", "impatient_driver")
    listener = Listener()
    with (
        closing(cluster.make(f"ray://{bare.address}")) as executor,
        pytest.raises(DreamzoomError, match="waiting for a free core") as failure,
    ):
        generate(small_request(), Folder(tmp_path / "job"), listener, executor=executor)
    assert "ray status" in failure.value.remedy
    assert any("waiting for a free core" in message for _, message in listener.logged)


def test_no_cluster_is_said(tmp_path):
    with pytest.raises(DreamzoomError, match="no Ray cluster answers"):
        RayPool("127.0.0.1:1", None, print)

"""Steps in worker processes: the same bytes, shares, cancellation, deaths, stores; batches and farms."""

import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from small_jobs import contents, done_steps, small, small_request
from small_stages import Listener, stage, steps

from core.errors import BadRequest, Cancelled, DreamzoomError, EngineUnavailable
from dreamzoom import cluster, parent_watch
from dreamzoom.cli.batch_table import BatchTable
from dreamzoom.cluster import batch, farm
from dreamzoom.cluster.fair_slots import FairSlots
from dreamzoom.cluster.pool import WorkerPool, uses_gpu
from dreamzoom.engines import registry
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.executors import InProcess
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build
from dreamzoom.progress import Report

ROOT = Path(__file__).resolve().parents[2]


class Side(InProcess):
    """Runs steps in this process, but several at once."""

    slots = 3


@pytest.fixture(scope="module")
def local_job(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("local") / "job")
    generate(small_request(), folder)
    return folder


def test_steps_run_side_by_side_when_what_they_read_is_done(tmp_path):
    together, most, lock = [], [], threading.Lock()

    def work(inputs, parameters, report):
        with lock:
            together.append(1)
            most.append(len(together))
        time.sleep(0.2)
        with lock:
            together.pop()
        return {"text": "x"}

    made = steps(*[stage(name, work=work) for name in "abc"], stage("d", ["a", "b", "c"]))
    summary = run(made, Folder(tmp_path), executor=Side())
    assert max(most) == 3
    assert summary.ran[-1] == "d"
    assert run(made, Folder(tmp_path), executor=Side()).ran == ()


def test_a_step_that_fails_ends_the_others_and_is_the_one_that_is_told(tmp_path):
    ended = []

    def waits(inputs, parameters, report):
        try:
            for _ in range(100):
                report.check()
                time.sleep(0.05)
        finally:
            ended.append(True)

    def fails(inputs, parameters, report):
        time.sleep(0.2)
        raise DreamzoomError("no")

    with pytest.raises(DreamzoomError, match="^no$"):
        run(steps(stage("a", work=waits), stage("b", work=fails)), Folder(tmp_path), executor=Side())
    assert ended
    assert {"cancelled", "failed"} <= {event["event"] for event in journal.read(Folder(tmp_path))}


def test_cancelling_ends_all_that_run(tmp_path):
    cancel = threading.Event()

    def waits(inputs, parameters, report):
        cancel.set()
        while True:
            report.check()
            time.sleep(0.02)

    with pytest.raises(Cancelled):
        run(steps(stage("a", work=waits), stage("b", work=waits)), Folder(tmp_path), None, cancel, executor=Side())


def test_worker_processes_give_the_same_bytes(tmp_path, local_job):
    listener = Listener()
    with closing(cluster.make("local:2")) as executor:
        generate(small_request(), Folder(tmp_path / "job"), listener, executor=executor)
    assert contents(tmp_path / "job") == contents(local_job.root)
    fractions = [told.fraction for told in listener.told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_a_store_gives_the_same_bytes_to_workers_that_do_not_see_the_folder(tmp_path, local_job, monkeypatch):
    pytest.importorskip("fsspec", reason="fsspec is not installed (pip install fsspec)")
    monkeypatch.setenv("DREAMZOOM_CACHE", str(tmp_path / "cache"))
    with closing(cluster.make("local:1", f"file://{tmp_path}/store")) as executor:
        generate(small_request(), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == contents(local_job.root)
    assert any((tmp_path / "cache").rglob("*"))


class Killer(Listener):
    """Kills a worker process when a stage begins, so often."""

    def __init__(self, pool, stage, times):
        super().__init__()
        self.pool, self.stage, self.times = pool, stage, times

    def progress(self, progress):
        super().progress(progress)
        if self.times and progress.stage == self.stage and progress.message != "done":
            for channel in list(self.pool._all):
                if channel.alive:
                    self.times -= 1
                    os.kill(channel.pid, signal.SIGTERM)
                    return


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_only_the_step_of_a_killed_worker_is_begun_again(tmp_path, local_job):
    with closing(cluster.make("local:1")) as pool:
        listener = Killer(pool, "splat", 1)
        generate(small_request(), Folder(tmp_path / "job"), listener, executor=pool)
    assert listener.times == 0
    assert any("begun again" in message for _, message in listener.logged)
    assert contents(tmp_path / "job") == contents(local_job.root)
    done = done_steps(tmp_path / "job")
    assert len(done) == len(set(done))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_step_whose_workers_always_die_fails_and_says_so(tmp_path):
    with closing(cluster.make("local:1")) as pool, pytest.raises(DreamzoomError, match="3 times") as failure:
        generate(small_request(), Folder(tmp_path), Killer(pool, "splat", 99), executor=pool)
    assert "memory" in failure.value.remedy


def test_cancel_is_heard_by_a_worker(tmp_path):
    cancel, heard = threading.Event(), []

    class AtFirst(Listener):
        def progress(self, progress):
            if progress.stage == "dream" and not heard:
                heard.append(time.monotonic())
                cancel.set()

    with closing(cluster.make("local:1")) as pool:
        with pytest.raises(Cancelled):
            generate(small_request(), Folder(tmp_path), AtFirst(), cancel, executor=pool)
        assert time.monotonic() - heard[0] < 60  # 2 s on an idle machine


def test_errors_of_workers_keep_their_kind(tmp_path):
    with closing(cluster.make("local:1")) as pool:
        made = steps(stage("a"))
        with pytest.raises(DreamzoomError, match="contains no job"):
            run(made, Folder(tmp_path), executor=pool)


@pytest.mark.parametrize("name", ["", "cloud", "local:0", "local:x", "local:9999", "ray:/x", "ray://"])
def test_unknown_executors_are_refused(name):
    with pytest.raises(BadRequest, match="executor"):
        cluster.make(name)


def test_where_steps_run_can_be_tried(tmp_path):
    assert cluster.tried("local") == {"slots": 1, "host": socket.gethostname()}
    assert cluster.tried("local:2")["slots"] == 2
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        cluster.tried("local:1", cancel=cancel)


def test_a_storage_is_tried_too(tmp_path):
    pytest.importorskip("fsspec", reason="fsspec is not installed (pip install fsspec)")
    assert cluster.tried("local:1", f"file://{tmp_path}/store")["slots"] == 1
    (tmp_path / "file").touch()
    with pytest.raises(DreamzoomError, match="can't be written"):
        cluster.tried("local:1", f"file://{tmp_path}/file/store")


def test_ray_is_imported_by_one_module_and_its_absence_is_one_line():
    imports = re.compile(r"^\s*(import|from) ray\b", re.MULTILINE)
    found = [path.name for path in (ROOT / "server").rglob("*.py") if imports.search(path.read_text("utf-8"))]
    assert found == ["ray_workers.py"]
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(EngineUnavailable, match="needs the package ray") as failure:
            cluster.make("ray")
        assert failure.value.remedy == 'install it: pip install "ray[default]"'


def test_steps_that_use_a_gpu_are_known():
    made = build(small_request(), registry.make(small_request()))
    assert {step.name.rpartition("/")[2] for step in made if uses_gpu(step)} >= {"image", "dream", "fit"}
    assert not any(uses_gpu(step) for step in made if step.name.endswith(("plan", "align")))


def test_the_step_with_the_most_work_behind_it_begins_first(tmp_path):
    order, lock = [], threading.Lock()

    def work(name):
        def run(inputs, parameters, report):
            with lock:
                order.append(name)
            time.sleep(0.05)
            return {"text": "x"}

        return run

    class Two(InProcess):
        slots = 2

    short = [stage(name, work=work(name)) for name in "abcd"]
    chain = [stage("e", work=work("e")), stage("f", ["e"], work=work("f")), stage("g", ["f"], work=work("g"))]
    run(steps(*short, *chain), Folder(tmp_path), executor=Two())
    assert set(order[:2]) == {"e", "a"}
    assert order.index("f") in (2, 3)


def test_waiting_for_a_slot_does_not_count_as_work(tmp_path):
    """Two jobs on one worker: each step's seconds are its own."""
    with closing(cluster.make("local:1")) as pool:
        made = [Folder(tmp_path / name) for name in "ab"]
        threads = [
            threading.Thread(target=generate, args=(small_request(), folder), kwargs={"executor": pool})
            for folder in made
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    assert sum(record["seconds"] for folder in made for record in records(folder)) <= took


def test_a_free_slot_goes_to_the_highest_priority_and_then_to_the_job_that_holds_fewest():
    slots, order, began = FairSlots("core", 1), [], []

    def hold(job):
        began.append(job)
        with slots.held(job):
            order.append(job)

    slots.priorities["urgent"] = 5
    with slots.held("a"):
        threads = []
        for job in ("a", "b", "urgent"):
            threads.append(threading.Thread(target=hold, args=(job,)))
            threads[-1].start()
            while job not in began:
                time.sleep(0.001)
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert order[0] == "urgent"
    assert sorted(order) == ["a", "b", "urgent"]


def test_waiting_for_a_slot_hears_of_cancellation():
    slots = FairSlots("core", 1)

    def cancelled():
        raise Cancelled

    with slots.held("a"), pytest.raises(Cancelled), slots.held("b", cancelled):
        pass
    with slots.held("c"):
        pass


def test_a_batch_runs_all_and_names_the_one_that_fails(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(small()))
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "list.txt").write_text("one.json\n# a comment\nbad.json\n\ntwo.json\n")
    jobs = batch.read_list(tmp_path / "list.txt", tmp_path / "out")
    batch.run_batch(jobs, InProcess(), 2, threading.Event(), lambda: None)
    assert [job.state for job in jobs] == ["done", "failed", "done"]
    assert "is required" in jobs[1].stage or "must" in jobs[1].stage
    assert contents(tmp_path / "out/one") == contents(tmp_path / "out/two")
    assert batch.summary(jobs)[-1] == "2 done, 0 running, 0 waiting, 1 failed"


def test_a_table_of_jobs(tmp_path):
    (tmp_path / "list.csv").write_text('Request;Out;Priority\n"a b.json";first;3\nc.json;;\n', encoding="utf-8-sig")
    first, second = batch.read_list(tmp_path / "list.csv", tmp_path / "jobs")
    assert (first.request, first.out, first.priority) == (tmp_path / "a b.json", tmp_path / "first", 3)
    assert (second.request, second.out, second.priority) == (tmp_path / "c.json", tmp_path / "jobs/c", 0)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("request,priority\na.json,high\n", r"list\[0\].priority"),
        ("request,size\na.json,3\n", r"list\[0\].size"),
        ("request,out\na.json,x,y\n", r"list\[0\].column 3"),
        ("request,out\n,x\n", r"list\[0\].request"),
        ("a.json\nfolder/a.json\n", r"list\[1\].out: is the folder of list\[0\] too"),
        ("# nothing\n", "list"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, text, field):
    (tmp_path / "list").write_text(text)
    with pytest.raises(BadRequest, match=field):
        batch.read_list(tmp_path / "list", tmp_path)


def test_a_live_table_shows_what_runs_and_what_failed(tmp_path):
    jobs = [batch.Job(tmp_path, tmp_path / f"job {number}") for number in range(50)]
    jobs[40].state, jobs[41].state, jobs[41].stage = "running", "failed", "no " + "such file " * 20
    assert [line.split("  ")[0] for line in batch.summary(jobs, 3)[:2]] == ["job 40", "job 41"]
    stream = io.StringIO()
    table = BatchTable(stream, jobs)
    table.show()
    jobs[40].state = "done"
    table.show(last=True)
    lines = stream.getvalue().splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["job", "40", "running"], ["job", "41", "failed"]]
    assert lines[2].startswith("job 40  done")
    assert lines[3:] == ["1 done, 0 running, 48 waiting, 1 failed"]


def test_jobs_of_a_higher_priority_begin_first(tmp_path):
    entries = [{"request": "none.json", "out": name, "priority": number} for number, name in enumerate("abc")]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    jobs, begun = batch.read_list(tmp_path / "list.json", tmp_path), []

    def changed():
        begun.extend(job.out.name for job in jobs if job.state == "running" and job.out.name not in begun)

    batch.run_batch(jobs, InProcess(), 1, threading.Event(), changed)
    assert begun == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([], "list"),
        ([1], r"list\[0\].request"),
        ([{"request": "a", "colour": 1}], r"list\[0\].colour"),
        ([{"request": "a", "priority": "high"}], r"list\[0\].priority"),
        ([{"request": "a", "out": 3}], r"list\[0\].out"),
        ([{"request": "a", "out": "x"}, {"request": "b", "out": "x"}], r"list\[1\].out"),
    ],
)
def test_bad_lists_are_refused_by_name(tmp_path, entries, field):
    (tmp_path / "list.json").write_text(json.dumps(entries))
    with pytest.raises(BadRequest, match=field):
        batch.read_list(tmp_path / "list.json", tmp_path)


STAND_IN = """
import json, sys, os
from PIL import Image
plan = json.loads(sys.argv[-1])
for frame, target in plan["frames"]:
    fault = os.path.join(os.path.dirname(target), f"fault-{frame}")
    if os.path.exists(fault):
        os.unlink(fault)
        open(target, "wb").write(b"half")
        sys.exit("killed half way")
    Image.new("RGB", (8, 6), (frame, 0, 0)).save(target)
"""


class StandIn(farm.Film):
    """Renders pictures of one colour, in place of Blender."""

    def command(self, plan):
        import sys

        return [sys.executable, "-c", STAND_IN, json.dumps(plan)]


def test_a_farm_renders_missing_and_damaged_frames_again(tmp_path):
    (tmp_path / "scene.blend").write_bytes(b"scene")
    out = tmp_path / "out"
    out.mkdir()
    film = StandIn(tmp_path / "scene.blend", range(1, 13), out, "python3")
    (out / "fault-3").touch()
    (out / "fault-9").touch()
    with closing(WorkerPool(2, None, print)) as pool:
        farm.render(film, pool, Report())
        assert all(farm.is_whole(film.picture(frame)) for frame in film.frames)
        before = film.picture(4).stat().st_mtime_ns
        farm.render(film, pool, Report())
        assert film.picture(4).stat().st_mtime_ns == before


def test_a_farm_that_can_not_render_says_what_blender_said(tmp_path):
    class Broken(farm.Film):
        def command(self, plan):
            import sys

            return [sys.executable, "-c", "raise SystemExit('no scene here')"]

    with (
        closing(WorkerPool(1, None, print)) as pool,
        pytest.raises(DreamzoomError, match="2 of 2 frames.*no scene here"),
    ):
        (tmp_path / "x.blend").touch()
        farm.render(Broken(tmp_path / "x.blend", range(1, 3), tmp_path / "out", "blender"), pool, Report())


HOLDING = """
import subprocess, sys, time
pipe = subprocess.PIPE
worker = subprocess.Popen([sys.executable, "-m", "dreamzoom.cluster.worker"], stdin=pipe, stdout=pipe)
worker.stdout.readline()
held = subprocess.Popen(["sleep", "60"], pass_fds=[worker.stdin.fileno()], start_new_session=True, stdout=-3, stderr=-3)
print(worker.pid, held.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="on Windows no other process gets the pipe")
def test_a_worker_ends_with_its_pool_also_if_another_process_holds_its_input():
    paths = [str(Path(__file__).parents[2] / "server"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    pool = subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, env=variables)
    worker, held = map(int, pool.stdout.readline().split())
    pool.kill()
    pool.communicate()
    try:
        until = time.monotonic() + 30
        while parent_watch._lives(worker):
            assert time.monotonic() < until, "the worker goes on"
            time.sleep(0.05)
    finally:
        os.kill(held, signal.SIGKILL)

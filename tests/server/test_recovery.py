"""What a job does by itself after a failure: less memory, once more, apart, and waiting for space."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_stages import Listener, chain, events, stage, steps

from core.errors import Cancelled, DreamzoomError
from dreamzoom.cluster.quarantine import Local
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.executors import SetAside
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.recovery import attempts, disk_space, failures
from dreamzoom.pipeline.runner import run
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request
from dreamzoom.splats import threads

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"


def failing(error, times, seen=None):
    """The work of a stage that fails so many times."""
    left = [times]

    def work(inputs, parameters, report):
        if seen is not None:
            seen.append((report.less_memory, threads.is_single()))
        if left[0]:
            left[0] -= 1
            raise error
        return {"text": "done"}

    return work


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            RuntimeError("CUDA error: out of memory"),
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
            RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
            RuntimeError("MPS backend out of memory"),
            OSError(errno.ENOMEM, "Cannot allocate memory"),
        ],
    )
    def test_memory_is_told_from_other_failures(self, error):
        assert failures.lacks_memory(error)
        assert not failures.lacks_memory(RuntimeError("shapes can't be multiplied"))
        wrapped = DreamzoomError("a model can't be loaded")
        wrapped.__cause__ = error
        assert failures.lacks_memory(wrapped)

    def test_torch_says_it_in_its_own_way(self):
        import torch

        assert failures.lacks_memory(torch.OutOfMemoryError("CUDA out of memory"))

    def test_a_disk_that_did_not_answer_may_answer_later(self):
        assert failures.may_pass(OSError(errno.ESTALE, "Stale file handle"))
        assert not failures.may_pass(OSError(errno.ENOSPC, "No space left on device"))
        assert not failures.may_pass(ValueError())


class TestOnceMore:
    def test_a_step_without_memory_is_tried_again_once_with_less(self, tmp_path):
        seen, sink = [], Listener()
        run(steps(stage("one", work=failing(MemoryError(), 1, seen))), Folder(tmp_path), sink)
        assert seen == [(False, False), (True, True)]
        [(level, message)] = sink.logged
        assert level == "warning"
        assert "test: not enough memory; trying once more with one thread" in message
        assert events(Folder(tmp_path)) == [("start", "one"), ("failed", "one"), ("start", "one"), ("done", "one")]
        assert not threads.is_single()

    def test_a_second_time_it_is_an_error_with_a_remedy(self, tmp_path):
        with pytest.raises(DreamzoomError, match="not even with one thread") as caught:
            run(steps(stage("one", work=failing(MemoryError(), 2))), Folder(tmp_path))
        assert "smaller picture" in caught.value.remedy
        assert events(Folder(tmp_path))[-1] == ("failed", "one")

    def test_a_disk_that_did_not_answer_is_asked_once_more(self, tmp_path, monkeypatch):
        monkeypatch.setattr(attempts, "PAUSE", 0.01)
        sink = Listener()
        run(steps(stage("one", work=failing(OSError(errno.EIO, "Input/output error"), 1))), Folder(tmp_path), sink)
        assert "trying once more" in sink.logged[0][1]

    def test_other_failures_are_not_repeated(self, tmp_path):
        seen = []
        with pytest.raises(ValueError, match="wrong"):
            run(steps(stage("one", work=failing(ValueError("wrong"), 1, seen))), Folder(tmp_path))
        assert len(seen) == 1

    def test_the_engine_unloads_its_models(self):
        class Engine:
            freed = 0

            def free_memory(self):
                self.freed += 1
                return "models in smaller parts"

        engine, sink = Engine(), Listener()
        report = type("Report", (), {"log": lambda self, text, level: sink.log(text, level), "less_memory": False})()
        calls = []

        def work():
            calls.append(report.less_memory)
            if len(calls) == 1:
                raise MemoryError

        attempts.attempt(work, "dream, level 2", engine, report, lambda error: None)
        assert (calls, engine.freed, report.less_memory) == ([False, True], 1, False)
        assert "models in smaller parts" in sink.logged[0][1]


class TestCrashes:
    def written(self, root, *told):
        folder = Folder(root)
        root.mkdir(exist_ok=True)
        with folder.lock():
            for event, digest in told:
                journal.note(folder, event, step="x", digest=digest)
        return journal.crashes(journal.read(folder))

    def test_what_began_and_never_ended_counts(self, tmp_path):
        assert self.written(tmp_path / "a", ("start", "d"), ("start", "d")) == {"d": 2}
        assert self.written(tmp_path / "b", ("start", "d"), ("failed", "d"), ("start", "d")) == {"d": 1}
        assert self.written(tmp_path / "c", ("start", "d"), ("start", "d"), ("done", "d")) == {}
        assert self.written(tmp_path / "d", ("start", "d"), ("interrupted", "d"), ("start", "e")) == {"e": 1}

    def test_a_process_that_ends_on_purpose_leaves_no_crash(self, tmp_path):
        folder = Folder(tmp_path)
        with folder.lock():
            written = journal.Journal(folder)
            written.write("start", step="one", digest="d")
            written.write("start", step="two", digest="e")
            written.write("done", step="two", digest="e")
            journal.note_exit()
            written.close()
        assert journal.crashes(journal.read(folder)) == {}
        assert events(folder)[-1] == ("interrupted", "one")

    def test_a_step_that_ended_the_process_twice_runs_apart_and_the_rest_goes_on(self, tmp_path):
        """The executor's second process is real in the next test; here is what the runner makes of its end."""

        class Apart(Local):
            def execute_apart(self, step, folder, report):
                raise SetAside(f"{step.name} ended its process again", "generate again")

        made = steps(
            stage("one"), stage("bad"), stage("after", ["bad"]), stage("later", ["after"]), stage("other", ["one"])
        )
        folder, sink = Folder(tmp_path), Listener()
        with folder.lock():
            for _ in range(2):
                journal.note(folder, "start", step="bad", digest=next(s.digest for s in made if s.name == "bad"))
        with pytest.raises(SetAside, match="bad ended its process again"):
            run(made, folder, sink, executor=Apart())
        assert folder.exists("other.txt")
        assert not folder.exists("after.txt")
        told = [message for _, message in sink.logged]
        assert "begun 2 times and never ended" in told[0]
        assert "go on" in told[1]

    @pytest.mark.skipif(sys.platform == "win32", reason="signals")
    def test_killed_twice_in_one_step_a_job_ends_with_that_step_in_another_process(self, tmp_path):
        request = convert_request(example(1, (48, 32)) | {"quality": "draft"})
        whole = Folder(tmp_path / "whole")
        generate(request, whole)
        root = tmp_path / "job"
        program = (
            "import sys, os, signal, json; from pathlib import Path; from dreamzoom.pipeline.folder import Folder\n"
            "from dreamzoom.pipeline.generate import generate; from dreamzoom.pipeline.executors import InProcess\n"
            "from dreamzoom.request.validation import decode_request\n"
            "class Dies(InProcess):\n"
            "    def execute(self, step, folder, report):\n"
            "        if step.stage.name == 'dream': os.kill(os.getpid(), signal.SIGKILL)\n"
            "        super().execute(step, folder, report)\n"
            "generate(decode_request(Path(sys.argv[1]).read_bytes()), Folder(Path(sys.argv[2])), executor=Dies())\n"
        )
        command = [sys.executable, "-c", program, str(whole.root / "request.json"), str(root)]
        for _ in range(2):
            ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SERVER)}, capture_output=True)
            assert ended.returncode == -signal.SIGKILL, ended.stderr
        sink = Listener()
        generate(request, Folder(root), sink, executor=Local())
        assert any("process of its own" in message for _, message in sink.logged)
        for name in ("levels/000/image.png", "levels/000/splats.ply"):
            assert Folder(root).digest(name) == whole.digest(name)


class TestSpace:
    def room(self, tmp_path, free, monkeypatch):
        monkeypatch.setattr(disk_space, "free_bytes", lambda path: free[0])
        return disk_space.Room(Folder(tmp_path / "job"), convert_request(example(3, (480, 270)) | {"quality": "draft"}))

    def test_the_estimate_is_that_of_a_finished_job(self, tmp_path, monkeypatch):
        """The factors were measured at 64×36 to 480×270; this job is a small one, so its share of records is large."""
        request = convert_request(example(2, (96, 54)) | {"quality": "draft"})
        made = []

        class Kept(Local):
            def execute(self, step, folder, report):
                made.append(step)
                super().execute(step, folder, report)

        folder = Folder(tmp_path)
        generate(request, folder, executor=Kept())
        real = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        estimated = disk_space.Room(folder, request).bytes_of(file for step in made for file in step.files)
        assert 0.7 * real < estimated < 1.5 * real

    def test_a_job_without_space_is_refused_before_it_begins(self, tmp_path, monkeypatch):
        monkeypatch.setattr(disk_space, "free_bytes", lambda path: 20_000_000)
        with pytest.raises(DreamzoomError) as caught:
            generate(convert_request(example(3, (480, 270))), Folder(tmp_path / "job"))
        assert str(tmp_path / "job") in str(caught.value)
        assert "20 MB are free there" in str(caught.value)
        assert "fewer levels" in caught.value.remedy
        assert not (tmp_path / "job" / "levels").exists()

    def test_a_step_waits_for_space_before_it_writes(self, tmp_path, monkeypatch):
        free, sink = [10**12], Listener()
        room = self.room(tmp_path, free, monkeypatch)

        def work(inputs, parameters, report):
            free[0] = 1000
            threading.Timer(0.5, lambda: free.__setitem__(0, 10**12)).start()
            return {"text": "computed once"}

        began = time.monotonic()
        run(steps(stage("one", work=work)), Folder(tmp_path / "job"), sink, room=room)
        assert time.monotonic() - began >= 0.4
        [(level, message)] = sink.logged
        assert level == "warning"
        assert "nearly full" in message and str(tmp_path / "job") in message and "waits" in message

    def test_waiting_ends_with_a_cancel_or_with_patience(self, tmp_path, monkeypatch):
        free, cancel = [1000], threading.Event()
        room = self.room(tmp_path, free, monkeypatch)
        threading.Timer(0.3, cancel.set).start()
        with pytest.raises(Cancelled):
            run(chain(), Folder(tmp_path / "job"), cancel=cancel, room=room)
        monkeypatch.setattr(disk_space, "PATIENCE", 0.1)
        with pytest.raises(DreamzoomError, match="nearly full") as caught:
            run(chain(), Folder(tmp_path / "job"), room=room)
        assert "goes on from where it stopped" in caught.value.remedy
        free[0] = 10**12
        assert run(chain(), Folder(tmp_path / "job"), room=room).ran == ("one", "two", "three")

"""The runner, with small steps that really write files: what it does again, cancels, progress, kills."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_stages import BYTES, Listener, chain, events, stage, steps

from core.errors import Cancelled
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.eta import Eta
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import digests
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.layout import Entry

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"


class TestRun:
    def test_a_second_run_does_nothing(self, tmp_path):
        folder = Folder(tmp_path)
        assert run(chain(), folder).ran == ("one", "two", "three")
        again = run(chain(), folder)
        assert (again.ran, again.skipped) == ((), ("one", "two", "three"))
        assert events(folder)[-3:] == [("skipped", "one"), ("skipped", "two"), ("skipped", "three")]

    def test_a_changed_parameter_redoes_what_depends_on_it(self, tmp_path):
        folder = Folder(tmp_path)
        run(chain("b"), folder)
        assert run(chain("c"), folder).ran == ("two", "three")
        assert run(chain("b"), folder).ran == ("two", "three"), "their files were overwritten"
        assert len(records(folder)) == 3

    def test_a_damaged_output_is_made_again(self, tmp_path):
        folder = Folder(tmp_path)
        run(chain(), folder)
        whole = folder.read("two.txt")
        folder.write("two.txt", whole[:-1] + b"?")
        assert run(chain(), folder).ran == ("two",)
        folder.remove("two.txt")
        assert run(chain(), folder).ran == ("two",)
        assert folder.read("two.txt") == whole

    def test_a_damaged_record_is_made_again(self, tmp_path):
        folder = Folder(tmp_path)
        run(chain(), folder)
        for text in (b"", b"{", b"[]", b'{"outputs": 3}'):
            folder.write(f"stages/{digests(chain())['two']}.json", text)
            assert run(chain(), folder).ran == ("two",)

    def test_a_failure_leaves_what_was_done(self, tmp_path):
        folder = Folder(tmp_path)

        def fail(inputs, parameters, report):
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            run(steps(stage("one"), stage("two", work=fail)), folder)
        assert journal.read(folder)[-1]["error"] == "RuntimeError: no"
        assert run(steps(stage("one"), stage("two")), folder).ran == ("two",)

    def test_a_step_that_writes_too_little_is_not_done(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"two did not write two\.txt"):
            run(steps(stage("two", work=lambda inputs, parameters, report: {})), Folder(tmp_path))
        assert records(Folder(tmp_path)) == []

    def test_what_a_stage_does_not_declare_it_can_neither_read_nor_write(self, tmp_path):
        def peek(inputs, parameters, report):
            return {"text": inputs["one"]}

        with pytest.raises(KeyError, match="two does not declare 'one' in reads"):
            run(steps(stage("one"), stage("two", work=peek)), Folder(tmp_path))
        with pytest.raises(ValueError, match="two returned 'more'"):
            run(steps(stage("two", work=lambda *_: {"more": ""})), Folder(tmp_path))

    def test_a_torn_journal_line_is_survived(self, tmp_path):
        folder = Folder(tmp_path)
        run(chain()[:1], folder)
        with (tmp_path / layout.JOURNAL).open("ab") as file:
            file.write(b'{"ts": "2026')
        run(chain(), folder)
        assert events(folder) == [
            *[("start", "one"), ("done", "one"), ("skipped", "one")],
            *[("start", "two"), ("done", "two"), ("start", "three"), ("done", "three")],
        ]

    def test_what_a_killed_writer_left_is_swept(self, tmp_path):
        folder = Folder(tmp_path)
        folder.write("levels/000/x", b"")
        (tmp_path / "levels/000/.writing-image.png").write_bytes(b"half")
        run([], folder)
        assert [p.name for p in (tmp_path / "levels/000").iterdir()] == ["x"]


class TestCancel:
    def test_inside_a_step(self, tmp_path):
        folder, cancel = Folder(tmp_path), threading.Event()

        def work(inputs, parameters, report):
            cancel.set()
            report.progress(0.1)
            raise AssertionError

        with pytest.raises(Cancelled):
            run(steps(stage("one"), stage("two", work=work)), folder, cancel=cancel)
        assert events(folder)[-1] == ("cancelled", "two")
        assert run(steps(stage("one"), stage("two")), folder).skipped == ("one",)

    def test_between_steps(self, tmp_path):
        folder, cancel = Folder(tmp_path), threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            run(chain(), folder, cancel=cancel)
        assert not folder.exists("one.txt")


class TestProgress:
    def test_never_falls_and_ends_at_one(self, tmp_path):
        def work(inputs, parameters, report):
            for fraction in (0.0, 0.8, 0.4, 2.0):
                report.progress(fraction, f"at {fraction}")
            return {"text": ""}

        listener = Listener()
        run(steps(stage("one", weight=3), stage("two", work=work, level=1)), Folder(tmp_path), listener)
        fractions = [told.fraction for told in listener.told]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0, 1)
        assert {(told.stage, told.level) for told in listener.told} == {("test", None), ("test", 1)}

    def test_is_told_about_ten_times_a_second(self, tmp_path):
        def work(inputs, parameters, report):
            end = time.monotonic() + 0.35
            while time.monotonic() < end:
                report.progress(0.5)
            return {"text": ""}

        listener = Listener()
        run(steps(stage("one", work=work)), Folder(tmp_path), listener)
        assert 3 <= len(listener.told) <= 6

    def test_seconds_left_follow_the_weights(self):
        made = steps(*[stage(name, weight=weight) for name, weight in (("a", 1), ("b", 3), ("c", 2))])
        times = iter((0.0, 7.0, 12.0))  # it is made, the first step begins, it ends
        eta = Eta(made, lambda: next(times))
        assert eta.seconds_left() is None
        eta.at(made[0], 0.0)
        eta.finish(made[0])
        assert eta.seconds_left() == pytest.approx(25)
        eta.skip(made[1])
        assert eta.seconds_left() == pytest.approx(10)
        assert eta.fraction == pytest.approx(4 / 6)

    def test_artifacts_are_told_also_of_what_was_done(self, tmp_path):
        def work(inputs, parameters, report):
            report.preview(np.zeros((4, 4, 3), np.float32))
            return {"image": b""}

        shown = Entry("image", "levels/{level:03d}/image.png", BYTES, "image")
        image = replace(stage("i", work=work, level=1), writes={"image": shown})
        first, second = Listener(), Listener()
        run(steps(image), Folder(tmp_path), first)
        run(steps(image), Folder(tmp_path), second)
        assert first.artifacts == [("preview", 1, "live.png"), ("image", 1, "levels/001/image.png")]
        assert second.artifacts == [("image", 1, "levels/001/image.png")]
        assert not (tmp_path / "live.png").exists(), "an unfinished picture is nothing to keep"


class TestKilled:
    def test_at_any_moment_resumes_to_the_same_bytes(self, tmp_path):
        """A process that is killed while it writes goes on where it stopped, and repeats nothing that was finished."""
        program = (
            "import sys, time; from pathlib import Path\n"
            "from dreamzoom.request.example import example; from dreamzoom.request.validation import convert_request\n"
            "from dreamzoom.pipeline.folder import Folder; from dreamzoom.pipeline.runner import run\n"
            "from dreamzoom.pipeline.steps import bind; from dreamzoom.pipeline.rng import rng\n"
            "from dreamzoom.stages.base.context import make_context\n"
            "from dreamzoom.stages.base.files import Format\n"
            "from dreamzoom.stages.base.layout import Entry\n"
            "from dreamzoom.stages.base.stage import Stage, own, whole_job\n"
            "BYTES = Format(lambda path: path.read_bytes(), lambda path, data: path.write_bytes(data))\n"
            "def entry(i): return Entry(f's{i}', f's{i}', BYTES)\n"
            "def make(i):\n"
            "    def work(inputs, parameters, report):\n"
            "        report.progress(0.5)\n"
            "        before = inputs['before'] if i else b''\n"
            "        return {'data': before[:1000] + rng(7, f's{i}').bytes(3_000_000)}\n"
            "    reads = {'before': own(entry(i - 1))} if i else {}\n"
            "    return Stage(f's{i}', 1, reads, {'data': entry(i)}, lambda *_: {}, work, 'x', scopes=whole_job)\n"
            "steps = bind([make(i) for i in range(12)], make_context(convert_request(example(1)), None))\n"
            "folder = Folder(Path(sys.argv[1]))\n"
            "with folder.lock():\n    print('go', flush=True); run(steps, folder)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(SERVER)}

        def start(root):
            return subprocess.Popen(
                [sys.executable, "-c", program, root], stdout=subprocess.PIPE, env=environment, encoding="utf-8"
            )

        assert start(tmp_path / "whole").wait() == 0
        delays = np.random.default_rng(5).uniform(0, 0.12, 10)
        for delay in delays:
            process = start(tmp_path / "killed")
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            process.communicate()
        assert start(tmp_path / "killed").wait() == 0
        for index in range(12):
            assert Folder(tmp_path / "killed").digest(f"s{index}") == Folder(tmp_path / "whole").digest(f"s{index}")
        finished = set()
        for event in journal.read(Folder(tmp_path / "killed")):
            if event["event"] == "start":
                assert event["step"] not in finished
            elif event["event"] == "done":
                finished.add(event["step"])


class TestEstimates:
    """Time left: within a third of the truth from a tenth of the job on, whatever the machine's load."""

    STAGES = {"image": 2.3, "dream": 2.2, "fit": 3.1, "export": 4.5}  # seconds, measured
    WEIGHTS = {"image": 2.0, "dream": 2.5, "fit": 3.0, "export": 4.0}

    def flown(self, load, measured, loading):
        """A job of six levels on a machine that is `load` times slower than usual; the first step also loads code.

        Returns:
            Tuples (share of the time that has passed, seconds since the start, estimated and true seconds left).
        """
        made = steps(*[stage(f"{name}{k}", weight=self.WEIGHTS[name]) for name in self.STAGES for k in range(6)])
        seconds = [load * self.STAGES[step.stage.name.rstrip("0123456789")] for step in made]
        usual = {step.name: took / load for step, took in zip(made, seconds)} if measured else {}
        seconds[0] += loading
        clock, found, whole = [0.0], [], sum(seconds)
        eta = Eta(made, lambda: clock[0], measured=usual)
        for step, took in zip(made, seconds):
            eta.at(step, 0.0)
            for part in range(4):
                eta.at(step, part / 4)
                left = eta.seconds_left()
                if left is not None:
                    found.append((clock[0] / whole, clock[0], left, whole - clock[0]))
                clock[0] += took / 4
            eta.finish(step)
        return found

    @pytest.mark.parametrize("load", [0.7, 1.0, 1.5, 2.0])
    def test_with_measured_times(self, load):
        """Loading code takes 12 of the first job's seconds, which can't be foreseen: after it, the estimate holds."""
        for loading in (0.0, 12.0):
            for passed, seconds, left, true in self.flown(load, True, loading):
                if passed >= 0.1 + loading / (seconds + true):
                    assert 2 / 3 < (seconds + left) / (seconds + true) < 4 / 3, (passed, loading)

    @pytest.mark.parametrize("load", [0.15, 5.0, 12.0])
    def test_a_machine_of_another_kind_is_noticed_within_a_third_of_the_job(self, load):
        """Times of another machine, or of one that was idle then: the estimate does not stay wrong."""
        for passed, seconds, left, true in self.flown(load, True, 0.0):
            if passed >= 0.34:
                assert 2 / 3 < (seconds + left) / (seconds + true) < 4 / 3, passed

    def test_the_first_job_of_a_machine_goes_by_the_weights(self):
        for passed, seconds, left, true in self.flown(1.0, False, 0.0):
            if passed >= 0.1:
                assert 2 / 3 < (seconds + left) / (seconds + true) < 4 / 3, passed

    def test_times_of_the_first_job_are_found_in_the_second(self, tmp_path, monkeypatch):
        from core import step_times
        from dreamzoom.pipeline.eta import StepTimer
        from dreamzoom.request.example import example
        from dreamzoom.request.validation import convert_request

        monkeypatch.setenv(step_times.VARIABLE, str(tmp_path / "times.json"))
        request = convert_request(example(2, (64, 48)))
        both = replace(stage("a", level=0), scopes=lambda context: [0, 1], writes={"text": layout.COUNTS})
        made = steps(both, stage("b", level=None))
        timer = StepTimer(request)
        assert timer.measured(made) == {}
        seconds = {"levels/000/a": 9.0, "levels/001/a": 3.0, "b": 2.0}
        timer.add(seconds, made)
        assert StepTimer(request).measured(made) == seconds

    def test_the_first_job_of_a_process_has_times_of_its_own(self, tmp_path, monkeypatch):
        from core import step_times
        from dreamzoom.pipeline import eta
        from dreamzoom.request.example import example
        from dreamzoom.request.validation import convert_request

        monkeypatch.setenv(step_times.VARIABLE, str(tmp_path / "times.json"))
        monkeypatch.setattr(eta, "_loaded", set())
        request, made = convert_request(example(1, (64, 48))), steps(stage("a", level=0))
        eta.StepTimer(request).add({"levels/000/a": 9.0}, made)
        eta.StepTimer(request).add({"levels/000/a": 3.0}, made)
        assert eta.StepTimer(request).measured(made) == {"levels/000/a": 3.0}
        monkeypatch.setattr(eta, "_loaded", set())  # as in another process
        assert eta.StepTimer(request).measured(made) == {"levels/000/a": 9.0}

    def test_lanes_that_stay_empty_do_not_count(self):
        """Two lanes, of which one waits all the time: the time left is that of one."""
        made = steps(*[stage(f"s{k}", weight=1.0) for k in range(4)])
        clock = [0.0]
        eta = Eta(made, lambda: clock[0], measured=dict.fromkeys((step.name for step in made), 10.0), lanes=2)
        assert eta.seconds_left() == pytest.approx(20)
        for step in made[:2]:
            eta.at(step, 0.0)
            clock[0] += 10
            eta.finish(step)
        assert eta.seconds_left() == pytest.approx(20)

"""The job folder, the graph of steps and the runner, with small steps that really write files."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import Cancelled
from dreamzoom.job import journal
from dreamzoom.job.clock import Clock
from dreamzoom.job.folder import Folder, FolderBusy
from dreamzoom.job.live import LivePicture
from dreamzoom.job.numbers import rng, seed_of
from dreamzoom.job.runner import Progress, Sink, records, run
from dreamzoom.job.steps import Step, digests

SERVER = Path(__file__).parents[2] / "server"


def step(name, needs=(), parameters=None, work=None, *, version=1, level=None, weight=1.0):
    """A step that writes `<name>.txt`: its parameters and the content of what it needs."""
    output = f"{name}.txt"

    def write(folder, report):
        report.progress(0.5, f"writing {name}")
        inputs = [folder.read(f"{need}.txt").decode() for need in needs]
        folder.write(output, json.dumps([name, parameters, inputs]).encode())

    return Step(name, "test", level, version, parameters or {}, tuple(needs), (output,), work or write, weight)


def chain(second="b"):
    return [step("one", parameters={"v": "a"}), step("two", ["one"], {"v": second}), step("three", ["two"])]


class TestFolder:
    def test_a_failed_write_leaves_what_was_there(self, tmp_path):
        folder = Folder(tmp_path)
        folder.write("levels/000/image.png", b"old")

        def fail(temporary):
            temporary.write_bytes(b"half")
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            folder.write_with("levels/000/image.png", fail)
        assert folder.read("levels/000/image.png") == b"old"
        assert [p.name for p in (tmp_path / "levels/000").iterdir()] == ["image.png"]

    def test_a_writer_sees_the_suffix_of_its_file(self, tmp_path):
        Folder(tmp_path).write_with("a/cloud.ply", lambda path: path.write_text(path.suffix))
        assert (tmp_path / "a/cloud.ply").read_text() == ".ply"

    @pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/etc/x", "C:/x", "a\\..\\x", "."])
    def test_names_cannot_lead_out(self, tmp_path, name):
        with pytest.raises(ValueError, match="within the job folder"):
            Folder(tmp_path).path(name)

    def test_json_refuses_nan(self, tmp_path):
        with pytest.raises(ValueError, match="JSON"):
            Folder(tmp_path).write_json("x.json", {"a": float("nan")})
        assert not Folder(tmp_path).exists("x.json")

    def test_digest_and_size(self, tmp_path):
        folder = Folder(tmp_path)
        folder.write("x", b"abc")
        assert folder.size("x") == 3
        assert folder.digest("x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def test_free_is_what_holds_nothing_of_the_artist(self, tmp_path):
        assert Folder(tmp_path / "new").is_free()
        (tmp_path / ".lock").touch()
        (tmp_path / "Thumbs.db").touch()
        assert Folder(tmp_path).is_free()
        (tmp_path / "holiday.jpg").touch()
        assert not Folder(tmp_path).is_free()

    def test_any_language(self, tmp_path):
        folder = Folder(tmp_path / "Отпуск 山の夢 é")
        folder.write_json("request.json", {"prompt": "葉っぱ"})
        assert folder.read_json("request.json") == {"prompt": "葉っぱ"}


class TestLock:
    def test_one_at_a_time(self, tmp_path):
        with (
            Folder(tmp_path).lock(),
            pytest.raises(FolderBusy, match="another process"),
            Folder(tmp_path).lock(),
        ):
            raise AssertionError
        with Folder(tmp_path).lock():
            pass

    def test_another_process_holds_it_until_it_is_killed(self, tmp_path):
        hold = (
            "import sys,time; from pathlib import Path; from dreamzoom.job.folder import Folder\n"
            "with Folder(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
        )
        environment = os.environ | {"PYTHONPATH": str(SERVER)}
        other = subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, env=environment)
        try:
            assert other.stdout.readline().strip() == b"held"
            with pytest.raises(FolderBusy), Folder(tmp_path).lock():
                raise AssertionError
        finally:
            other.kill()
            other.communicate()
        with Folder(tmp_path).lock():
            pass


class TestDigests:
    def test_depend_on_everything_above(self):
        before, after = digests(chain("b")), digests(chain("c"))
        assert before["one"] == after["one"]
        assert before["two"] != after["two"]
        assert before["three"] != after["three"]

    def test_depend_on_the_version(self):
        assert digests([step("a", version=1)]) != digests([step("a", version=2)])

    def test_do_not_depend_on_the_order_of_keys(self):
        one, two = step("a", parameters={"x": 1, "y": "é"}), step("a", parameters={"y": "é", "x": 1})
        assert digests([one]) == digests([two])

    def test_are_the_same_in_every_version(self):
        assert digests([step("a")])["a"] == "d77bafecb722da99e674430f3722a493594e65993141d7e23965d70f19fb171a"

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            ([step("a", ["b"])], "'a' needs 'b'"),
            ([step("a", ["b"]), step("b", ["a"])], "'a' needs 'b'"),
            ([step("a"), step("a")], "two steps are named 'a'"),
            ([step("a"), Step("b", "", None, 1, {}, (), ("a.txt",), lambda *_: None)], "both write 'a.txt'"),
            ([step("a", parameters={"x": float("nan")})], "JSON"),
        ],
    )
    def test_refuse_a_wrong_graph(self, steps, message):
        with pytest.raises(ValueError, match=message):
            digests(steps)


class Listener(Sink):
    def __init__(self):
        self.told, self.logged, self.artifacts = [], [], []

    def progress(self, progress: Progress):
        self.told.append(progress)

    def log(self, message, level):
        self.logged.append((level, message))

    def artifact(self, kind, level, name):
        self.artifacts.append((kind, level, name))


def events(folder):
    return [(event["event"], event["step"]) for event in journal.read(folder)]


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

        def fail(folder, report):
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            run([step("one"), step("two", work=fail)], folder)
        assert journal.read(folder)[-1]["error"] == "RuntimeError: no"
        assert run([step("one"), step("two")], folder).ran == ("two",)

    def test_a_step_that_writes_too_little_is_not_done(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"two did not write two\.txt"):
            run([step("two", work=lambda folder, report: None)], Folder(tmp_path))
        assert records(Folder(tmp_path)) == []

    def test_a_torn_journal_line_is_survived(self, tmp_path):
        folder = Folder(tmp_path)
        run(chain()[:1], folder)
        with (tmp_path / journal.NAME).open("ab") as file:
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

        def work(folder, report):
            cancel.set()
            report.progress(0.1)
            raise AssertionError

        with pytest.raises(Cancelled):
            run([step("one"), step("two", work=work)], folder, cancel=cancel)
        assert events(folder)[-1] == ("cancelled", "two")
        assert run([step("one"), step("two")], folder).skipped == ("one",)

    def test_between_steps(self, tmp_path):
        folder, cancel = Folder(tmp_path), threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            run(chain(), folder, cancel=cancel)
        assert not folder.exists("one.txt")


class TestProgress:
    def test_never_falls_and_ends_at_one(self, tmp_path):
        def work(folder, report):
            for fraction in (0.0, 0.8, 0.4, 2.0):
                report.progress(fraction, f"at {fraction}")
            folder.write("two.txt", b"")

        listener = Listener()
        run([step("one", weight=3), step("two", work=work, level=1)], Folder(tmp_path), listener)
        fractions = [told.fraction for told in listener.told]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0, 1)
        assert {(told.stage, told.level) for told in listener.told} == {("test", None), ("test", 1)}

    def test_is_told_about_ten_times_a_second(self, tmp_path):
        def work(folder, report):
            end = time.monotonic() + 0.35
            while time.monotonic() < end:
                report.progress(0.5)
            folder.write("one.txt", b"")

        listener = Listener()
        run([step("one", work=work)], Folder(tmp_path), listener)
        assert 3 <= len(listener.told) <= 6

    def test_seconds_left_follow_the_weights(self):
        steps = [step(name, weight=weight) for name, weight in (("a", 1), ("b", 3), ("c", 2))]
        times = iter((0.0, 7.0, 12.0))  # it is made, the first step begins, it ends
        clock = Clock(steps, lambda: next(times))
        assert clock.seconds_left() is None
        clock.at(steps[0], 0.0)
        clock.finish(steps[0])
        assert clock.seconds_left() == pytest.approx(25)
        clock.skip(steps[1])
        assert clock.seconds_left() == pytest.approx(10)
        assert clock.fraction == pytest.approx(4 / 6)

    def test_artifacts_are_told_also_of_what_was_done(self, tmp_path):
        def work(folder, report):
            report.preview(np.zeros((4, 4, 3), np.float32))
            folder.write("levels/001/image.png", b"")

        image = Step("i", "dream", 1, 1, {}, (), ("levels/001/image.png",), work)
        first, second = Listener(), Listener()
        run([image], Folder(tmp_path), first)
        run([image], Folder(tmp_path), second)
        assert first.artifacts == [("preview", 1, "live.png"), ("image", 1, "levels/001/image.png")]
        assert second.artifacts == [("image", 1, "levels/001/image.png")]
        assert not (tmp_path / "live.png").exists(), "an unfinished picture is nothing to keep"


class TestLivePicture:
    def shown(self, tmp_path, work):
        """The sizes of the pictures that were there while `work(report)` ran."""
        sizes = []

        class Looking(Listener):
            def artifact(self, kind, level, name):
                with Image.open(tmp_path / name) as image:
                    sizes.append(image.size)

        step = Step("s", "dream", 0, 1, {}, (), (), lambda folder, report: work(report))
        run([step], Folder(tmp_path), Looking())
        return sizes

    def test_it_is_at_most_512_pixels_wide_or_high_and_keeps_its_aspect(self, tmp_path):
        sizes = self.shown(tmp_path, lambda report: report.preview(np.zeros((600, 1200, 3), np.float32)))
        assert sizes == [(512, 256)]

    def test_a_small_one_keeps_its_size(self, tmp_path):
        sizes = self.shown(tmp_path, lambda report: report.preview(np.zeros((30, 50, 3), np.float32)))
        assert sizes == [(50, 30)]

    def test_the_step_does_not_wait_and_the_newest_is_shown_last(self, tmp_path):
        told, gate = [], threading.Event()

        def written(level):
            gate.wait(5)
            told.append(level)

        live = LivePicture(Folder(tmp_path), written, told.append)
        for level in range(5):
            live.show(np.zeros((8, 8, 3), np.float32), level)
        assert not told
        gate.set()
        live.settle()
        assert told[-1] == 4 and told == sorted(told) and len(told) <= 3
        live.close()
        assert not (tmp_path / "live.png").exists()

    def test_one_that_can_not_be_written_does_not_stop_the_step(self, tmp_path):
        (tmp_path / "live.png").mkdir()
        (tmp_path / "live.png" / "in the way").touch()
        told = []
        live = LivePicture(Folder(tmp_path), told.append, told.append)
        live.show(np.zeros((8, 8, 3), np.float32), 0)
        live.settle()
        live.show(np.zeros((8, 8, 3), np.float32), 0)
        live.settle()
        assert len(told) == 2 and all("live picture" in line for line in told)


class TestKilled:
    def test_at_any_moment_resumes_to_the_same_bytes(self, tmp_path):
        """A process that is killed while it writes goes on where it stopped, and repeats nothing that was finished."""
        program = (
            "import sys, time; from pathlib import Path\n"
            "from dreamzoom.job.folder import Folder; from dreamzoom.job.runner import run\n"
            "from dreamzoom.job.steps import Step; from dreamzoom.job.numbers import rng\n"
            "def make(i):\n"
            "    def work(folder, report):\n"
            "        report.progress(0.5)\n"
            "        before = folder.read(f's{i - 1}') if i else b''\n"
            "        folder.write(f's{i}', before[:1000] + rng(7, f's{i}').bytes(3_000_000))\n"
            "    return Step(f's{i}', 'x', None, 1, {}, (f's{i - 1}',) if i else (), (f's{i}',), work)\n"
            "folder = Folder(Path(sys.argv[1]))\n"
            "with folder.lock():\n    print('go', flush=True); run([make(i) for i in range(12)], folder)\n"
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


class TestNumbers:
    def test_are_the_same_on_every_machine(self):
        assert rng(1, "levels/002/dream").integers(0, 2**32, 3).tolist() == [3233326102, 395079821, 426925522]
        assert seed_of(1, "levels/002/fit") == 4963347605737954919

    def test_differ_by_seed_and_by_name(self):
        draws = {rng(seed, name).integers(2**62) for seed in (0, 1, 2**31) for name in ("a", "b", "1")}
        assert len(draws) == 9

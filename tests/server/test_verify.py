"""A job's files are as they were made, or verify, inspect and render name them, and repair makes them so again."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import BadRequest, DamagedJob, DreamzoomError, RefusedFile
from core.protocol import result
from core.safety.seal import CHECK, sealed, sealed_line
from dreamzoom import cli
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_request
from dreamzoom.pipeline.inspect import inspect, table
from dreamzoom.pipeline.integrity import origins
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.progress import Report
from dreamzoom.render import flight
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

SPLATS, POINTS = "levels/000/splats.ply", "levels/000/parts/points.npz"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A user's cache of this module's own; compiled kernels stay where they are."""
    before = {name: os.environ.get(name) for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")}
    folder = tmp_path_factory.mktemp("cache")
    os.environ |= dict.fromkeys(before, str(folder))
    yield folder
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def make(folder, root, **changes):
    """A job of one level with the artist's picture."""
    photo = folder / "My Photos" / "a.png"
    photo.parent.mkdir(exist_ok=True)
    Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)).save(photo)
    raw = example(levels=1, size=(32, 24)) | {"quality": "draft"} | changes
    raw["levels"][0]["image"] = str(photo)
    generate(convert_request(raw), Folder(root))
    return photo


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    make(folder, folder / "job")
    return folder / "job"


@pytest.fixture
def job(whole, tmp_path):
    """A copy of it, with the times of its files."""
    shutil.copytree(whole, tmp_path / "job")
    return tmp_path / "job"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damaged(root, **options):
    return [one.file for one in verify(Folder(root), **options).damaged]


def contents(root):
    """All that a job is asked for: not what tells of times."""
    told = (".lock", "journal.jsonl", "inputs.json")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and path.name not in told and path.parent.name != "stages"
    }


def test_a_whole_job_is_whole_also_when_it_is_copied(whole, job, tmp_path):
    for root in (whole, job):
        for quick in (True, False):
            found = verify(Folder(root), quick=quick)
            assert (found.damaged, found.finished) == ([], True)
            assert found.files > 15 and found.bytes > 10_000
    shutil.copytree(whole, tmp_path / "untimed", copy_function=shutil.copy)
    assert damaged(tmp_path / "untimed", quick=True) == []


def test_a_job_that_was_changed_and_resumed_is_whole(tmp_path):
    raw = example(levels=2, size=(32, 24)) | {"quality": "draft"}
    generate(convert_request(raw), Folder(tmp_path))
    raw["levels"].pop()
    raw["cameras"] = [camera for camera in raw["cameras"] if camera["zoom"] <= 1]
    generate(convert_request(raw), Folder(tmp_path))
    generate(read_request(Folder(tmp_path)), Folder(tmp_path))
    assert damaged(tmp_path) == []


class TestDamage:
    @pytest.mark.parametrize("how", ["flipped", "truncated", "deleted"])
    def test_to_any_file_is_named_and_repaired_to_the_same_bytes(self, whole, job, how):
        """Every kind of file at least once; the torture does all of all."""
        names = sorted(p.relative_to(job).as_posix() for p in job.rglob("*") if p.is_file() and p.name != ".lock")
        for name in names:
            path = job / name
            if how == "flipped":
                flip(path)
            elif how == "truncated":
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            else:
                path.unlink()
            assert name in damaged(job), name
            assert name in damaged(job, quick=True), name
            shutil.copy2(whole / name, path)
        for name in (SPLATS, "result.json", "request.json", "inputs.json"):
            (job / name).unlink() if how == "deleted" else flip(job / name)
        done = repair(Folder(job))
        assert {one.file for one in done.before.damaged} >= {SPLATS, "result.json", "request.json", "inputs.json"}
        assert done.after.damaged == [] and damaged(job) == []
        assert contents(job) == contents(whole)
        assert set(done.summary.ran) == {"levels/000/export", "result"}, "no more than what was damaged"

    @pytest.mark.parametrize("name", ["journal.jsonl", "stages/request.json", "inputs/*/a.png", "stages/*.json"])
    def test_to_what_no_step_makes_is_repaired_too(self, whole, job, name):
        path = sorted(job.glob(name))[0]
        flip(path)
        assert path.relative_to(job).as_posix() in damaged(job)
        done = repair(Folder(job))
        assert done.after.damaged == [] and contents(job) == contents(whole)
        assert len(done.summary.ran) <= 1

    def test_without_a_change_of_size_or_time_is_found_by_reading(self, job):
        path = job / SPLATS
        before = path.stat()
        flip(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert damaged(job) == [SPLATS]

    def test_is_told_by_inspect_and_render(self, job, tmp_path):
        flip(job / POINTS)
        found = inspect(Folder(job))
        assert [one["file"] for one in found["damaged"]] == [POINTS]
        assert f"{POINTS}: changed" in table(found) and "verify --repair" in table(found)
        lines = []

        class Listening(Report):
            def log(self, message, *, level="info"):
                lines.append((level, message))

        flight.render(job, tmp_path / "out", [1], (8, 6), Listening())
        assert [level for level, line in lines if line.startswith(f"{POINTS} is damaged")] == ["warning"]
        flip(job / SPLATS)
        with pytest.raises(DamagedJob, match="splats.ply is damaged: changed") as caught:
            flight.render(job, tmp_path / "out", [1], (8, 6), Report())
        assert "verify --repair" in caught.value.remedy

    def test_to_a_result_is_found_by_its_readers(self, whole):
        text = (whole / "result.json").read_text(encoding="utf-8")
        found = json.loads(text)
        assert result.checked(found) is found
        for changed in (text.replace('"check"', '"chexk"'), text.replace("deep", "deer"), text.replace("2.0", "3.0")):
            with pytest.raises(ValueError, match="check"):
                result.checked(json.loads(changed))
        with pytest.raises(result.NewerResult, match="newer Dreamzoom.*99"):
            result.checked({"version": 99, "worlds": []})

    def test_is_found_in_a_level_before_it_is_imported(self, job):
        found = result.read(job)
        result.check_level(job, found, 0)
        flip(job / "levels/000/preview.png")
        (job / "levels/000/cloud.ply").unlink()
        with pytest.raises(DamagedJob, match="cloud.ply and 1 more") as caught:
            result.check_level(job, found, 0)
        assert caught.value.operator == "dreamzoom.repair"


class TestRequest:
    def test_a_changed_one_never_runs_and_what_to_do_is_said(self, whole, job, capfd):
        text = (job / "request.json").read_text(encoding="utf-8")
        (job / "request.json").write_text(text.replace("deep space", "deer space"), encoding="utf-8")
        for command in (["resume"], ["inspect"], ["render", "--out", str(job.parent / "out")], ["run-step", "result"]):
            assert cli.main([command[0], str(job), *command[1:]]) == 1
            err = capfd.readouterr().err
            assert "request.json was damaged, or changed" in err and "dreamzoom generate" in err
        assert contents(job).keys() == contents(whole).keys()
        assert cli.main(["verify", str(job)]) == 1
        assert "request.json: changed" in capfd.readouterr().out
        assert cli.main(["verify", "--repair", str(job)]) == 0
        assert contents(job) == contents(whole)

    def test_a_new_one_changes_the_job(self, tmp_path):
        raw = example(levels=1, size=(32, 24)) | {"quality": "draft"}
        generate(convert_request(raw), Folder(tmp_path))
        raw["levels"][0]["prompt"] = "a forest"
        assert "levels/000/dream" in generate(convert_request(raw), Folder(tmp_path)).ran
        assert damaged(tmp_path) == []

    def test_that_lost_both_copies_is_refused(self, job):
        flip(job / "request.json")
        flip(job / "stages/request.json")
        with pytest.raises(DreamzoomError, match=r"request\.json"):
            repair(Folder(job))

    def test_the_result_tells_which_copy_is_right_where_the_journal_is_lost(self, whole, job):
        (job / "journal.jsonl").unlink()
        flip(job / "request.json")
        assert repair(Folder(job)).after.damaged == []
        assert contents(job) == contents(whole)

    def test_a_begin_that_was_ended_halfway_is_no_change(self, job):
        data = (job / "request.json").read_bytes().replace(b"deep space", b"deer space")
        for name in ("stages/request.json", "request.json"):  # in the order in which they are written
            (job / name).write_bytes(data)
            read_request(Folder(job))

    def test_a_newer_one_says_so(self):
        raw = example(levels=1, size=(32, 24)) | {"version": 2, "warp": 9}
        with pytest.raises(BadRequest, match="newer Dreamzoom") as caught:
            convert_request(raw)
        assert caught.value.field == "version"


class TestPrivacy:
    def test_no_path_from_outside_stands_in_the_folder(self, whole):
        for path in whole.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert b"My Photos" not in data and str(whole.parent).encode() not in data, path

    def test_failures_in_the_journal_name_no_paths(self, job, monkeypatch):
        from dreamzoom.pipeline.runner import _told

        error = OSError(f"{Path.home() / 'x'} and {job / 'y'}")
        assert _told(error, Folder(job)) == f"OSError: ~{os.sep}x and .{os.sep}y"

    @posix
    def test_pictures_lie_in_folders_for_the_user_alone(self, whole):
        for folder in (whole, whole / "levels", whole / "levels/000", whole / "inputs", *whole.glob("inputs/*")):
            assert folder.stat().st_mode & 0o077 == 0, folder

    def test_a_changed_original_is_noticed_by_resume(self, tmp_path):
        photo = make(tmp_path, tmp_path / "job")
        Image.new("RGB", (60, 40), "red").save(photo)
        assert "levels/000/image" in generate(read_request(Folder(tmp_path / "job")), Folder(tmp_path / "job")).ran
        assert len(list((tmp_path / "job/inputs").glob("*/*"))) == 1

    def test_a_job_goes_on_on_another_machine(self, whole, tmp_path, cache):
        shutil.copytree(whole, tmp_path / "job")
        shutil.rmtree(cache / "dreamzoom" / "origins")
        (tmp_path / "job" / SPLATS).unlink()
        summary = generate(read_request(Folder(tmp_path / "job")), Folder(tmp_path / "job"))
        assert summary.ran == ("levels/000/export",)
        assert contents(tmp_path / "job") == contents(whole)

    def test_models_and_loras_are_named_without_their_paths_and_found_again(self, tmp_path):
        from dreamzoom.pipeline import input_copies

        (tmp_path / "style.safetensors").touch()
        engine = {
            "name": "diffusion",
            "model": "owner/model",
            "depth_model": str(tmp_path),
            "loras": [{"file": str(tmp_path / "style.safetensors")}],
        }
        request = convert_request(example(levels=1, size=(32, 24)) | {"engine": engine})
        own = input_copies.portable(request, {})
        assert (own.engine.model, own.engine.depth_model) == ("owner/model", tmp_path.name)
        assert own.engine.loras[0].file == "style.safetensors"
        folder = Folder(tmp_path / "job")
        folder.create()
        from dreamzoom.request.validation import encode_request

        folder.write("request.json", encode_request(own))
        digest = hashlib.sha256(encode_request(own)).hexdigest()
        origins.save(digest, input_copies.outside_paths(request, {}))
        assert input_copies.with_known_models(own, input_copies.known_paths(folder)) == request


class TestDoors:
    """Links and the like at every place of a job's folder are refused by name, and nothing outside is touched."""

    @posix
    @pytest.mark.parametrize(
        "name",
        [
            *("request.json", "result.json", "journal.jsonl", "inputs.json", ".lock", "plan.json", "live.png"),
            *("stages", "stages/request.json", "levels", "levels/000", "levels/000/parts", SPLATS, POINTS),
            *("inputs", "stages/*.json", "inputs/*", "inputs/*/a.png"),
        ],
    )
    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_links(self, job, name, kind):
        found = [path for path in sorted(job.glob(name)) if path.name != "request.json" or "*" not in name]
        path = found[0] if found else job / name
        outside = job.parent / "outside"
        if path.exists():
            path.rename(outside)
        else:
            outside.write_bytes(b"mine")
        if outside.is_dir():
            (outside / "mine.txt").write_bytes(b"mine")
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(outside)
        before = {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in [outside, *outside.rglob("*")]}
        place = path.relative_to(job).as_posix()
        with pytest.raises(DreamzoomError) as caught:
            generate(read_request(Folder(job)), Folder(job))
        assert place.partition("*")[0] in str(caught.value) or path.name in str(caught.value)
        with pytest.raises(DreamzoomError):
            repair(Folder(job))
        if name not in (".lock", "live.png"):
            assert any(one.startswith(place) for one in damaged(job)), damaged(job)
        assert {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in before} == before

    def test_what_other_programs_leave_disturbs_nothing_and_stays(self, whole, job):
        strange = ["@eaDir/a.png@SynoEAStream", ".DS_Store", "Thumbs.db", ".sync/x", "a note.txt"]
        places = ["", "inputs", "levels", "levels/000", "levels/000/parts", "stages", next((job / "inputs").iterdir())]
        made = [job / place / name for place in places for name in strange]
        for path in made:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"theirs")
        (job / "stages/notes.json").write_bytes(b"{}")
        left = job / "levels/000/.writing-1234-0a1b2c3d-image.png"
        left.write_bytes(b"half")
        (job / SPLATS).unlink()
        assert generate(read_request(Folder(job)), Folder(job)).ran == ("levels/000/export",)
        assert all(path.read_bytes() == b"theirs" for path in made)
        assert not left.exists(), "what a killed process left"
        assert damaged(job) == []

    def test_an_index_that_lists_other_files_removes_none(self, job):
        index = json.loads((job / "inputs.json").read_bytes())
        (job.parent / "mine").write_bytes(b"mine")
        leaving = [
            "../mine",
            "plan.json",
            SPLATS,
            "inputs/../plan.json",
            "/etc/hostname",
            "inputs/0123456789abcdef/../../plan.json",
        ]
        del index["check"]
        (job / "inputs.json").write_text(json.dumps(sealed(index | {"leaving": leaving})))
        generate(read_request(Folder(job)), Folder(job))
        assert (job / "plan.json").exists() and (job / SPLATS).exists() and (job.parent / "mine").exists()
        assert damaged(job) == []

    @pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"[]", b'{"outputs": 1}'])
    def test_a_hostile_record_is_damage(self, job, text):
        record = next(path for path in sorted((job / "stages").glob("*.json")) if path.name != "request.json")
        record.write_bytes(text)
        assert f"stages/{record.name}" in damaged(job)
        assert len(generate(read_request(Folder(job)), Folder(job)).ran) == 1

    @pytest.mark.parametrize(
        ("name", "value"),
        [("seconds", 10**400), ("finished", -(10**400)), ("level", "0"), ("level", -1), ("level", 1.5), ("step", 5)],
    )
    def test_a_record_with_absurd_values_is_damage(self, job, name, value):
        record = next(path for path in sorted((job / "stages").glob("*.json")) if path.name != "request.json")
        told = json.loads(record.read_bytes()) | {name: value}
        record.write_text(json.dumps(sealed({key: item for key, item in told.items() if key != CHECK})) + "\n")
        assert damaged(job) == [f"stages/{record.name}"] == [one["file"] for one in inspect(Folder(job))["damaged"]]
        assert len(repair(Folder(job)).summary.ran) == 1

    def test_a_size_without_measure_is_damage(self, job):
        record = next(path for path in sorted((job / "stages").glob("*.json")) if path.name != "request.json")
        told = json.loads(record.read_bytes())
        told["outputs"][next(iter(told["outputs"]))]["bytes"] = 10**400
        record.write_text(json.dumps(sealed({key: item for key, item in told.items() if key != CHECK})) + "\n")
        assert damaged(job) == [f"stages/{record.name}"]
        table(inspect(Folder(job)))

    def test_a_refused_input_leaves_nothing(self, tmp_path):
        big = tmp_path / "big.png"
        with big.open("wb") as file:
            file.truncate(3 << 30)
        cases = [big, tmp_path]
        if os.name != "nt":
            os.mkfifo(tmp_path / "pipe.png")
            (tmp_path / "passwd.png").symlink_to("/etc/passwd")
            cases += [tmp_path / "pipe.png", tmp_path / "passwd.png", Path("/dev/zero")]
        for path in cases:
            raw = example(levels=1, size=(32, 24))
            raw["levels"][0]["image"] = str(path)
            with pytest.raises(BadRequest) as caught:
                generate(convert_request(raw), Folder(tmp_path / "job"))
            assert caught.value.field == "levels[0].image" and path.name in str(caught.value)
            assert not (tmp_path / "job").exists()


class TestDisk:
    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs limits of POSIX")
    def test_a_full_disk_is_told_with_path_and_remedy_and_the_job_goes_on(self, whole, tmp_path):
        """A limit on the size of files stands for the disk: the system refuses the same write."""
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))\n"
            "from dreamzoom.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        shutil.copytree(whole, tmp_path / "job")
        (tmp_path / "job" / SPLATS).unlink()
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "server")}
        command = [sys.executable, "-c", code, "resume", str(tmp_path / "job")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        last = done.stderr.strip().splitlines()[-1]
        assert str(tmp_path / "job" / SPLATS) in last and "it goes on from where it stopped" in last
        generate(read_request(Folder(tmp_path / "job")), Folder(tmp_path / "job"))
        assert contents(tmp_path / "job") == contents(whole) and damaged(tmp_path / "job") == []

    def test_a_removed_folder_does_not_come_back(self, tmp_path):
        class Removing(Sink):
            def progress(self, progress):
                if progress.stage == "dream" and (tmp_path / "job").exists():
                    (tmp_path / "job").rename(tmp_path / "moved")

        raw = example(levels=1, size=(32, 24)) | {"quality": "draft"}
        with pytest.raises(DreamzoomError, match="no longer there"):
            generate(convert_request(raw), Folder(tmp_path / "job"), Removing())
        assert not (tmp_path / "job").exists()
        generate(read_request(Folder(tmp_path / "moved")), Folder(tmp_path / "moved"))
        assert damaged(tmp_path / "moved") == []

    def test_errors_of_the_system_name_path_and_remedy(self, tmp_path):
        import errno

        from core.atomic_files import beside
        from core.errors import NotWritten, explained

        for code, words in [
            (errno.ENOSPC, ("space", "free", "kB")),
            (errno.EROFS, ("read-only", "writable")),
            (getattr(errno, "EDQUOT", errno.ENOSPC), ("free",)),
        ]:
            with pytest.raises(NotWritten) as caught, beside(tmp_path / "x.ply") as temporary:
                temporary.write_bytes(b"123")
                raise OSError(code, os.strerror(code))
            line = " ".join(explained(caught.value))
            assert str(tmp_path / "x.ply") in line and all(word in line for word in words), line
            assert isinstance(caught.value, OSError) and caught.value.errno == code
            assert list(tmp_path.iterdir()) == []


def test_a_journal_is_cut_where_a_crash_cut_a_line_and_flipped_lines_are_counted(tmp_path):
    folder = Folder(tmp_path)
    for number in range(3):
        journal.note(folder, "start", step=str(number))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"ts": "2026')
    assert journal.read_checked(folder)[1] == 1
    journal.note(folder, "start", step="3")
    events, torn = journal.read_checked(folder)
    assert ([event["step"] for event in events], torn) == (["0", "1", "2", "3"], 0)
    flip(tmp_path / "journal.jsonl")
    assert journal.read_checked(folder)[1] == 1
    old = {"ts": "x", "event": "done", "step": "old", "digest": "d", "seconds": 1}
    (tmp_path / "journal.jsonl").write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert journal.read_checked(folder) == ([old], 0)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "done", "step": "x"},
        {"event": "done", "step": "x", "digest": ["a"]},
        {"event": "done", "step": ["x"], "digest": "a" * 64},
        {"event": "done", "step": "x", "digest": "../../../etc/passwd"},
        {"event": "skipped", "step": "x", "digest": {}},
        {"event": "request", "digest": 5},
        {"event": "start", "step": "x", "digest": "a" * 64, "ts": [1]},
        {"event": "start", "step": "x", "digest": "a" * 64, "ts": "0001-01-01T00:00:00"},
    ],
)
def test_a_forged_line_of_the_journal_does_no_harm(whole, job, event):
    with (job / "journal.jsonl").open("ab") as file:
        file.write(sealed_line(event))
    verify(Folder(job))
    assert repair(Folder(job)).after.damaged == []
    assert contents(job) == contents(whole)


def test_of_a_journal_of_too_many_lines_the_last_are_read(whole, job):
    path = job / "journal.jsonl"
    path.write_bytes(b"\n" * 30_000_000 + path.read_bytes())
    began = time.process_time()
    assert damaged(job) == ["journal.jsonl"]
    assert time.process_time() - began < 4
    assert repair(Folder(job)).after.damaged == []
    assert path.stat().st_size < 1 << 20 and contents(job) == contents(whole)


def test_a_long_journal_is_shortened_and_tells_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SHORTENED_BYTES", 2000)
    folder = Folder(tmp_path)
    journal.note(folder, "request", digest="r")
    for event in [*["start", "done"] * 20, "start", "cancelled", "start", "start"]:
        for step in ("a", "b"):
            journal.note(folder, event, step=step, digest=f"of {step}")
    events = journal.read(folder)
    assert len(events) < 40
    assert journal.request_digest(events) == "r" and events[0]["event"] == "request"
    assert journal.crashes(events) == {"of a": 2, "of b": 2}
    assert {name: event["event"] for name, event in journal.last_events(events).items()} == {"a": "start", "b": "start"}


def test_a_journal_with_another_name_becomes_a_file_of_its_own(job, tmp_path):
    (job / "journal.jsonl").rename(tmp_path / "outside")
    os.link(tmp_path / "outside", job / "journal.jsonl")
    before = (tmp_path / "outside").read_bytes()
    journal.note(Folder(job), "repair", damaged=0)
    assert (tmp_path / "outside").read_bytes() == before
    assert (job / "journal.jsonl").read_bytes().startswith(before)


def test_refusals_are_of_one_kind():
    assert issubclass(DamagedJob, DreamzoomError) and issubclass(RefusedFile, DreamzoomError)


def test_a_result_without_what_it_was_made_from_is_whole_or_named(whole, tmp_path):
    names = ["request.json", "result.json", *json.loads((whole / "result.json").read_bytes())["files"]]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / name, tmp_path / name)
    assert damaged(tmp_path) == []
    flip(tmp_path / SPLATS)
    (tmp_path / "request.json").write_bytes((whole / "request.json").read_bytes().replace(b"deep space", b"deer space"))
    assert damaged(tmp_path) == [SPLATS, "request.json"]


def test_a_job_that_begins_with_the_finished_steps_of_another_is_whole(whole, tmp_path):
    """As a copied rig has it: all but the journal."""
    shutil.copytree(whole, tmp_path / "job", ignore=shutil.ignore_patterns("journal.jsonl"))
    raw = example(levels=1, size=(32, 24)) | {"quality": "draft"}
    generate(convert_request(raw), Folder(tmp_path / "job"))
    assert damaged(tmp_path / "job") == []


def test_words_of_others_do_not_command_the_terminal(tmp_path, capsys):
    raw = example(levels=1, size=(32, 24)) | {"quality": "draft"}
    raw["levels"][0]["prompt"] = "a \x1b]0;gone\x07 sea \u202e \x9b2J"
    generate(convert_request(raw), Folder(tmp_path / "job"))
    assert cli.main(["inspect", str(tmp_path / "job")]) == 0
    out = capsys.readouterr().out
    assert r"a \x1b]0;gone\x07 sea \u202e \x9b2J" in out
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(out)


def test_a_clock_that_goes_backwards_is_no_damage(whole, job, monkeypatch):
    """A job that was made while the clock was years ahead."""
    future = time.time() + 4e8
    for record in (job / "stages").glob("*.json"):
        if record.name != "request.json":
            told = json.loads(record.read_bytes()) | {"finished": future}
            record.write_text(json.dumps(sealed({key: item for key, item in told.items() if key != CHECK})) + "\n")
    assert damaged(job) == []
    (job / SPLATS).unlink()
    assert damaged(job) == [SPLATS]
    record = next(json.loads(p.read_bytes()) for p in (job / "stages").glob("*.json") if SPLATS in p.read_text())
    journal.note(Folder(job), "start", step=record["step"], digest=record["digest"])
    repair(Folder(job))
    assert damaged(job) == [] and contents(job) == contents(whole)

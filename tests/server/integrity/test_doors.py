"""What stands in a job's folder without being of the job is refused by name or left alone; so are its disk's errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from whole_job import POINTS, SPLATS, contents, damaged, posix

from core.errors import BadRequest, DreamzoomError
from core.safety.seal import CHECK, sealed
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_request
from dreamzoom.pipeline.inspect import inspect, table
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow


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
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "server")}
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

"""A job's files are as they were made, or verify, inspect and render name them, and repair makes them so again."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from whole_job import POINTS, SPLATS, contents, damaged, flip, make, posix

from core.errors import BadRequest, DamagedJob, DreamzoomError, RefusedFile
from core.protocol import result
from dreamzoom import cli
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

"""A job that is begun again with another request keeps the finished result until the new one is whole, and after."""

import hashlib
import json
import threading

import pytest

from core.errors import Cancelled, DreamzoomError
from core.protocol import result
from dreamzoom.pipeline import versions
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_result
from dreamzoom.progress import Report
from dreamzoom.render.flight import render
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request


def request_of(prompt, **changes):
    made = example(1, (48, 32)) | {"quality": "draft"} | changes
    made["levels"][0]["prompt"] = prompt
    return convert_request(made)


def digests(folder):
    found = result.read(folder)
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted
        for name, wanted in found["files"].items()
    }


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job that was cancelled when it was begun again with another prompt."""
    folder = Folder(tmp_path_factory.mktemp("versions") / "job")
    generate(request_of("a forest"), folder)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        generate(request_of("a desert"), folder, cancel=cancel)
    return folder


class TestVersions:
    def test_a_cancelled_job_leaves_the_finished_result_whole(self, job):
        (earlier,) = result.versions(job.root)
        assert result.newest(job.root) == earlier
        assert result.read(earlier)["levels"][0]["prompt"] == "a forest" and all(digests(earlier).values())
        with pytest.raises(DreamzoomError, match="holds no finished job") as caught:
            read_result(job)
        assert str(earlier) in caught.value.remedy

    def test_a_version_is_a_job_that_can_be_rendered(self, job, tmp_path):
        (earlier,) = result.versions(job.root)
        render(earlier, tmp_path, range(1, 2), None, Report())
        assert any(tmp_path.iterdir())

    def test_files_that_are_written_anew_do_not_change_it(self, job):
        (earlier,) = result.versions(job.root)
        generate(request_of("a desert"), job)
        assert (
            result.newest(job.root) == job.root and all(digests(job.root).values()) and all(digests(earlier).values())
        )
        assert (earlier / "levels/000/image.png").read_bytes() != job.read("levels/000/image.png")

    def test_an_engine_that_can_not_run_takes_nothing_away(self, job):
        before = job.read("request.json"), len(result.versions(job.root))
        with pytest.raises(DreamzoomError):
            generate(request_of("x", engine={"name": "diffusion", "model": "no/such-model"}), job)
        assert (job.read("request.json"), len(result.versions(job.root))) == before
        assert result.newest(job.root) == job.root


def finished(root, prompt):
    folder = Folder(root)
    folder.write("request.json", json.dumps({"prompt": prompt}).encode())
    folder.write("levels/000/splats.ply", prompt.encode())
    level = {"index": 0, "cloud": "levels/000/splats.ply", "splats": "levels/000/splats.ply"}
    folder.write_json(
        "result.json", {"version": 1, "zoom_factor": 2.0, "levels": [level], "files": {level["splats"]: ""}}
    )
    return folder


class TestKeeping:
    def test_only_the_newest_are_kept(self, tmp_path):
        for number in range(versions.KEPT + 3):
            versions.keep_result(finished(tmp_path, str(number)))
        found = result.versions(tmp_path)
        assert [path.name for path in found] == [f"{number:04d}" for number in range(4, 4 + versions.KEPT)]
        assert (found[-1] / "levels/000/splats.ply").read_text() == str(versions.KEPT + 2)

    def test_a_result_that_is_not_whole_is_none(self, tmp_path):
        folder = finished(tmp_path, "a")
        folder.remove("levels/000/splats.ply")
        assert versions.keep_result(folder) is None and not result.versions(tmp_path)

    def test_a_full_disk_leaves_no_half_version(self, tmp_path, monkeypatch):
        def full(*names):
            raise OSError(28, "No space left on device")

        folder = finished(tmp_path, "a")
        monkeypatch.setattr("os.link", full)
        monkeypatch.setattr("shutil.copy2", full)
        with pytest.raises(OSError, match="can't be written"):
            versions.keep_result(folder)
        assert not result.versions(tmp_path) and not list((tmp_path / "versions").iterdir())
        assert folder.exists("result.json")

    def test_without_hard_links_it_is_copied(self, tmp_path, monkeypatch):
        def refuse(*names):
            raise OSError("no links here")

        monkeypatch.setattr("os.link", refuse)
        versions.keep_result(finished(tmp_path, "a"))
        finished(tmp_path, "b")
        assert (result.versions(tmp_path)[0] / "levels/000/splats.ply").read_text() == "a"

"""The depth-aware second pass in a job: views agree afterwards, the artist's picture stays, a killed job goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import models
import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import BadRequest, Cancelled
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.cloud_ply import read_cloud
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.inspect import inspect, table
from dreamzoom.pipeline.steps import build
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request
from dreamzoom.stages import refine
from dreamzoom.stages.base import files
from dreamzoom.stages.base.values import FinalPictures
from dreamzoom.stages.levels import repainted

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SERVER = Path(__file__).parents[2] / "server"


def request(levels=2, engine=None, **changes):
    content = example(levels, (64, 48)) | {"quality": "draft"} | changes
    content["engine"] = {"name": "spectral", "steps": 10, "refine": True} | (engine or {})
    return content


def run(content, folder, sink=None, cancel=None):
    return generate(convert_request(content), Folder(folder), sink, cancel)


def listed(folder):
    return json.loads((folder / "result.json").read_text())["files"]


def gain(folder, first=0):
    return json.loads((folder / f"levels/{first:03d}/parts/refine.json").read_text())


class StopsWithin(Sink):
    """Cancels as soon as the second pass has begun: what runs on to the step's end does not notice."""

    def __init__(self):
        self.cancel = threading.Event()

    def progress(self, progress):
        if progress.stage == "refine":
            self.cancel.set()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished job of two levels."""
    folder = tmp_path_factory.mktemp("refined") / "job"
    run(request(), folder)
    return folder


class TestJob:
    def test_what_levels_show_of_each_other_agrees_far_better_than_cropped(self, done):
        found = gain(done)
        assert found["links"] >= 1
        assert found["after_db"] > found["before_db"] + 6

    def test_points_and_picture_have_the_refined_colours(self, done):
        folder = Folder(done)
        cloud = folder.load(files.POINTS, "levels/000/parts/points.npz")
        dreamed = folder.load(files.VIEWS, "levels/000/parts/views.npz")
        image = folder.load(files.PICTURES, "levels/000/image.png")
        assert not np.array_equal(image, dreamed[0].rgb)
        written = read_cloud(done / "levels/000/cloud.ply")
        pixel, _ = dreamed[0].view.camera.project(cloud.position.astype(np.float64))
        column, row = np.floor(pixel[cloud.view == 0]).astype(int).T
        assert np.abs(written.rgb[cloud.view == 0] - image[row, column]).mean() < 1e-3

    def test_inspect_tells_what_it_gained(self, done):
        found = inspect(Folder(done))
        assert found["refined"][0]["after_db"] == gain(done)["after_db"]
        assert found["stages"]["refine"] >= 0
        assert f"{gain(done)['after_db']:.1f} dB" in table(found)

    def test_drafts_leave_it_out_unless_asked(self):
        for quality, wanted in (("draft", False), ("preview", True), ("final", True)):
            content = request(quality=quality)
            del content["engine"]["refine"]
            assert any(step.stage.shown_as == "refine" for step in _steps(content)) == wanted
        assert not any(
            step.stage.shown_as == "refine" for step in _steps(request(quality="final", engine={"refine": False}))
        )

    def test_turning_it_off_dreams_nothing_again(self, done, tmp_path):
        folder = tmp_path / "job"
        subprocess.run(["cp", "-r", str(done), str(folder)], check=True)
        ran = run(request(engine={"refine": False}), folder).ran
        assert not any("dream" in name or name == "zoom" for name in ran)
        assert {"levels/000/fit", "levels/001/export", "result"} <= set(ran)
        again = run(request(), folder).ran
        assert not any("dream" in name or name == "zoom" for name in again)
        assert listed(folder) == listed(done)

    def test_another_prompt_samples_all_levels_again(self, done, tmp_path):
        folder = tmp_path / "job"
        subprocess.run(["cp", "-r", str(done), str(folder)], check=True)
        content = request()
        content["levels"][1]["prompt"] = "moss"
        assert {"zoom", "refine/000"} <= set(run(content, folder).ran)

    def test_side_views_join_in(self, tmp_path):
        content = request(preset="lookdown")
        del content["cameras"]
        run(content, tmp_path / "job")
        sides = len(Folder(tmp_path / "job").load(files.VIEWS, "levels/000/parts/views.npz")) - 1
        assert sides >= 1
        assert gain(tmp_path / "job")["links"] > 2 * sides
        assert gain(tmp_path / "job")["after_db"] > gain(tmp_path / "job")["before_db"] + 6

    def test_an_artists_picture_stays(self, tmp_path):
        rgb = np.random.default_rng(0).integers(60, 200, (48, 64, 3), np.uint8)
        Image.fromarray(rgb).save(tmp_path / "photo.png")
        content = request()
        content["levels"][0]["image"] = str(tmp_path / "photo.png")
        run(content, tmp_path / "job")
        wide = np.asarray(Image.open(tmp_path / "job/levels/000/image.png"))
        top, left = (wide.shape[0] - 48) // 2, (wide.shape[1] - 64) // 2
        assert np.abs(wide[top : top + 48, left : left + 64].astype(int) - rgb).max() <= 1
        assert gain(tmp_path / "job")["after_db"] > 30


class TestResume:
    def test_a_cancel_arrives_within_the_step_and_the_job_goes_on_from_there(self, done, tmp_path):
        sink = StopsWithin()
        with pytest.raises(Cancelled):
            run(request(), tmp_path / "job", sink, sink.cancel)
        assert not (tmp_path / "job/levels/000/image.png").exists()
        ran = run(request(), tmp_path / "job").ran
        assert "refine/000" in ran and "zoom" not in ran
        assert listed(tmp_path / "job") == listed(done)

    def test_a_killed_job_ends_in_the_same_bytes(self, done, tmp_path):
        (tmp_path / "request.json").write_text(json.dumps(request()))
        code = (
            "import os, signal, sys; import torch; torch.set_num_threads(1)\n"
            "from dreamzoom.sampling import second_pass\n"
            "ask = second_pass._SecondPass._predict\n"
            "def stop(self, z, ratio):\n"
            "    if ratio < 0.2: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return ask(self, z, ratio)\n"
            "second_pass._SecondPass._predict = stop\n"
            "from dreamzoom.cli import main; sys.exit(main())"
        )
        command = [sys.executable, "-c", code, "generate", "request.json", "--out", "job"]
        ended = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SERVER)}, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert not (tmp_path / "job/levels/000/image.png").exists()
        run(request(), tmp_path / "job")
        assert listed(tmp_path / "job") == listed(done)


class TestGroups:
    def test_deep_jobs_go_in_groups_that_fit_in_memory(self):
        assert refine.groups(8, 1, 100) == [range(0, 6), range(6, 8)]
        assert refine.groups(3, 5, 2_000_000) == [range(0, 1), range(1, 2), range(2, 3)]

    @pytest.mark.parametrize("loop", [False, True])
    def test_a_group_agrees_with_the_one_before_and_a_loop_with_its_beginning(self, tmp_path, monkeypatch, loop):
        monkeypatch.setattr(refine, "LEVELS", 2)
        content = request(levels=4, loop=loop)
        run(content, tmp_path / "job")
        found = [gain(tmp_path / "job", first) for first in (0, 2)]
        assert [one["links"] for one in found] == ([1, 3] if loop else [1, 2])
        assert min(one["after_db"] - one["before_db"] for one in found) > 3


class TestRepaint:
    def test_each_point_takes_the_colour_of_its_pixel(self, done):
        item = Folder(done).load(files.VIEWS, "levels/001/parts/views.npz")[0]
        camera = item.view.camera
        points = camera.unproject(item.depth).reshape(-1, 3).astype(np.float32)
        count = len(points)
        zero = np.zeros(count, np.float32)
        cloud = Cloud(points, np.zeros((count, 3), np.float32), points, zero, zero.astype(np.int32), zero, zero > 1)
        picture = np.random.default_rng(0).random(item.rgb.shape).astype(np.float32)
        new, _ = repainted(cloud, [item], FinalPictures([picture], by_difference=False))
        assert np.mean(np.abs(new.rgb - picture.reshape(-1, 3)).max(1) > 0) < 0.001


class TestEngines:
    def test_one_that_does_not_sample_jointly_refuses(self, tmp_path):
        content = request()
        content["engine"] = {"name": "diffusion", "joint": False, "refine": True}
        content["engine"]["model"] = str(models.PAINTERS["sd"](tmp_path / "sd"))
        content["engine"]["depth_model"] = str(models.DEPTHS["depth-anything"](tmp_path / "depth"))
        with pytest.raises(BadRequest, match=r"engine\.refine"):
            _steps(content)

    @pytest.mark.parametrize("model", ["sd", "sd3"])
    def test_networks_agree_better_afterwards(self, tmp_path, model):
        content = request()
        content["engine"] = {"name": "diffusion", "steps": 4, "refine": True, "guidance": 2.0}
        content["engine"]["model"] = str(models.PAINTERS[model](tmp_path / model))
        content["engine"]["depth_model"] = str(models.DEPTHS["depth-anything"](tmp_path / "depth"))
        run(content, tmp_path / "job")
        assert gain(tmp_path / "job")["after_db"] > gain(tmp_path / "job")["before_db"]


def _steps(content):
    from dreamzoom.engines import registry

    made = convert_request(content)
    return build(made, registry.make(made))

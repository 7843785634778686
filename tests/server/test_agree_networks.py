"""One world of networks: of those that only paint, and of those that are sampled jointly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import models
import pytest
import torch
from agreement import (
    content,
    depth_db,
    flat_db,
)
from painting import Painting

from core.errors import Cancelled
from dreamzoom.engines.diffusion import model_cache, model_validation
from dreamzoom.engines.diffusion.engine import DiffusionEngine
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SERVER = Path(__file__).parents[2] / "server"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """The engine of a request: a tiny painter with random weights on disk, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def engine(model, **options):
        for name in (model, "depth-anything"):
            if name not in made:
                made[name] = str((models.PAINTERS | models.DEPTHS)[name](folder / name))
        return {"name": "diffusion", "steps": 4, "model": made[model], "depth_model": made["depth-anything"]} | options

    return engine


class StopsWithin(Sink):
    """Cancels as soon as the levels are made to agree."""

    def __init__(self):
        self.cancel = threading.Event()

    def progress(self, progress):
        if progress.stage == "refine":
            self.cancel.set()


class Land(DiffusionEngine):
    """A real painter, without joint sampling, before a relief whose depth is known: random networks know none."""

    def __init__(self, request, relief):
        super().__init__(request, model_validation.picture_model(model_cache.find(request.engine.model)))
        self.depth = Painting(request.path(), relief).depth


class TestNetworks:
    @pytest.mark.parametrize("loop", [False, True])
    @pytest.mark.parametrize("model", ["sd", "sd-inpaint", "z-image", "flux-fill", "qwen-image"])
    def test_that_only_paint_agree_where_all_is_flat(self, networks, tmp_path, model, loop):
        request = content(flat=True, loop=loop)
        request["engine"] = networks(model, joint=False)
        made = convert_request(request)
        run(build(made, Land(made, 0.0)), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            assert flat_db(tmp_path / "job", request, level) > 45

    @pytest.mark.parametrize("model", ["sd", "z-image"])
    def test_that_only_paint_agree_through_depth(self, networks, tmp_path, model):
        request = content(size=(96, 72))
        request["engine"] = networks(model, joint=False)
        made = convert_request(request)
        run(build(made, Land(made, 0.06)), Folder(tmp_path / "job"))
        for level in (0, 1):
            found, share = depth_db(tmp_path / "job", request, level)
            assert found > 45
            assert share > 0.2
            assert depth_db(tmp_path / "job", request, level, "parts/painted.png")[0] < 40

    @pytest.mark.parametrize("model", ["z-image", "flux"])
    def test_families_that_are_not_sampled_jointly_do_it_of_themselves(self, networks, tmp_path, model):
        request = content()
        request["engine"] = networks(model)
        made = convert_request(request)
        ran = generate(made, Folder(tmp_path / "job")).ran
        assert {"levels/000/surround", "levels/001/surround", "levels/002/agree"} <= set(ran)

    def test_a_killed_job_ends_in_the_same_bytes(self, networks, tmp_path):
        request = content(loop=True)
        request["engine"] = networks("sd", joint=False)
        generate(convert_request(request), Folder(tmp_path / "whole"))
        (tmp_path / "request.json").write_text(json.dumps(request))
        code = (
            "import os, signal, sys; import torch; torch.set_num_threads(1)\n"
            "from dreamzoom.stages import paste\n"
            "look, looked = paste.surroundings, []\n"
            "def stop(*arguments):\n"
            "    looked.append(1)\n"
            "    if len(looked) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return look(*arguments)\n"
            "paste.surroundings = stop\n"
            "from dreamzoom.cli import main; sys.exit(main())"
        )
        command = [sys.executable, "-c", code, "generate", "request.json", "--out", "job"]
        ended = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SERVER)}, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert not (tmp_path / "job/levels/000/image.png").exists()
        summary = generate(convert_request(request), Folder(tmp_path / "job"))
        assert "levels/000/surround" in summary.skipped
        listed = [json.loads((tmp_path / f"{name}/result.json").read_text())["files"] for name in ("job", "whole")]
        assert listed[0] == listed[1]

    def test_a_cancel_is_heard_and_the_job_goes_on_from_there(self, networks, tmp_path):
        request = content()
        request["engine"] = networks("sd", joint=False)
        sink = StopsWithin()
        with pytest.raises(Cancelled):
            generate(convert_request(request), Folder(tmp_path / "job"), sink, sink.cancel)
        assert not any((tmp_path / "job").glob("levels/*/parts/around.npz"))
        ran = generate(convert_request(request), Folder(tmp_path / "job")).ran
        assert "levels/000/surround" in ran
        assert not any(name.endswith(("image", "dream")) for name in ran)


class TestJoint:
    """Engines whose levels are sampled jointly keep the same contract."""

    @pytest.mark.parametrize("loop", [False, True])
    @pytest.mark.parametrize("model", ["spectral", "sd", "sd3"])
    def test_without_depth_by_the_crop(self, networks, tmp_path, model, loop):
        request = content(loop=loop)
        request["engine"] = {"name": "spectral", "steps": 10} if model == "spectral" else networks(model)
        generate(convert_request(request), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            assert flat_db(tmp_path / "job", request, level) > 45

    @pytest.mark.parametrize("loop", [False, True])
    def test_through_depth_by_the_second_pass(self, tmp_path, loop):
        request = content(size=(96, 72), loop=loop)
        request["engine"] = {"name": "spectral", "steps": 10, "refine": True}
        generate(convert_request(request), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            found, share = depth_db(tmp_path / "job", request, level)
            assert found > 40
            assert share > 0.15

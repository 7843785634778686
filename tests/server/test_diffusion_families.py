"""The whole pipeline through every family of models, in small, off the disk and without a network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import models
import numpy as np
import pytest
import torch

from dreamzoom import cli
from dreamzoom.engines import registry
from dreamzoom.geometry.view import UNKNOWN, DepthKind, View
from dreamzoom.progress import Report
from dreamzoom.request import validation
from dreamzoom.request.example import example
from dreamzoom.request.inputs import located

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

DEPTH_OF = dict(zip(models.PAINTERS, [*models.DEPTHS] * 2))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes models when they are asked for, each once."""
    folder, there = tmp_path_factory.mktemp("models"), {}

    def make(name):
        if name not in there:
            there[name] = (models.PAINTERS | models.DEPTHS)[name](folder / name)
        return str(there[name])

    return make


def request_of(made, model, depth, levels=3, **options):
    request = example(levels, (64, 64)) | {"quality": "draft"}
    request["engine"] = {"name": "diffusion", "model": made(model), "depth_model": made(depth), "steps": 2} | options
    return request


def generated(request, folder):
    folder.mkdir(exist_ok=True)
    (folder / "request.json").write_text(json.dumps(request))
    assert cli.main(["generate", str(folder / "request.json"), "--out", str(folder / "job")]) == 0
    return json.loads((folder / "job" / "result.json").read_text())


def painted(engine):
    view = View("000/anchor", 0, 0.0, validation.convert_request(example(1, (64, 64))).path().camera(0.0, 0))
    rgb, mask = np.zeros((64, 64, 3), np.float32), np.full((64, 64), UNKNOWN, np.uint8)
    rgb = engine.paint(view, rgb, mask, "a forest", "fog", 1, Report())
    return rgb, engine.depth(view, rgb, 1, Report())


BETWEEN = {"sd", "sd-inpaint", "sd3", "z-image", "flux", "flux-fill", "qwen-image"}
"""Families whose levels between a coarser and a finer one `test_agree_networks` looks at."""


@pytest.mark.parametrize("family", models.PAINTERS)
def test_levels_through_every_family(made, family, tmp_path):
    levels = 2 if family in BETWEEN else 3
    result = generated(request_of(made, family, DEPTH_OF[family], levels=levels), tmp_path)
    assert [level["splat_count"] > 0 for level in result["levels"]] == [True] * levels
    told = result["engine"]
    assert told["model"]["name"] == family
    assert told["depth_model"]["name"] == DEPTH_OF[family]
    assert len(told["model"]["weights"]) == 64
    assert told["steps"] == 2


@pytest.mark.parametrize("family", models.PAINTERS)
def test_every_family_paints_the_same_again(made, family):
    request = validation.convert_request(request_of(made, family, "depth-anything"))
    one, again = (painted(registry.make(request)) for _ in range(2))
    assert np.array_equal(one[0], again[0])
    assert one[0].std() > 0


@pytest.mark.parametrize("family", models.PAINTERS)
def test_every_family_paints_in_the_cards_precision(made, family):
    """Parts of different precision, mixed up, would be an error."""
    request = request_of(made, family, DEPTH_OF[family], precision="bfloat16")
    rgb, depth = painted(registry.make(validation.convert_request(request)))
    assert np.isfinite(rgb).all()
    assert rgb.std() > 0
    assert np.isfinite(depth.values).all()


@pytest.mark.parametrize("depth", models.DEPTHS)
def test_every_depth_model_answers_in_the_pictures_size_and_says_what_it_means(made, depth):
    engine = registry.make(validation.convert_request(request_of(made, "sd", depth)))
    _, found = painted(engine)
    kinds = {"depth-anything": DepthKind.DISPARITY, "da3-small": DepthKind.SCALE}
    kinds |= dict.fromkeys(["marigold", "prompt-depth-anything"], DepthKind.AFFINE)
    assert found.values.shape == (64, 64)
    assert np.isfinite(found.values).all()
    assert found.kind == kinds.get(depth, DepthKind.SCALE)
    assert engine.identity()["depth_model"]["depth_kind"] == kinds.get(depth, DepthKind.METRIC)


def test_depth_pro_is_told_the_focal_length(made):
    """Its values are inverse depth over the focal length in picture widths: twice the lens, half as near."""
    engine = registry.make(validation.convert_request(request_of(made, "sd", "depth-pro")))
    camera = validation.convert_request(example(1, (64, 64))).path().camera(0.0, 0)
    rgb = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    near, far = (
        engine.depth(View("000/anchor", 0, 0.0, c), rgb, 1, Report()).values for c in (camera, camera.widened(2.0))
    )
    inner = (far > 2e-4) & (far < 5e3) & (near > 2e-4) & (near < 5e3)
    ratio = (camera.fx / camera.width) / (camera.widened(2.0).fx / camera.widened(2.0).width)
    assert np.allclose(near[inner] / far[inner], ratio, rtol=1e-3)


def test_the_same_request_gives_the_same_bytes_in_another_process_and_offline(made, tmp_path):
    request = request_of(made, "sd", "depth-anything", levels=2)
    here = generated(request, tmp_path / "here")
    server = Path(__file__).parents[2] / "server"
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(server), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dreamzoom", "generate", str(tmp_path / "here" / "request.json"), "--out"]
    done = subprocess.run(
        [*command, str(tmp_path / "there")], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    there = json.loads((tmp_path / "there" / "result.json").read_text())
    assert here["files"] == there["files"]


def test_another_style_or_model_is_another_identity(made):
    def identity(model="sd", **options):
        return registry.make(
            validation.convert_request(request_of(made, model, "depth-anything", **options))
        ).identity()

    assert identity() == identity()
    assert identity() != identity(style="oil")
    assert identity() != identity("sd-v")


def test_folders_in_a_request_count_from_where_it_lies(made, tmp_path):
    request = request_of(made, "sd", "depth-anything", levels=1)
    base = Path(made("sd")).parent
    request["engine"] |= {"model": "sd", "depth_model": "depth-anything", "loras": [{"file": "a.safetensors"}]}
    engine = located(validation.convert_request(request), base).engine
    assert engine.model == str(base / "sd")
    assert engine.loras[0].file == str(base / "a.safetensors")
    request["engine"]["model"] = "someone/model"
    assert located(validation.convert_request(request), base).engine.model == "someone/model"


@pytest.mark.parametrize(
    ("settings", "steps", "guidance"),
    [
        ({}, 30, 7.5),
        ({"timestep_spacing": "trailing"}, 4, 1.0),
        ({"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, 30, 7.5),
        ({"kind": "LCMScheduler"}, 6, 1.5),
    ],
    ids=["plain", "turbo", "zero terminal SNR", "LCM"],
)
def test_distilled_models_are_known_by_their_scheduler(made, tmp_path, settings, steps, guidance):
    folder = Path(shutil.copytree(made("sd"), tmp_path / "sd"))
    kind = settings.pop("kind", "DDIMScheduler")
    for file, change in (
        (folder / "scheduler" / "scheduler_config.json", settings),
        (folder / "model_index.json", {"scheduler": ["diffusers", kind]}),
    ):
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    request = request_of(made, "sd", "depth-anything")
    request["engine"] = {"name": "diffusion", "model": str(folder), "depth_model": made("depth-anything")}
    engine = registry.make(validation.convert_request(request))
    assert (engine.steps, engine.guidance) == (steps, [guidance] * 3)

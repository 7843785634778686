"""Tensors stay on the device of the model: all that samples, paints and looks at depth, on a card stood in for."""

from __future__ import annotations

from functools import lru_cache

import models
import numpy as np
import pytest
import torch
from card import OnCard, card

from core.camera import Camera, look_at
from dreamzoom.engines import registry
from dreamzoom.engines.diffusion import memory
from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, View
from dreamzoom.progress import Report
from dreamzoom.request import validation
from dreamzoom.request.example import example
from dreamzoom.sampling.depth_warp import Seen, make_link
from dreamzoom.sampling.gaussian_fields import Field, FieldDenoiser, pixel_power
from dreamzoom.sampling.levels import sample_levels
from dreamzoom.sampling.second_pass import Again, Shot, refine_views

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
PROMPTS = ["a forest", "a leaf", "a cell"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, there = tmp_path_factory.mktemp("models"), {}

    def make(name):
        if name not in there:
            there[name] = (models.PAINTERS | models.DEPTHS)[name](folder / name)
        return str(there[name])

    return make


def engine_of(made, model="sd", depth="depth-anything", count=2, **options):
    request = example(count, (64, 64))
    for level, prompt in zip(request["levels"], PROMPTS):
        level["prompt"] = prompt
    request["engine"] = {"name": "diffusion", "model": made(model), "depth_model": made(depth), "steps": 4}
    request["engine"] |= {"precision": "float32"} | options
    return registry.make(validation.convert_request(request))


@lru_cache
def field(prompt, size):
    power = pixel_power(size, lambda y, x: 0.004 / (y * y + x * x + 1e-5))
    return Field(torch.zeros(3), torch.eye(3), torch.from_numpy(power.astype(np.float32)))


class TestCard:
    """What stands in for the card refuses what a card refuses."""

    def test_both_devices_in_one_operation(self):
        with card() as device, pytest.raises(RuntimeError, match="same device"):
            torch.ones(3, device=device) + torch.ones(3)

    def test_a_numpy_array_of_what_is_on_it(self):
        with card() as device, pytest.raises(TypeError, match="numpy"):
            torch.ones(3).to(device).numpy()

    def test_values_are_those_of_the_cpu(self):
        values = torch.randn(4, 5)
        with card() as device:
            there = values.to(device)
            assert isinstance(there, OnCard) and there.device.type == "cuda"
            assert torch.equal((there @ there.T).cpu(), values @ values.T)


class TestExactModel:
    """The sampler alone, on a model in closed form."""

    @pytest.mark.parametrize("way", ["nested", "photos", "padded", "large", "loop", "naive"])
    def test_levels_are_those_of_the_cpu(self, way):
        photo = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
        photo[:, 20:] = np.nan
        options = {
            "nested": {},
            "photos": {"photos": {0: photo, 2: photo}},
            "padded": {"size": (30, 34)},
            "large": {"size": (60, 60)},
            "loop": {"loop": True},
            "naive": {"blend": "naive"},
        }[way]

        def sampled(device):
            denoiser = FieldDenoiser(field, device=device)
            denoiser.multiple, denoiser.native = (8, None) if way == "padded" else (1, 32 if way == "large" else None)
            return sample_levels(
                denoiser, PROMPTS, range(3), 2.0, [(15.0, 17.0), None], **{"size": (32, 32), "steps": 8} | options
            )  # fmt: skip

        there = sampled(torch.device("cpu"))
        with card() as device:
            here = sampled(device)
        for a, b in zip(there, here):
            np.testing.assert_allclose(a, b, atol=1.01 / 255)

    def test_the_second_pass_is_that_of_the_cpu(self):
        there = second_pass(FieldDenoiser(field))
        with card() as device:
            here = second_pass(FieldDenoiser(field, device=device))
        for a, b in zip(there, here):
            np.testing.assert_allclose(a, b, atol=1.01 / 255)


@pytest.mark.parametrize("model", ["sd", "sd-inpaint", "sdxl", "sd3"])
class TestJoint:
    def test_levels_are_those_of_the_cpu(self, made, model):
        def sampled():
            engine = engine_of(made, model, count=3)
            options = engine.sampling()
            photo = np.full((64, 64, 3), 0.4, np.float32)
            return sample_levels(
                engine.denoiser(Report()), PROMPTS, range(3), 2.0, [], (64, 64), photos={1: photo}, **options
            )  # fmt: skip

        there = sampled()
        with card():
            here = sampled()
        for a, b in zip(there, here):
            assert float(((a - b) ** 2).mean()) < 1e-4

    def test_the_second_pass_runs(self, made, model):
        with card():
            engine = engine_of(made, model)
            pictures = second_pass(engine.denoiser(Report()))
        assert np.isfinite(pictures).all()


def second_pass(denoiser):
    """Two views of a flat scene at two scales, one of them partly held."""
    views = []
    for distance in (2.8, 1.4):
        camera = Camera(64, 64, 90, 90, 32, 32, look_at((0, 0, distance), (0, 0, 0)))
        views.append(Seen(camera, np.full((64, 64), distance)))
    held = np.zeros((64, 64), bool)
    held[:8] = True
    shots = [Shot(np.full((64, 64, 3), 0.5, np.float32), ((PROMPTS[0], 1.0),), 1, held=held),
             Shot(np.full((64, 64, 3), 0.4, np.float32), ((PROMPTS[1], 1.0),), 2)]  # fmt: skip
    link = make_link(1, 0, (views[1], views[0]), 1, denoiser.codec.scale)
    return refine_views(denoiser, shots, [link], Again(steps=3))


@pytest.mark.parametrize("model", list(models.PAINTERS))
def test_a_picture_is_painted(made, model):
    rgb = np.random.default_rng(0).random((64, 96, 3), dtype=np.float32)
    mask = np.full((64, 96), KNOWN, np.uint8)
    mask[:, :32], mask[:, 32:56] = UNKNOWN, COARSE
    with card():
        engine = engine_of(made, model)
        painted = engine.paint(view(), rgb, mask, "a forest", "fog", 1, Report())
        assert next(engine._painter.pipe.vae.parameters()).device.type == "cuda"
    assert np.array_equal(painted[mask == KNOWN], rgb[mask == KNOWN])
    assert np.isfinite(painted).all()


@pytest.mark.parametrize("model", ["sd", "sdxl", "sd3"])
def test_text_encoders_leave_a_card_that_is_nearly_full_once_they_have_read(made, model, monkeypatch):
    rgb, mask = np.zeros((64, 96, 3), np.float32), np.full((64, 96), UNKNOWN, np.uint8)

    def painted(engine):
        picture = engine.paint(view(), rgb, mask, "a forest", "fog", 1, Report())
        return picture, next(engine._painter.pipe.text_encoder.parameters()).device.type

    with card():
        roomy, stayed = painted(engine_of(made, model))
        engine = engine_of(made, model)
        needed = memory.plan(engine.model, engine.where, "none", engine._pixels, engine.options.batch).peak
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (needed * 3 // 2, needed * 3 // 2))
        full, left = painted(engine)
    assert (stayed, left) == ("cuda", "cpu")
    assert np.array_equal(roomy, full)


@pytest.mark.parametrize("depth", list(models.DEPTHS))
def test_depth_is_looked_at(made, depth):
    rgb = np.random.default_rng(0).random((64, 96, 3), dtype=np.float32)
    there = engine_of(made, depth=depth).depth(view(), rgb, 1, Report()).values
    with card():
        here = engine_of(made, depth=depth).depth(view(), rgb, 1, Report()).values
    np.testing.assert_allclose(here, there, rtol=1e-2, atol=1e-3)


def view():
    request = validation.convert_request(example(2, (96, 64)))
    return View("000/anchor", 0, 0.0, request.path().camera(0.0, 0))


def test_the_spectral_engine_does_not_mind_a_card():
    with card():
        denoiser = SpectralEngine().denoiser(Report())
        pictures = sample_levels(denoiser, PROMPTS, range(3), 2.0, [], (32, 32), steps=4)
    assert np.isfinite(pictures).all()

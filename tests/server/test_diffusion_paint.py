"""Painting with real pipelines in small: any size, known pixels kept, cancels, previews, memory that runs out."""

import gc
import threading
import weakref

import models
import numpy as np
import psutil
import pytest
import torch

from core.errors import BadRequest, Cancelled, DreamzoomError
from dreamzoom.engines import registry
from dreamzoom.engines.base import Denoises
from dreamzoom.engines.diffusion import canvas
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, View
from dreamzoom.progress import Report
from dreamzoom.request import validation
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "sd": models.stable_diffusion(folder / "sd", native=512),
        "small": models.stable_diffusion(folder / "small", inpainting=True),
        "sd3": models.stable_diffusion_3(folder / "sd3"),
        "depth": models.depth_anything(folder / "depth"),
        "marigold": models.marigold(folder / "marigold"),
    }


def engine_of(made, model="sd", depth="depth", **options):
    request = example(2, (64, 64))
    request["engine"] = {"name": "diffusion", "model": str(made[model]), "depth_model": str(made[depth])}
    request["engine"] |= {"steps": 2} | options
    return registry.make(validation.convert_request(request))


def view_of(size, name="000/anchor"):
    request = validation.convert_request(example(2, (size[1], size[0])))
    return View(name, 0, 0.0, request.path().camera(0.0, 0))


def scene(size, seed=0):
    """A picture of which parts are known, coarse and unknown."""
    height, width = size
    rng = np.random.default_rng(seed)
    rgb = rng.random((*size, 3), dtype=np.float32)
    mask = np.full(size, KNOWN, np.uint8)
    mask[: height // 3] = UNKNOWN
    mask[:, : width // 4] = COARSE
    rgb[mask == UNKNOWN] = np.nan
    return rgb, mask


def paint(engine, size, report=None, **order):
    rgb, mask = scene(size)
    arguments = {"prompt": "a forest", "negative_prompt": "fog", "seed": 1} | order
    return engine.paint(view_of(size), rgb, mask, report=report or Report(), **arguments), rgb, mask


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    """Equal to the bit; on a card, where a process's first picture may be rounded otherwise, to within 1e-3."""
    assert np.abs(one - other).max() <= (1e-3 if torch.cuda.is_available() else 0)


class CancelAfter(Report):
    """Cancels at the n-th time it is asked."""

    def __init__(self, count):
        self.left = count

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def progress(self, fraction, message=""):
        self.check()


class Listening(Report):
    def __init__(self):
        self.logs, self.pictures, self.fractions = [], [], []

    def progress(self, fraction, message=""):
        self.fractions.append(fraction)

    def log(self, message, *, level="info"):
        self.logs.append((level, message))

    def preview(self, rgb):
        self.pictures.append(rgb)


class TestPaint:
    @pytest.mark.parametrize(("width", "height"), [(640, 360), (512, 896), (1000, 700), (64, 64), (50, 37)])
    def test_any_size_comes_back_and_known_pixels_are_the_same_bits(self, made, width, height):
        picture, rgb, mask = paint(engine_of(made), (height, width))
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert np.array_equal(picture[mask == KNOWN], rgb[mask == KNOWN])

    def test_coarse_pixels_keep_their_low_frequencies(self, made):
        from scipy.ndimage import gaussian_filter

        engine = engine_of(made)
        smooth = gaussian_filter(np.random.default_rng(3).random((64, 64, 3), dtype=np.float32), (6, 6, 0)) * 2 - 0.5
        smooth = smooth.clip(0.1, 0.9).astype(np.float32)
        mask = np.full((64, 64), COARSE, np.uint8)
        picture = engine.paint(view_of((64, 64)), smooth, mask, "moss", "", 1, Report())
        wrong = gaussian_filter(picture - smooth, (4, 4, 0))
        assert np.abs(wrong).mean() < 0.02
        assert np.abs(picture - smooth).mean() > 1e-3  # and got detail

    def test_same_arguments_same_picture_other_seed_or_view_another(self, made):
        engine = engine_of(made, "small")
        one, again, other = (paint(engine, (64, 64), seed=seed)[0] for seed in (1, 1, 2))
        assert_same(one, again)
        assert np.abs(one - other).max() > 0.01

    def test_large_pictures_are_painted_in_tiles_without_seams(self, made):
        """A tile's border shows no larger step than any other column does."""
        engine = engine_of(made, "small")
        size = (64, 160)
        mask = np.full(size, UNKNOWN, np.uint8)
        rgb = np.zeros((*size, 3), np.float32)
        picture = engine.paint(view_of(size), rgb, mask, "sand", "", 1, Report())
        steps = np.abs(np.diff(picture, axis=1)).mean((0, 2))
        borders = {cut[1].start for cut in canvas.tiles(size, 64, 16)} | {64, 48 + 64, 96}
        at_borders = steps[[border - 1 for border in sorted(borders) if 0 < border < size[1]]]
        assert at_borders.max() < steps.mean() + 4 * steps.std()

    def test_a_wide_mask_gets_no_black_from_its_empty_pixels(self):
        rgb = np.zeros((40, 30, 3), np.float32)
        known = np.zeros((40, 30), bool)
        known[:, :5], rgb[:, :5] = True, 0.8
        assert canvas.fill(rgb, known).min() > 0.79

    def test_nothing_steps_where_painted_meets_known(self):
        """A painter that shifts all colours by a tenth leaves no edge."""
        rgb = np.full((64, 64, 3), 0.5, np.float32)
        known = np.zeros((64, 64), bool)
        known[:, :32] = True
        found = canvas.joined(rgb + np.float32(0.1), rgb, known, reach=16)
        steps = np.abs(np.diff(found, axis=1))
        assert steps.max() < 0.01
        assert found[0, -1, 0] == pytest.approx(0.6, abs=0.02)

    def test_the_first_picture_has_previews(self, made):
        engine, heard = engine_of(made, "sd3", joint=False), Listening()
        paint(engine, (64, 64), heard)
        assert heard.pictures
        assert heard.pictures[0].shape == (64, 64, 3)
        assert heard.fractions[0] == 0
        assert heard.fractions[-1] > 0.5


class TestOptions:
    def test_style_is_behind_prompts_and_never_behind_negative_ones(self, made):
        plain, styled = (engine_of(made, "small", style=style) for style in ("", "oil on canvas"))
        assert np.array_equal(
            paint(plain, (64, 64), prompt="a forest, oil on canvas")[0], paint(styled, (64, 64), prompt="a forest")[0]
        )

    def test_the_end_of_a_long_prompt_counts(self, made):
        """The tiny encoder reads 75 bytes at a time."""
        engine = engine_of(made, "small")
        long = "a forest of very old oaks and beeches in the morning, seen from above, with fog between the trunks "
        one, two = (paint(engine, (64, 64), prompt=long + word)[0] for word in ("and a red house", "and a blue lake"))
        assert not np.array_equal(one, two)

    @pytest.mark.parametrize("text", ["森の中の小さな家" * 12, "Ein Wald, в тумане, غابة" * 5])
    def test_any_language_is_read(self, made, text):
        assert np.isfinite(paint(engine_of(made, "small"), (64, 64), prompt=text)[0]).all()

    @pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++", "euler", "lcm"])
    def test_every_scheduler_paints(self, made, scheduler):
        engine = engine_of(made, "small", scheduler=scheduler)
        assert np.isfinite(paint(engine, (64, 64))[0]).all()
        assert engine.identity()["scheduler"] == scheduler

    def test_a_scheduler_that_does_not_fit_is_named(self, made):
        engine = engine_of(made, "sd3", scheduler="ddim", joint=False)
        with pytest.raises(BadRequest, match=r"engine\.scheduler"):
            paint(engine, (64, 64))

    def test_a_lora_changes_the_picture_and_is_recorded(self, made, tmp_path):
        from diffusers import StableDiffusionPipeline
        from peft import LoraConfig
        from peft.utils import get_peft_model_state_dict

        pipe = StableDiffusionPipeline.from_pretrained(made["small"], safety_checker=None)
        pipe.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
        pipe.save_lora_weights(tmp_path, get_peft_model_state_dict(pipe.unet))
        file = str(next(tmp_path.glob("*.safetensors")))
        plain = engine_of(made, "small")
        changed = engine_of(made, "small", loras=[{"file": file, "weight": 2.0}])
        assert not np.array_equal(paint(plain, (64, 64))[0], paint(changed, (64, 64))[0])
        assert changed.identity()["loras"][0]["weight"] == 2.0
        with pytest.raises(BadRequest, match=r"loras\[0\]"):
            engine_of(made, "small", loras=[{"file": str(tmp_path / "missing.safetensors")}])

    def test_guidance_can_differ_from_level_to_level(self, made):
        engine = engine_of(made, "small", level_guidance=[3.0, 9.0])
        assert np.array_equal(paint(engine, (64, 64))[0], paint(engine_of(made, "small", guidance=3.0), (64, 64))[0])
        assert engine.sampling()["guidance"] == [3.0, 9.0]
        with pytest.raises(BadRequest, match=r"engine\.level_guidance"):
            engine_of(made, "small", level_guidance=[3.0])

    def test_joint_can_be_switched_off(self, made):
        assert isinstance(engine_of(made), Denoises)
        assert not isinstance(engine_of(made, joint=False), Denoises)


class TestCancel:
    @pytest.mark.parametrize("model", ["small", "sd3"])
    def test_a_cancel_arrives_between_any_two_calls_of_a_network(self, made, model):
        engine = engine_of(made, model, joint=False, steps=4)
        whole = paint(engine, (64, 64))[0]
        for count in range(1, 8):
            with pytest.raises(Cancelled):
                paint(engine, (64, 64), CancelAfter(count))
        assert_same(paint(engine, (64, 64))[0], whole)  # usable, and as if nothing had been

    def test_marigold_can_be_cancelled_too(self, made):
        engine = engine_of(made, depth="marigold")
        rgb = np.full((64, 64, 3), 0.5, np.float32)
        whole = engine.depth(view_of((64, 64)), rgb, 1, Report()).values
        with pytest.raises(Cancelled):
            engine.depth(view_of((64, 64)), rgb, 1, CancelAfter(2))
        assert np.array_equal(engine.depth(view_of((64, 64)), rgb, 1, Report()).values, whole)

    def test_fifty_cancels_leave_no_memory_behind(self, made):
        engine = engine_of(made, "small", steps=3)
        for _ in range(3):
            with pytest.raises(Cancelled):
                paint(engine, (64, 64), CancelAfter(6))
        gc.collect()
        tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
        held = psutil.Process().memory_info().rss
        for index in range(50):
            with pytest.raises(Cancelled):
                paint(engine, (64, 64), CancelAfter(2 + index % 6))
        gc.collect()
        assert sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()) <= tensors + 2
        assert psutil.Process().memory_info().rss - held < 20e6

    def test_a_cancel_while_a_model_is_loaded(self, made):
        engine = engine_of(made, "small")
        with pytest.raises(Cancelled):
            paint(engine, (64, 64), CancelAfter(2))
        assert np.isfinite(paint(engine, (64, 64))[0]).all()

    def test_a_cancel_from_another_thread_is_obeyed_at_once(self, made):
        engine, pressed = engine_of(made, "small", steps=200), threading.Event()

        class Button(Report):
            def check(self):
                if pressed.is_set():
                    raise Cancelled

            def progress(self, fraction, message=""):
                self.check()

        calls = []
        engine.painter(Report()).pipe.unet.register_forward_hook(lambda *_: calls.append(pressed.is_set()))
        threading.Timer(0.2, pressed.set).start()
        with pytest.raises(Cancelled):
            paint(engine, (64, 64), Button())
        assert sum(calls) <= 1, "a call that had begun ends; no other begins"


class TestMemory:
    def test_when_memory_runs_out_it_steps_down_once_and_says_so(self, made):
        engine, heard = engine_of(made, "small"), Listening()
        unet = engine.painter(heard).pipe.unet
        full = iter([True])

        def runs_out(*_):
            if next(full, False):
                raise torch.OutOfMemoryError

        hook = unet.register_forward_pre_hook(runs_out)
        assert np.isfinite(paint(engine, (64, 64), heard)[0]).all()
        hook.remove()
        assert [message for level, message in heard.logs if level == "warning"]

    def test_when_it_runs_out_again_it_stops_with_a_remedy(self, made):
        engine = engine_of(made, "small")

        def runs_out(*_):
            raise torch.OutOfMemoryError

        engine.painter(Report()).pipe.unet.register_forward_pre_hook(runs_out)
        with pytest.raises(DreamzoomError) as caught:
            paint(engine, (64, 64))
        assert "smaller" in caught.value.remedy

    def test_another_jobs_engine_takes_the_loaded_models_if_they_are_the_same(self, made):
        one, two = engine_of(made, "small"), engine_of(made, "small")
        alone = paint(one, (64, 64))[0]
        one.depth(view_of((64, 64)), alone, 1, Report())
        loaded = one.painter(Report())
        two.take_models(one)
        heard = Listening()
        assert np.array_equal(paint(two, (64, 64), heard)[0], alone)
        assert not any(message.startswith("loading") for _, message in heard.logs)
        assert two.painter(Report()) is loaded
        one.take_models(two)  # and back, when the first job's next step comes
        assert one.painter(Report()) is loaded

    def test_other_models_are_unloaded_before_a_jobs_own_are_loaded(self, made):
        one, two = engine_of(made, "small"), engine_of(made, "sd")
        first = weakref.ref(one.painter(Report()))
        two.take_models(one)
        gc.collect()
        assert first() is None

    def test_the_plan_is_told_before_the_run(self, made):
        heard = Listening()
        paint(engine_of(made, "small"), (64, 64), heard)
        assert any("GB free" in message for _, message in heard.logs)

"""Networks behind the joint sampler: what they say of z is what the libraries' own schedulers say of it."""

import diffusers
import models
import numpy as np
import pytest
import torch

from core.errors import Cancelled
from dreamzoom.engines import registry
from dreamzoom.engines.diffusion import words
from dreamzoom.example import example
from dreamzoom.report import Report
from dreamzoom.request import validation
from dreamzoom.zoom.denoiser import predict
from dreamzoom.zoom.levels import sample_levels

torch.set_num_threads(1)
torch.backends.cudnn.allow_tf32 = False  # a card would round to ten bits


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, there = tmp_path_factory.mktemp("models"), {}

    def make(name):
        if name not in there:
            there[name] = (models.PAINTERS | models.DEPTHS)[name](folder / name)
        return str(there[name])

    return make


def engine_of(made, model, prompts=("a forest", "a leaf"), **options):
    request = example(len(prompts), (64, 64))
    for level, prompt in zip(request["levels"], prompts):
        level["prompt"] = prompt
    request["engine"] = {"name": "diffusion", "model": made(model), "depth_model": made("depth-anything"), "steps": 4}
    request["engine"] |= {"precision": "float32"} | options  # what is compared to 1e-3 and less, on a card too
    return registry.make(validation.convert_request(request))


def latents(denoiser, count=1):
    drawn = torch.randn((count, denoiser.codec.channels, 8, 8), generator=torch.Generator().manual_seed(0))
    return drawn.to(denoiser.device)


@pytest.mark.parametrize(("model", "time"), [("sd", 3), ("sd", 500), ("sd", 998), ("sd-v", 40), ("sd-v", 900)])
def test_a_unets_estimate_is_that_of_the_ddim_scheduler(made, model, time):
    denoiser = engine_of(made, model).denoiser(Report())
    scheduler = diffusers.DDIMScheduler.from_config(denoiser.pipe.scheduler.config)
    scheduler.set_timesteps(1000)
    z, prompt = latents(denoiser), (("a forest", 1.0),)
    output = denoiser(z, np.array([time]), [prompt])
    wanted = scheduler.step(output, time, z).pred_original_sample
    ratio = float(denoiser.schedule.sigma(time) / denoiser.schedule.alpha(time))
    found = predict(denoiser, z / float(denoiser.schedule.alpha(time)), [ratio], [prompt], 1)[0]
    assert torch.allclose(found, wanted[0], rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("time", [0.02, 0.5, 0.97])
def test_a_flow_models_estimate_is_its_own_straight_step_to_the_end(made, time):
    denoiser = engine_of(made, "sd3").denoiser(Report())
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=[time])
    z, prompt = latents(denoiser), (("a forest", 1.0),)
    output = denoiser(z, np.array([time]), [prompt])
    wanted = scheduler.step(output, scheduler.timesteps[0], z).prev_sample
    found = predict(denoiser, z / (1 - time), [time / (1 - time)], [prompt], 1)[0]
    assert torch.allclose(found, wanted[0], atol=1e-4)


@pytest.mark.parametrize("model", ["sd", "sd-inpaint", "sdxl", "sd3"])
class TestJoint:
    def test_levels_agree_where_they_overlap(self, made, model):
        """What the sampler promises of any denoiser, to 8-bit rounding (45 dB and more)."""
        engine = engine_of(made, model)
        pictures = sample_levels(
            engine.denoiser(Report()), ["a forest", "a leaf"], [1, 2], 2.0, [None], (64, 64), **engine.sampling()
        )
        small = pictures[1].reshape(32, 2, 32, 2, 3).mean((1, 3))
        wrong = ((small - pictures[0][16:48, 16:48]) ** 2).mean()
        assert -10 * np.log10(wrong + 1e-12) > 45

    def test_a_batch_says_what_each_would_alone(self, made, model):
        denoiser = engine_of(made, model).denoiser(Report())
        z, times = latents(denoiser, 3), denoiser.schedule.time(np.array([0.5, 2.0, 8.0]))
        prompts = [
            (("a forest", 1.0),),
            (("a leaf that is far longer than what is read at a time " * 3, 1.0),),
            (("", 1.0),),
        ]
        whole = denoiser(z, times, prompts)
        alone = [denoiser(z[i : i + 1], times[i : i + 1], [prompts[i]])[0] for i in range(3)]
        assert torch.allclose(whole, torch.stack(alone), atol=1e-5)

    def test_a_cancel_arrives_at_the_next_call(self, made, model):
        class Stop(Report):
            def check(self):
                raise Cancelled

        engine = engine_of(made, model)
        engine.painter(Report())
        denoiser = engine.denoiser(Stop())
        with pytest.raises(Cancelled):
            denoiser(latents(denoiser), denoiser.schedule.time(np.array([1.0])), [(("a forest", 1.0),)])

    def test_a_mixture_lies_between_its_prompts(self, made, model):
        reader = engine_of(made, model).painter(Report()).encoder
        one, other, half = (
            reader.for_network(prompt, False)[0]
            for prompt in [(("a forest", 1.0),), (("a leaf", 1.0),), (("a forest", 0.5), ("a leaf", 0.5))]
        )
        assert torch.allclose(half, (one + other) / 2, atol=1e-6)


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm++", "euler", "lcm"])
def test_every_scheduler_samples_jointly(made, scheduler):
    engine = engine_of(made, "sd", scheduler=scheduler)
    pictures = sample_levels(
        engine.denoiser(Report()), ["a forest", "a leaf"], [1, 2], 2.0, [None], (64, 64), **engine.sampling()
    )
    assert np.isfinite(pictures).all()


class TestCost:
    def calls(self, made, levels, **options):
        """Pictures that the autoencoder decodes and encodes a level."""
        prompts = [f"the thing of level {k}" for k in range(levels)]
        engine = engine_of(made, "sd", prompts, **options)
        denoiser, counts = engine.denoiser(Report()), {"decoder": 0, "encoder": 0}
        for name in counts:

            def count(_, arguments, name=name):
                counts[name] += len(arguments[0])

            getattr(denoiser.pipe.vae, name).register_forward_pre_hook(count)
        sample_levels(denoiser, prompts, range(levels), 2.0, [], (64, 64), **engine.sampling())
        return counts["decoder"] / levels, counts["encoder"] / levels

    def test_a_level_of_30_steps_takes_few_runs_of_the_autoencoder(self, made):
        decodes, encodes = self.calls(made, 8, steps=30)
        assert decodes <= 12 and encodes <= 18

    def test_blending_less_often_decodes_less_often(self, made):
        often = self.calls(made, 3, steps=12, blend_every=1)
        seldom = self.calls(made, 3, steps=12, blend_every=3)
        assert seldom[0] < often[0] and seldom[1] < often[1]

    def test_a_picture_that_is_given_whole_is_encoded_once(self, made):
        engine = engine_of(made, "sd", ("a forest",), steps=12)
        denoiser, counts = engine.denoiser(Report()), []
        denoiser.pipe.vae.encoder.register_forward_pre_hook(lambda *_: counts.append(1))
        photo = np.full((64, 64, 3), 0.5, np.float32)
        sample_levels(denoiser, ["a forest"], [1], 2.0, [], (64, 64), photos={0: photo}, **engine.sampling())
        assert len(counts) == 1


def test_style_is_put_behind_prompts_only(made):
    denoiser = engine_of(made, "sd", style="oil on canvas").denoiser(Report())
    plain = engine_of(made, "sd", ("a forest, oil on canvas", "a leaf")).denoiser(Report())
    z, time = latents(denoiser), denoiser.schedule.time(np.array([1.0]))
    assert torch.equal(denoiser(z, time, [(("a forest", 1.0),)]), plain(z, time, [(("a forest, oil on canvas", 1.0),)]))
    assert torch.equal(denoiser(z, time, [(("fog", 1.0),)]), plain(z, time, [(("fog", 1.0),)]))


class TestPieces:
    @pytest.mark.parametrize("text", ["", "one", "many words " * 40, "x" * 200, "一二三四五" * 50])
    def test_no_piece_is_too_long_and_nothing_is_lost(self, text):
        found = words.pieces(text, 10, len)
        assert all(len(piece) <= 10 for piece in found)
        assert "".join("".join(found).split()) == "".join(text.split())

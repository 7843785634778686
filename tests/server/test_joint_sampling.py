"""The joint sampler: consistent levels, detail kept, photos obeyed, bad input told."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from core.errors import BadRequest
from dreamzoom.progress import Report
from dreamzoom.sampling.blend import Blend, merge
from dreamzoom.sampling.gaussian_fields import Field, FieldDenoiser, pixel_power, to_waves
from dreamzoom.sampling.level_resampling import make_nest
from dreamzoom.sampling.levels import complete_prompts, sample_levels, stream_levels
from dreamzoom.sampling.sampler import Coupling, JointSampler, Plan
from dreamzoom.sampling.schedule import Flow, Prediction

pytestmark = pytest.mark.slow

SIZE = (64, 64)
torch.set_num_threads(1)


@lru_cache
def field(prompt, size):
    mean = sum(weight * {"red": 0.3, "blue": -0.3}.get(text, 0.0) for text, weight in prompt)
    power = pixel_power(size, lambda y, x: 0.004 / (y * y + x * x + 1e-5))
    return Field(torch.tensor([mean, 0.0, -mean]), torch.eye(3), torch.from_numpy(power.astype(np.float32)))


DENOISER = FieldDenoiser(field)


def tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)


def agreement(pictures, factor=2.0, centres=()):
    """PSNR of D(x_{k+1}) against the window of x_k, for every k."""
    result = []
    for i, (coarse, fine) in enumerate(zip(pictures, pictures[1:])):
        nest = make_nest(coarse.shape[:2], factor, centres[i] if centres else None)
        error = nest.down(tensor(fine)) - nest.window(tensor(coarse))
        result.append(float(-10 * torch.log10((error**2).mean())))
    return result


def sample(levels=3, factor=2.0, size=SIZE, centres=(), denoiser=DENOISER, prompts=None, steps=20, **options):
    return sample_levels(
        denoiser, prompts or ["x"] * levels, range(levels), factor, list(centres), size, steps=steps, **options
    )


class TestConsistency:
    @pytest.mark.parametrize("factor", [1.5, 2.0, 2.5, 3.0, 4.0])
    def test_levels_agree_for_any_factor(self, factor):
        assert min(agreement(sample(factor=factor), factor)) > 45

    def test_levels_agree_about_a_drifting_focus_and_at_any_aspect(self):
        centres = [(50.3, 20.0), (30.0, 35.7)]
        assert min(agreement(sample(size=(48, 80), centres=centres), centres=centres)) > 45

    def test_independent_levels_do_not_agree(self):
        assert max(agreement(sample(blend=Blend.NONE))) < 20

    def test_a_model_of_other_multiples_is_cut_to_size(self):
        denoiser = FieldDenoiser(field)
        denoiser.multiple = 16
        pictures = sample(size=(50, 70), denoiser=denoiser)
        assert pictures[0].shape == (50, 70, 3)
        assert min(agreement(pictures)) > 45

    def test_same_seeds_same_pictures(self):
        assert all(np.array_equal(a, b) for a, b in zip(sample(), sample()))
        assert not np.array_equal(sample()[0], sample_levels(DENOISER, ["x"] * 3, [9, 8, 7], 2, [], SIZE, steps=20)[0])


class TestDetail:
    def top_octave(self, pictures):
        waves = to_waves(tensor(pictures[-1]))
        return float((waves[:, 32:, 32:] ** 2).mean())

    def test_averaging_bands_keeps_detail_where_averaging_pictures_loses_it(self):
        alone = self.top_octave(sample(blend=Blend.NONE))
        assert 0.85 < self.top_octave(sample()) / alone < 1.15
        assert self.top_octave(sample(blend=Blend.NAIVE, coupling=Coupling.TIME)) / alone < 0.5


class TestDistribution:
    """A Gaussian world of 16² finest pixels: level 1 is its middle 8², level 0 all of it at half the resolution."""

    ratio = 0.5

    def world(self):
        """Covariance of (level 0, level 1), 64 pixels each, and of their noise: level 1 at twice the ratio."""
        lags = np.fft.fftfreq(64)
        spectrum = 0.02 / (lags[:, None] ** 2 + lags[None] ** 2 + 1e-3)
        covariance, at = np.fft.ifft2(spectrum).real, np.arange(16)
        apart = at[:, None] - at
        fine = covariance[apart[:, None, :, None], apart[None, :, None, :]].reshape(256, 256)
        halves = np.kron(np.eye(8), np.full((1, 2), 0.5))
        middle = np.eye(16)[4:12]
        see = np.vstack([np.kron(halves, halves), np.kron(middle, middle)])
        return see @ fine @ see.T, 4 * self.ratio**2 * see @ see.T

    def error(self, overlapping):
        """Of the merged estimates from noisy pictures: mean square, over that of the exact posterior mean."""
        signal, noise = self.world()
        own = [signal[part, part] for part in (slice(0, 64), slice(64, 128))]
        guess = [k @ np.linalg.inv(k + (self.ratio * 2**i) ** 2 * np.eye(64)) for i, k in enumerate(own)]
        impulses = [torch.from_numpy(np.hstack(pair).T.reshape(128, 8, 8).copy())
                    for pair in ((guess[0], np.zeros((64, 64))), (np.zeros((64, 64)), guess[1]))]  # fmt: skip
        nest, overlaps = make_nest((8, 8), 2.0), None
        if overlapping:
            inner = nest.window(torch.arange(64).reshape(8, 8)).flatten().numpy()
            part = own[0][np.ix_(inner, inner)]
            alone = np.zeros((16, 128))
            alone[:, inner] = part @ np.linalg.inv(part + self.ratio**2 * np.eye(16))
            overlaps = [torch.from_numpy(alone.T.reshape(128, 4, 4).copy())]
        merged = np.vstack([m.reshape(128, 64).T for m in merge(impulses, [nest], [None] * 2, overlaps=overlaps)])
        values, vectors = np.linalg.eigh(signal + noise)
        vectors, values = vectors[:, values > 1e-9], values[values > 1e-9]
        best = signal @ (vectors / values) @ vectors.T

        def mean_square(m):
            return np.trace(signal - m @ signal - (m @ signal).T + m @ (signal + noise) @ m.T)

        return mean_square(merged) / mean_square(best)

    def test_without_the_overlap_guesses_add_up_to_the_posterior_mean(self):
        assert 1 <= self.error(overlapping=True) < 1.006
        assert self.error(overlapping=False) > 1.01

    def test_levels_are_one_noisy_world_however_many_steps(self):
        for steps in (20, 50, 80, 120):
            sampler = JointSampler(DENOISER, Plan([(("x", 1.0),)] * 3, range(3), 2.0, SIZE, steps=steps))
            assert sampler.ratios[0] / sampler.ratios[sampler.lag] == pytest.approx(2)


class TestModels:
    @pytest.mark.parametrize("prediction", [Prediction.NOISE, Prediction.ANGULAR])
    def test_what_the_model_predicts_does_not_matter(self, prediction):
        other = sample(denoiser=FieldDenoiser(field, prediction=prediction))
        assert np.abs(np.stack(other) - np.stack(sample())).max() < 0.02

    def test_flow_matching_is_the_same_step(self):
        flow = [FieldDenoiser(field, Flow(0.03, 14.0), kind) for kind in (Prediction.CLEAN, Prediction.VELOCITY)]
        clean, velocity = (sample(denoiser=one) for one in flow)
        assert np.abs(np.stack(clean) - np.stack(velocity)).max() < 0.02
        assert min(agreement(velocity)) > 45


class TestDeliveredSize:
    """A model that was trained on 32² is asked for 96 × 128: sampled small, then jointly again at full size."""

    size, centres = (96, 128), [(70.0, 50.0), (60.0, 44.0)]

    def delivered(self, **options):
        denoiser = FieldDenoiser(field)
        denoiser.native = 32
        return sample(size=self.size, centres=self.centres, denoiser=denoiser, **options)

    def test_levels_agree_at_the_size_that_is_delivered(self):
        assert min(agreement(self.delivered(), centres=self.centres)) > 45

    def test_they_agree_where_the_model_wants_other_multiples_too(self):
        denoiser = FieldDenoiser(field)
        denoiser.native, denoiser.multiple = 32, 16
        pictures = sample(size=(90, 130), denoiser=denoiser)
        assert pictures[0].shape == (90, 130, 3)
        assert min(agreement(pictures)) > 45

    def test_detail_is_that_of_the_full_size(self):
        def fine(pictures):
            waves = to_waves(tensor(pictures[-1]))
            return float((waves[:, 48:, 64:] ** 2).mean())

        alone = sample(size=self.size, centres=self.centres)
        assert 0.85 < fine(self.delivered()) / fine(alone) < 1.15

    def test_the_layout_is_that_of_the_small_pictures(self):
        """What the small model sampled shows in the large picture; another seed's does not."""
        nearer = [(x * 37 / 128, y * 28 / 96) for x, y in self.centres]
        small = sample_levels(DENOISER, ["x"] * 3, range(3), 2, nearer, (28, 37), steps=20)[0]
        coarse = torch.nn.functional.adaptive_avg_pool2d(tensor(self.delivered()[0])[None], (4, 5))[0].flatten()
        same = torch.nn.functional.adaptive_avg_pool2d(tensor(small)[None], (4, 5))[0].flatten()
        assert float(torch.corrcoef(torch.stack([coarse, same]))[0, 1]) > 0.7

    def test_photos_stay_and_a_loop_closes(self):
        photo = np.random.default_rng(0).random((*self.size, 3)).astype(np.float32)
        assert np.abs(self.delivered(photos={1: photo})[1] - photo).max() <= 0.51 / 255
        denoiser = FieldDenoiser(field)
        denoiser.native = 32
        ring = sample(levels=4, size=self.size, denoiser=denoiser, loop=True)
        assert min(agreement([*ring, ring[0]])) > 45

    def test_progress_never_falls(self):
        class Seen(Report):
            fractions = []

            def progress(self, fraction, message=""):
                self.fractions.append(fraction)

        self.delivered(report=Seen())
        assert Seen.fractions == sorted(Seen.fractions) and Seen.fractions[-1] > 0.9


class TestPhotos:
    photo = np.random.default_rng(0).random((*SIZE, 3)).astype(np.float32)

    def test_a_photo_of_level_0_is_kept_and_binds_the_next(self):
        pictures = sample(photos={0: self.photo})
        assert np.abs(pictures[0] - self.photo).max() <= 0.51 / 255
        assert min(agreement(pictures)) > 40

    def test_a_photo_of_a_deep_level_is_kept_and_shows_in_those_above(self):
        pictures = sample(photos={2: self.photo})
        assert np.abs(pictures[2] - self.photo).max() <= 0.51 / 255
        assert min(agreement(pictures)) > 45

    def test_pixels_not_given_are_dreamed(self):
        partly = self.photo.copy()
        partly[:, 32:] = np.nan
        picture = sample(photos={0: partly})[0]
        assert np.abs(picture[:, :32] - partly[:, :32]).max() <= 0.51 / 255
        assert np.isfinite(picture).all()

    def test_a_photo_of_another_size_is_fitted(self):
        wide = np.repeat(np.repeat(self.photo, 2, 0), 3, 1)
        assert sample(photos={0: wide})[0].shape == (*SIZE, 3)


class TestPrompts:
    def test_a_missing_prompt_lies_between_its_neighbours_and_is_logged(self):
        lines = []
        report = Report()
        report.log = lambda message, **_: lines.append(message)
        mixed = complete_prompts(["red", "", None, "blue"], report)
        assert mixed[1] == (("red", pytest.approx(2 / 3)), ("blue", pytest.approx(1 / 3)))
        assert len(lines) == 2

    def test_no_prompt_at_all_is_refused(self):
        with pytest.raises(BadRequest, match="levels"):
            complete_prompts(["", None])

    def test_guidance_moves_away_from_the_negative_prompt(self):
        plain = sample(prompts=["red"] * 2, levels=2)[0]
        guided = sample(prompts=["red"] * 2, levels=2, negatives=["blue"] * 2, guidance=2.0)[0]
        assert guided[..., 0].mean() > plain[..., 0].mean() + 0.05


class TestBadInput:
    @pytest.mark.parametrize("factor", [1.0, 0.5, -2.0])
    def test_a_factor_of_one_or_less_is_refused(self, factor):
        with pytest.raises(BadRequest, match="zoom_factor"):
            sample(factor=factor)

    def test_a_photo_of_no_level_is_refused(self):
        with pytest.raises(BadRequest, match="no level 7"):
            sample(photos={7: TestPhotos.photo})

    def test_a_focus_outside_the_picture_couples_what_is_in_common(self):
        centres = [(70.0, 32.0), (200.0, 32.0)]
        pictures = sample(centres=centres)
        assert agreement(pictures[:2], centres=centres)[0] > 45


class TestDepth:
    def test_memory_does_not_grow_with_the_levels(self):
        peaks = []
        for count in (8, 16):
            prompts = [(("x", 1.0),)] * count
            sampler = JointSampler(DENOISER, Plan(prompts, range(count), 2.0, (16, 16), steps=20, window=8))
            assert [k for k, _ in sampler.run()] == list(range(count))
            peaks.append(sampler.cost.peak_levels)
        assert peaks[1] <= peaks[0] <= 8

    def test_levels_come_as_they_are_finished(self):
        stream = stream_levels(DENOISER, ["x"] * 6, range(6), 2, [], (16, 16), steps=10)
        assert [level for level, _ in stream] == list(range(6))

    def test_a_loop_closes(self):
        pictures = sample(levels=4, loop=True)
        assert min(agreement([*pictures, pictures[0]])) > 45

"""Nests and noise: D, its lift, and noise that is white and the same in all levels, for any factor and place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamzoom.zoom.blend import Known, conform, finish, fit_photo, merge, spread_known
from dreamzoom.zoom.noise import draw, stack_noise
from dreamzoom.zoom.schedule import Flow, Prediction, VariancePreserving, to_clean
from dreamzoom.zoom.stack import make_nest

torch.set_num_threads(1)


class TestNest:
    @given(factor=st.floats(1.1, 6), x=st.floats(8, 40), y=st.floats(8, 24), height=st.integers(24, 40))
    @settings(max_examples=40, deadline=None)
    def test_lift_is_undone_by_down_and_noise_is_orthonormal(self, factor, x, y, height):
        nest = make_nest((height, 48), factor, (x, y))
        if nest is None:
            return
        window = nest.window(draw((3, height, 48), 1))
        assert torch.allclose(nest.down(nest.lift(window)), window, atol=1e-4)
        for axis in (nest.y, nest.x):
            assert torch.allclose(axis.white @ axis.white.T, torch.eye(len(axis.white)), atol=1e-5)

    def test_down_is_the_mean_of_blocks_for_whole_factors(self):
        picture = torch.rand(3, 12, 18)
        means = picture.reshape(3, 4, 3, 6, 3).mean((2, 4))
        assert torch.allclose(make_nest((12, 18), 3.0).down(picture), means, atol=1e-6)

    def test_a_ramp_stays_a_ramp_about_a_drifting_focus(self):
        centre, factor = (23.4, 17.7), 2.5
        nest = make_nest((40, 40), factor, centre)
        columns = (torch.arange(40) + 0.5).expand(1, 40, 40)
        fine = centre[0] + (columns - 20) / factor
        inner = (nest.down(fine) - nest.window(columns))[..., 1:-1]
        assert inner.abs().max() < 0.03  # a pixel that two share is split as if it were even
        assert abs(float(inner.mean())) < 2e-3

    def test_nothing_in_common_is_no_nest(self):
        assert make_nest((16, 16), 2.0, (100.0, 8.0)) is None

    def test_a_factor_of_one_is_refused(self):
        with pytest.raises(ValueError, match="above 1"):
            make_nest((16, 16), 1.0)


class TestNoise:
    @pytest.mark.parametrize("factor", [2.0, 3.0, 4.0, 2.5, 1.7])
    def test_white_in_every_level_and_equal_between_them(self, factor):
        nest = make_nest((48, 48), factor)
        stack = stack_noise([draw((300, 48, 48), 3, k) for k in range(3)], [nest, nest])
        for coarse, fine in zip(stack, stack[1:]):
            assert torch.allclose(nest.white_down(fine), nest.window(coarse), atol=1e-5)
        for noise in stack:
            assert abs(float(noise.std()) - 1) < 0.005
            assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.005
            assert abs(float((noise[:, 1:] * noise[:, :-1]).mean())) < 0.005
            assert abs(float((noise.double() ** 4).mean()) - 3) < 0.05

    def test_for_whole_factors_it_is_the_scaled_mean(self):
        nest = make_nest((16, 16), 2.0)
        fine = draw((1, 16, 16), 2)
        assert torch.allclose(nest.white_down(fine), 2 * nest.down(fine), atol=1e-5)


class TestMerge:
    def test_levels_agree_and_detail_stays(self):
        nest = make_nest((32, 32), 2.0)
        guesses = [torch.rand(3, 32, 32) for _ in range(3)]
        merged = merge(guesses, [nest, nest], [None] * 3)
        for coarse, fine in zip(merged, merged[1:]):
            assert torch.allclose(nest.down(fine), nest.window(coarse), atol=1e-5)
        own = [fine - nest.lift(nest.down(fine)) for fine in (guesses[2], merged[2])]
        assert torch.allclose(own[0], own[1], atol=1e-5)

    def test_a_consistent_stack_is_left_alone(self):
        nest = make_nest((32, 32), 2.0)
        coarse = torch.rand(3, 32, 32)
        fine = conform(torch.rand(3, 32, 32), coarse, nest)
        merged = merge([coarse, fine], [nest], [None, None])
        assert torch.allclose(merged[0], coarse, atol=1e-4)
        assert torch.allclose(merged[1], fine, atol=1e-4)

    def test_given_pixels_hold(self):
        nest = make_nest((32, 32), 2.0)
        known = Known(torch.zeros(3, 32, 32), torch.ones(32, 32, dtype=torch.bool))
        merged = merge([torch.rand(3, 32, 32) for _ in range(2)], [nest], [known, None])
        assert torch.equal(merged[0], known.picture)
        assert nest.down(merged[1]).abs().max() < 1e-5

    def test_settled_pictures_agree_within_8_bits_even_at_full_contrast(self):
        nest = make_nest((32, 32), 2.0)
        coarse = finish((torch.rand(3, 32, 32) * 0.4 + 0.6), None, None)
        fine = finish(torch.rand(3, 32, 32) * 3 - 1, coarse, nest)
        assert fine.min() >= 0 and fine.max() <= 1
        assert (nest.down(fine) - nest.window(coarse)).abs().mean() < 2 / 255


class TestPhotos:
    def test_a_wide_photo_is_scaled_to_cover_and_cut_about_its_middle(self):
        photo = torch.arange(80.0).expand(3, 20, 80) / 80
        fitted = fit_photo(photo, (10, 10))
        assert fitted.shape == (3, 10, 10)
        assert float(fitted.mean()) == pytest.approx(float(photo.mean()), abs=0.01)

    def test_a_deep_photo_shows_in_all_levels_above(self):
        nest = make_nest((32, 32), 2.0)
        known = spread_known({2: torch.ones(3, 32, 32)}, [nest, nest])
        assert [int(known[k].mask.sum()) for k in range(3)] == [8 * 8, 16 * 16, 32 * 32]


class TestSchedules:
    @pytest.mark.parametrize("schedule", [VariancePreserving.scaled_linear(), Flow()])
    def test_time_and_ratio_are_inverse(self, schedule):
        ratios = np.geomspace(schedule.ratio_min, schedule.ratio_max, 20)
        times = schedule.time(ratios)
        assert np.allclose(schedule.sigma(times) / schedule.alpha(times), ratios, rtol=1e-6)

    @pytest.mark.parametrize("schedule", [VariancePreserving.scaled_linear(), Flow()])
    def test_every_prediction_gives_back_the_picture(self, schedule):
        alpha, sigma = (float(part(schedule.time(np.array(0.7)))) for part in (schedule.alpha, schedule.sigma))
        clean, noise = draw((3, 4, 4), 0), draw((3, 4, 4), 1)
        z = alpha * clean + sigma * noise
        outputs = {Prediction.CLEAN: clean, Prediction.NOISE: noise, Prediction.ANGULAR: alpha * noise - sigma * clean}
        if isinstance(schedule, Flow):
            outputs[Prediction.VELOCITY] = noise - clean
        for kind, output in outputs.items():
            assert torch.allclose(to_clean(kind, output, z, alpha, sigma), clean, atol=1e-5)

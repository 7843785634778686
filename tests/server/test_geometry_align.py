"""Align: scale, harmonic fields, cleaning, single views."""

import numpy as np
import pytest
from halls import SIZE, camera, grey, hall, left_half, seen_from, values_of, warp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from core.errors import DreamzoomError
from dreamzoom.geometry import harmonic
from dreamzoom.geometry.clean import clean
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.scale import fit_scale, robust_mean
from dreamzoom.geometry.seam import align
from dreamzoom.geometry.view import DepthKind, DepthMap


class TestFitScale:
    @settings(max_examples=20, deadline=None)
    @given(st.floats(0.25, 4), st.integers(0, 999), st.floats(1.2, 5))
    def test_one_sided_outliers_and_noise_leave_half_a_percent(self, scale, seed, lie):
        rng, depth = np.random.default_rng(seed), hall(camera())
        values = depth / scale * np.exp(0.02 * rng.normal(size=depth.shape))
        values[rng.random(depth.shape) < 0.2] *= lie
        fit = fit_scale(values, depth, np.ones(depth.shape), DepthKind.SCALE)
        assert abs(fit.scale / scale - 1) < 0.005

    @pytest.mark.parametrize("kind", list(DepthKind))
    def test_recovers_what_the_kind_leaves_open(self, kind):
        depth = hall(camera())
        fit = fit_scale(values_of(kind, depth), depth, np.ones(depth.shape), kind)
        tolerance = 0.02 if kind == DepthKind.METRIC else 0.002
        assert np.abs(fit.apply(values_of(kind, depth)) / depth - 1).max() < tolerance

    def test_a_metric_model_is_believed_more_the_less_is_known(self):
        depth = hall(camera())
        few = np.zeros(depth.shape)
        few[:3, :3] = 1
        much = fit_scale(depth / 1.2, depth, np.ones(depth.shape), DepthKind.METRIC).scale
        little = fit_scale(depth / 1.2, depth, few, DepthKind.METRIC).scale
        assert 1 < little < 1.05 < 1.1 < much < 1.2

    def test_nothing_known_is_no_fit(self):
        depth = hall(camera())
        assert fit_scale(depth, np.full_like(depth, np.nan), np.ones(depth.shape), DepthKind.SCALE) is None

    @pytest.mark.parametrize("kind", list(DepthKind))
    def test_constant_values_give_a_finite_depth(self, kind):
        depth = hall(camera())
        fit = fit_scale(np.ones_like(depth), depth, np.ones(depth.shape), kind)
        assert np.isfinite(fit.apply(np.ones_like(depth))).all()


class TestRobustMean:
    def test_is_the_value_of_a_single_one(self):
        assert robust_mean(np.array([3.0]), np.array([0.1]))[0] == pytest.approx(3)


class TestHarmonicSolve:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 999))
    def test_agrees_with_a_dense_solve(self, height, width, seed):
        rng = np.random.default_rng(seed)
        weight, target = rng.random((height, width)) + 0.01, rng.normal(size=(height, width))
        right, down = rng.random((2, height, width)) * rng.integers(0, 2, (2, height, width))
        found = harmonic.solve(weight, target, right, down, tolerance=1e-8, rounds=300)
        number = np.arange(height * width).reshape(height, width)
        matrix = np.diag(weight.ravel())
        for a, b, link in (
            (number[:, :-1], number[:, 1:], right[:, :-1]),
            (number[:-1], number[1:], down[:-1]),
        ):
            for i, j, w in zip(a.ravel(), b.ravel(), link.ravel(), strict=True):
                matrix[[i, j, i, j], [i, j, j, i]] += [w, w, -w, -w]
        expected = np.linalg.solve(matrix, (weight * target).ravel()).reshape(height, width)
        assert np.abs(found - expected).max() < 1e-5

    def test_a_cut_separates(self):
        weight = np.zeros((20, 20))
        weight[:, 0], weight[:, -1] = 1, 1
        target = np.zeros((20, 20))
        target[:, -1] = 1
        right = np.ones((20, 20))
        right[:, 9] = 0
        field = harmonic.solve(weight + 1e-9, target, right, np.ones((20, 20)), tolerance=1e-8, rounds=300)
        assert np.abs(field[:, :10]).max() < 1e-3
        assert np.abs(field[:, 10:] - 1).max() < 1e-3


class TestClean:
    def test_leaves_a_clean_depth_alone(self):
        view = camera()
        assert np.array_equal(clean(hall(view), view), hall(view))

    def test_takes_off_noise_and_lone_outliers(self):
        view, rng = camera(size=192), np.random.default_rng(1)
        depth = hall(view)
        noisy = depth * np.exp(0.01 * rng.normal(size=depth.shape)).astype(np.float32)
        noisy[rng.random(depth.shape) < 0.03] *= 1.8
        left = np.abs(clean(noisy, view) / depth - 1)
        assert np.median(left) < 0.003
        assert (left > 0.1).mean() < 0.002

    def test_keeps_an_occlusion_edge_sharp(self):
        view, rng = camera(), np.random.default_rng(1)
        depth = np.where(left_half(), 2.0, 4.0)
        got = clean((depth * np.exp(0.01 * rng.normal(size=depth.shape))).astype(np.float32), view)
        assert np.abs(got / depth - 1).max() < 0.05


class TestAlign:
    @pytest.mark.parametrize("kind", list(DepthKind))
    def test_halves_the_error_of_scale_alone_beside_what_is_known(self, kind):
        view, known = camera(), left_half()
        depth = hall(view)
        bent = (depth * np.exp(warp(4))).astype(np.float32)
        got = align(DepthMap(values_of(kind, bent), kind), seen_from(view, known, depth), view)
        strip = np.zeros_like(known)
        strip[:, SIZE // 2 : SIZE // 2 + 8] = True
        alone = got.scale.apply(values_of(kind, bent))
        assert np.median(np.abs(got.depth / depth - 1)[known]) < 0.005
        assert np.median(np.abs(got.depth / depth - 1)[strip]) < 0.5 * np.median(np.abs(alone / depth - 1)[strip])

    @settings(max_examples=10, deadline=None)
    @given(st.floats(0.01, 100), st.floats(0.01, 100))
    def test_does_not_care_for_the_unit(self, unit, model_unit):
        view, known = camera(), left_half()
        depth = hall(view)
        bent = (depth * np.exp(warp(5))).astype(np.float32)
        a = align(DepthMap(bent, DepthKind.SCALE), seen_from(view, known, depth), view)
        scaled = DepthMap(bent * np.float32(model_unit), DepthKind.SCALE)
        b = align(scaled, seen_from(view, known, depth * np.float32(unit)), view)
        assert np.abs(b.depth / a.depth / unit - 1).max() < 1e-3

    def test_outliers_in_what_is_known_do_not_bend_it(self):
        view, rng = camera(), np.random.default_rng(0)
        depth = hall(view)
        known_depth = np.where(rng.random(depth.shape) < 0.2, depth * 1.7, depth)
        got = align(DepthMap(depth * 2, DepthKind.SCALE), seen_from(view, left_half(), known_depth), view)
        assert np.percentile(np.abs(got.depth / depth - 1), 95) < 0.01

    def test_new_relief_stays_on_a_coarse_ground(self):
        view = camera(size=192)
        x = np.mgrid[:192, :192][1]
        ground = np.full((192, 192), 2.0)
        relief = np.exp(0.01 * np.sin(x * 2 * np.pi / 6))
        values = (3 * ground * relief * np.exp(warp(6, 192))).astype(np.float32)
        everywhere = np.ones((192, 192), bool)
        got = align(DepthMap(values, DepthKind.SCALE), seen_from(view, everywhere, ground, span=2.0), view)
        low = gaussian_filter(np.log(got.depth / ground), 6)
        assert np.median(np.abs(low)) < 0.003
        assert np.abs(low[12:-12, 12:-12]).max() < 0.02
        high = np.log(got.depth / ground) - low
        assert np.corrcoef(high.ravel(), np.log(relief).ravel())[0, 1] > 0.9
        assert high.std() > 0.7 * np.log(relief).std()

    @pytest.mark.parametrize("kind", list(DepthKind))
    def test_nothing_known_puts_the_middle_at_the_focus(self, kind):
        view = camera()
        depth = hall(view)
        nothing = seen_from(view, np.zeros((SIZE, SIZE), bool), depth)
        got = align(DepthMap(values_of(kind, depth), kind), nothing, view, focus_distance=3.0)
        assert np.median(got.depth[40:56, 40:56]) == pytest.approx(3, rel=0.05)
        assert np.isfinite(got.depth).all()
        assert (got.depth > 0).all()

    @pytest.mark.parametrize("kind", list(DepthKind))
    @pytest.mark.parametrize("known", ["none", "all", "one pixel"])
    def test_a_constant_depth_gives_a_finite_depth(self, kind, known):
        view = camera()
        where = np.full((SIZE, SIZE), known == "all")
        if known == "one pixel":
            where[50, 50] = True
        flat = DepthMap(np.full((SIZE, SIZE), 0.7, np.float32), kind)
        got = align(flat, seen_from(view, where, hall(view)), view, focus_distance=2.0)
        assert np.isfinite(got.depth).all()
        assert np.isfinite(got.confidence).all()
        assert np.isfinite(lift(view, got.depth, grey(view), view=0).position).all()

    def test_an_all_nan_depth_is_an_error_with_a_remedy(self):
        view = camera()
        empty = DepthMap(np.full((SIZE, SIZE), np.nan, np.float32), DepthKind.SCALE)
        with pytest.raises(DreamzoomError, match="finite depth") as caught:
            align(empty, seen_from(view, left_half(), hall(view)), view)
        assert caught.value.remedy

    def test_single_nans_stay_nan_and_do_not_spread(self):
        view = camera()
        values = hall(view)
        values[10:14, 60:64] = np.nan
        got = align(DepthMap(values, DepthKind.SCALE), seen_from(view, left_half(), hall(view)), view)
        assert np.isnan(got.depth).sum() == 16
        assert (got.confidence[np.isnan(got.depth)] == 0).all()

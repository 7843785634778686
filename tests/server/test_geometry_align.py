"""Align: scale, harmonic fields, cleaning, single views, all views jointly, and the merged cloud."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from core.camera import Camera, look_at
from core.errors import DreamzoomError
from dreamzoom.engines.base import COARSE, KNOWN, UNKNOWN, DepthKind, DepthMap
from dreamzoom.geometry import harmonic
from dreamzoom.geometry.clean import clean
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, refine
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, merge, thin
from dreamzoom.geometry.project import Projection, project
from dreamzoom.geometry.scale import fit_scale, robust_mean
from dreamzoom.geometry.seam import align
from dreamzoom.stages.align import align_view, with_given

SIZE = 96


def camera(yaw=0.0, centre=(0.0, 0.0, 0.0), size=SIZE) -> Camera:
    """A camera in a hall, 47 degrees wide."""
    ahead = np.array([np.sin(np.radians(yaw)), np.cos(np.radians(yaw)), 0])
    return Camera(size, size, 1.14 * size, 1.14 * size, size / 2, size / 2, look_at(centre, np.asarray(centre) + ahead))


def hall(view: Camera) -> np.ndarray:
    """True z-depth of a bent round hall, seen from inside."""
    rays = view.rays()
    distance = np.full(rays.shape[:2], 2.0)
    for _ in range(60):
        point = view.centre + distance[..., None] * rays
        angle = np.arctan2(point[..., 0], point[..., 1])
        wall = 2 + 0.3 * np.sin(3 * angle) + 0.2 * np.cos(2 * point[..., 2])
        distance *= 1 + 0.5 * (wall / np.linalg.norm(point[..., :2], axis=-1) - 1)
    return distance.astype(np.float32)


def warp(seed: int, size=SIZE, amount=0.08) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), size / 7, mode="reflect")
    return amount * (field - field.mean()) / field.std()


def grey(view: Camera) -> np.ndarray:
    return np.full((view.height, view.width, 3), 0.5, np.float32)


def seen_from(view: Camera, known: np.ndarray, depth: np.ndarray, span=1.0) -> Projection:
    """A projection that knows `depth` where `known`."""
    spans = np.where(known, np.float32(span), 0).astype(np.float32)
    mask = np.where(known, KNOWN if span <= 1.5 else COARSE, UNKNOWN).astype(np.uint8)
    return Projection(grey(view), np.where(known, depth, np.inf).astype(np.float32), mask, mask.astype(np.int32), spans)


def left_half() -> np.ndarray:
    known = np.zeros((SIZE, SIZE), bool)
    known[:, : SIZE // 2] = True
    return known


def values_of(kind: DepthKind, depth: np.ndarray) -> np.ndarray:
    if kind == DepthKind.DISPARITY:
        return (3 / depth + 0.2).astype(np.float32)
    return (depth * (1.02 if kind == DepthKind.METRIC else 0.37) - (0.1 if kind == DepthKind.AFFINE else 0)).astype(
        "f4"
    )


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


class TestRefine:
    def ring(self, count=8, seed=0):
        rng = np.random.default_rng(seed)
        cameras = [camera(360 * n / count) for n in range(count)]
        truth = [hall(view) for view in cameras]
        logs = [warp(seed + n) + (rng.uniform(-0.5, 0.5) if n else 0) for n in range(count)]
        return cameras, truth, [(t * np.exp(w)).astype(np.float32) for t, w in zip(truth, logs, strict=True)]

    def test_closes_the_loop_of_a_ring(self):
        cameras, truth, depths = self.ring(10)
        fields = refine([Posed(c, d) for c, d in zip(cameras, depths, strict=True)])
        refined = [d * np.exp(g) for d, g in zip(depths, fields, strict=True)]
        cloud = lift(cameras[-1], refined[-1], grey(cameras[-1]), view=0)
        seen = project(cloud, cameras[0])
        both = seen.mask != UNKNOWN
        assert both.mean() > 0.1
        assert np.median(np.abs(seen.depth / refined[0] - 1)[both]) < 0.01

    def test_is_nearer_to_the_truth_than_the_best_scale_of_each_view(self):
        cameras, truth, depths = self.ring(20)
        fields = refine([Posed(c, d) for c, d in zip(cameras, depths, strict=True)])
        ours = [np.median(np.abs(d * np.exp(g) / t - 1)) for d, g, t in zip(depths, fields, truth, strict=True)]
        best = [np.median(np.abs(d / t / np.median(d / t) - 1)) for d, t in zip(depths, truth, strict=True)]
        assert np.mean(ours) < np.mean(best)

    def test_a_believed_view_does_not_move(self):
        cameras, truth, depths = self.ring(10)
        views = [Posed(c, d) for c, d in zip(cameras, depths, strict=True)]
        views[3] = Posed(cameras[3], truth[3], 1e-4, 0.0, 1e-4)
        assert np.abs(refine(views)[3]).max() < 0.002

    def test_a_held_pixel_stays_while_its_view_bends_to_the_truth(self):
        ring = [camera(yaw) for yaw in range(-30, 31, 15)]
        bent = [Posed(view, hall(view) * np.exp(warp(seed)), 0.5) for seed, view in enumerate(ring)]
        true = hall(ring[2])
        held = Posed(ring[2], true * np.exp(warp(9) - warp(9)[48, 48]).astype(np.float32), 0.05, held=(48, 48))
        field = refine([*bent[:2], held, *bent[3:]])[2]
        assert abs(field[48, 48]) < 0.005
        before, after = (np.abs(held.depth * np.exp(g) / true - 1) for g in (0 * field, field))
        assert np.median(after) < 0.8 * np.median(before)

    def test_views_that_share_nothing_keep_their_depth(self):
        far = [camera(0), camera(180)]
        fields = refine([Posed(view, hall(view), 0.05) for view in far])
        assert np.abs(fields).max() < 1e-6

    def test_a_view_without_depth_is_left_alone(self):
        views = [camera(0), camera(20)]
        posed = [Posed(views[0], hall(views[0])), Posed(views[1], np.full((SIZE, SIZE), np.nan, np.float32))]
        assert np.abs(refine(posed)).max() < 1e-6


class TestMerge:
    def test_each_place_comes_in_once_and_the_seam_is_closed(self):
        cameras = [camera(yaw) for yaw in (0, 10, 20)]
        depths = [(hall(c) * np.exp(0.3 * warp(n))).astype(np.float32) for n, c in enumerate(cameras)]
        got = merge(cameras, depths, [grey(c) for c in cameras])
        again = project(got.cloud[got.cloud.view == 0], cameras[1])
        assert not (got.fresh[1] & (again.mask == KNOWN)).any()
        assert len(got.cloud) < 1.9 * SIZE * SIZE
        border = got.fresh[1][:, 1:] & ~got.fresh[1][:, :-1]
        jump = np.log(got.depths[1][:, 1:][border] / again.depth[:, :-1][border])
        assert np.percentile(np.abs(jump), 95) < 0.02

    def test_a_finer_view_replaces_coarse_points(self):
        far, near = camera(), camera(centre=(0, 1.0, 0))
        got = merge([far, near], [hall(far), hall(near)], [grey(far), grey(near)])
        assert (got.cloud.view == 0).sum() < SIZE * SIZE
        assert (project(got.cloud, near).mask != UNKNOWN).mean() > 0.99
        assert (project(got.cloud, far).mask != UNKNOWN).mean() > 0.99

    def test_gluing_to_nothing_changes_nothing(self):
        view = camera()
        nothing = seen_from(view, np.zeros((SIZE, SIZE), bool), hall(view))
        assert np.array_equal(glue(hall(view), nothing, view), hall(view))


class TestThin:
    def test_holds_the_cap_and_the_surface_stays_closed(self):
        view = camera(size=128)
        cloud = lift(view, hall(view), grey(view), view=0)
        thinned = thin(cloud, 4000)
        assert 1000 < len(thinned) <= 4000
        assert (project(thinned, view).mask != UNKNOWN).mean() > 0.97

    def test_leaves_a_small_cloud_alone(self):
        assert len(thin(Cloud.empty(), 10)) == 0


class TestDegenerateViews:
    """What the stage makes of views that hold next to nothing: a defined depth, never a NaN in the cloud."""

    KINDS = (DepthKind.METRIC, DepthKind.SCALE, DepthKind.AFFINE, DepthKind.DISPARITY)

    def view(self) -> Camera:
        """Two units above the focus, looking at it."""
        pose = look_at((0, -0.5, 2), (0, 0, 0))
        return Camera(64, 48, 70.0, 70.0, 32.0, 24.0, pose)

    def ground(self, view: Camera) -> np.ndarray:
        """True z-depth of bumpy ground below."""
        rays = view.rays()
        depth = -view.centre[2] / rays[..., 2]
        spot = view.centre + depth[..., None] * rays
        return (depth * (1 + 0.05 * np.sin(4 * spot[..., 0]) * np.cos(3 * spot[..., 1]))).astype(np.float32)

    def cloud(self, view: Camera, depth: np.ndarray) -> Cloud:
        return lift(view, depth, np.full((view.height, view.width, 3), 0.5, np.float32), view=0)

    def settled(self, values, kind, around: Cloud, *, pin: bool) -> np.ndarray:
        """The depth that a view gets, after its points were seen to be whole."""
        view = self.view()
        found = align_view(DepthMap(values.astype(np.float32), kind), project(around, view), view, pin=pin)
        points = lift(view, found.depth, grey(view), view=0, edges=found.edges, confidence=found.confidence)
        assert len(points) > 0.9 * found.depth.size
        for name in ("position", "rgb", "normal", "footprint", "confidence"):
            assert np.isfinite(getattr(points, name)).all(), name
        return found.depth

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_known_puts_the_surface_at_the_focus(self, kind):
        view = self.view()
        values = 3 / self.ground(view) if kind == DepthKind.DISPARITY else 0.4 * self.ground(view)
        depth = self.settled(values, kind, Cloud.empty(), pin=True)
        assert depth[24, 32] == pytest.approx(np.hypot(0.5, 2), rel=0.02)

    @pytest.mark.parametrize("kind", KINDS)
    def test_all_known_follows_what_is_known(self, kind):
        view, true = self.view(), self.ground(self.view())
        bent = true * np.exp(warp(3, 64, 0.05)[:48])
        values = 3 / bent if kind == DepthKind.DISPARITY else 0.97 * bent
        depth = self.settled(values, kind, self.cloud(view, true), pin=False)
        assert np.median(np.abs(depth / true - 1)) < 0.01

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("known", ["none", "half", "all"])
    def test_a_constant_depth(self, kind, known):
        view, true = self.view(), self.ground(self.view())
        around = self.cloud(view, true)[: {"none": 0, "half": true.size // 2, "all": true.size}[known]]
        depth = self.settled(np.full(true.shape, 0.7), kind, around, pin=known == "none")
        assert (np.abs(np.log(depth / np.median(true))) < 1).all()

    def test_no_finite_depth_is_an_error_with_a_remedy(self):
        view = self.view()
        for values in (np.full((48, 64), np.nan), np.full((48, 64), np.inf), np.zeros((48, 64))):
            with pytest.raises(DreamzoomError, match="no finite depth") as caught:
                align_view(DepthMap(values, DepthKind.SCALE), project(Cloud.empty(), view), view, pin=True)
            assert caught.value.remedy

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_visible_point_sets_the_scale(self, kind):
        view, true = self.view(), self.ground(self.view())
        around = self.cloud(view, 1.1 * true)[24 * 64 + 32 :][:1]
        values = 3 / true if kind == DepthKind.DISPARITY else 0.97 * true
        depth = self.settled(values, kind, around, pin=False)
        expected = 1.1 if kind != DepthKind.METRIC else 1.02  # a metric model is believed more than one point
        assert depth[24, 32] == pytest.approx(expected * true[24, 32], rel=0.06)

    def test_a_camera_inside_the_cloud(self):
        view, true = self.view(), self.ground(self.view())
        rng = np.random.default_rng(0)
        near = self.cloud(view, true)[rng.integers(0, true.size, 400)]
        inside = replace(near, position=(view.centre + rng.normal(0, 0.3, (400, 3))).astype(np.float32))
        depth = self.settled(0.5 * true, DepthKind.SCALE, Cloud.joined([inside, self.cloud(view, true)]), pin=False)
        assert np.isfinite(depth).all()

    def test_a_given_depth_with_one_pixel(self):
        view = self.view()
        given = np.full((48, 64), np.nan, np.float32)
        given[5, 5] = 7.0
        seen = with_given(given, project(Cloud.empty(), view), view)
        assert (seen.mask == KNOWN).sum() == 1
        assert seen.depth[5, 5] == pytest.approx(np.hypot(0.5, 2), rel=1e-5)

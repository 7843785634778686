"""The rasteriser: the same picture and the same gradients as the plain twin, in every corner of its inputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.camera import Camera, Similarity, look_at
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats import cpu, reference
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.gradient import gradients
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.splats.view_table import PIXEL_VARIANCE, camera_arrays, see

NEAR = 1e-2
BACKGROUND = (0.1, 0.2, 0.3)


def camera(width=40, height=24, centre=(0.2, -3.0, 0.5), focal=44.0):
    return Camera(width, height, focal, focal * 0.9, width / 2 + 1, height / 2 - 2, look_at(centre, (0, 0, 0)))


def scattered(count, seed, *, flat=True, degree=0, scales=(-4.0, -1.0)):
    rng = np.random.default_rng(seed)
    logs = rng.uniform(*scales, (count, 3))
    if flat:
        logs[:, 2] = logs[:, :2].min(1) + np.log(1e-3)
    means, turns = rng.uniform(-1, 1, (count, 3)), rng.normal(size=(count, 4))
    sh = rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.5
    arrays = (means, logs, turns / np.linalg.norm(turns, axis=1, keepdims=True), rng.normal(0, 2, count), sh)
    return Gaussians(*(array.astype(np.float32) for array in arrays))


def facing(depth, rgb, opacity=0.9, sigma=0.2):
    """One surfel before a camera at the origin that looks along +y."""
    turn = np.array([[np.sqrt(0.5), np.sqrt(0.5), 0, 0]], np.float32)
    logs = np.log(np.array([[sigma, sigma, sigma * 1e-3]], np.float32))
    sh = ((np.array(rgb, np.float32) - 0.5) / SH_C0).reshape(1, 1, 3)
    logit = np.array([np.log(opacity / (1 - opacity))], np.float32)
    return Gaussians(np.array([[0, depth, 0]], np.float32), logs, turn, logit, sh)


def stacked(*parts):
    arrays = ("means", "log_scales", "quaternions", "logit_opacities", "sh")
    return Gaussians(*(np.concatenate([getattr(part, name) for part in parts]) for name in arrays))


def ahead(size=33):
    return Camera(size, size, size, size, size / 2, size / 2, look_at((0, 0, 0), (0, 1, 0)))


def by_harmonics(means, sh, view, by_rgb_linear):
    """The gradients by means and sh of what only the colours (N, 3) depend on, by the twin's own harmonics."""
    away = torch.nn.functional.normalize(means - torch.tensor(view.centre), dim=-1)
    rgb = reference.decoded(reference.harmonics(sh, away))
    found = torch.autograd.grad(rgb, (means, sh), torch.tensor(by_rgb_linear, dtype=rgb.dtype), allow_unused=True)
    return [np.zeros(part.shape) if by is None else by.numpy() for part, by in zip((means, sh), found)]


def both_ways(splats, view, tau):
    """Pictures and gradients of a random loss: ours, the twin's (float64)."""
    names = ("means", "log_scales", "quaternions", "logit_opacities", "sh")
    leaves = [torch.tensor(getattr(splats, name), dtype=torch.float64, requires_grad=True) for name in names]
    twin = reference.rasterize(*leaves, view, background=BACKGROUND, tau=tau, near=NEAR)
    hits = see(splats, view, splats.opacities, tau, NEAR)
    rgb, alpha, _ = cpu.blend_hits(hits, np.array(BACKGROUND, np.float32))
    rng = np.random.default_rng(7)
    by_rgb, by_alpha = (rng.normal(size=part.shape).astype(np.float32) for part in (rgb, alpha))
    ((twin[0] * torch.tensor(by_rgb)).sum() + (twin[1] * torch.tensor(by_alpha)).sum()).backward()
    ours = gradients(splats, hits, camera_arrays(view), tau, NEAR, BACKGROUND, by_rgb, by_alpha)
    by_means, by_sh = by_harmonics(leaves[0], leaves[4], view, ours.rgb_linear)
    by_means += ours.means
    mine = dict(zip(names, (by_means, ours.log_scales, ours.quaternions, ours.logit_opacities, by_sh)))
    theirs = {name: leaf.grad.numpy() for name, leaf in zip(names, leaves)}
    return (rgb, alpha), tuple(part.detach().numpy() for part in twin[:2]), mine, theirs


class TestAgainstTheTwin:
    @pytest.mark.parametrize("flat", [True, False])
    @pytest.mark.parametrize("tau", [0.0, PIXEL_VARIANCE])
    @pytest.mark.parametrize("degree", [0, 3])
    def test_pictures_and_gradients_agree(self, flat, tau, degree):
        pictures, expected, mine, theirs = both_ways(scattered(60, 3, flat=flat, degree=degree), camera(), tau)
        for ours, twin in zip(pictures, expected):
            assert np.abs(ours - twin).max() < 2e-5
        for name in theirs:
            assert np.linalg.norm(mine[name] - theirs[name]) <= 1e-4 * np.linalg.norm(theirs[name]), name

    @pytest.mark.parametrize("flat", [True, False])
    def test_extreme_scales(self, flat):
        splats = scattered(80, 5, flat=flat, scales=(-9.0, 0.5))
        _, _, mine, theirs = both_ways(splats, camera(), PIXEL_VARIANCE)
        for name in theirs:
            assert np.linalg.norm(mine[name] - theirs[name]) <= 1e-4 * np.linalg.norm(theirs[name]), name

    def test_camera_among_the_splats(self):
        pictures, expected, mine, theirs = both_ways(scattered(80, 6), camera(centre=(0.1, -0.3, 0.1)), 0.0)
        assert np.abs(pictures[0] - expected[0]).max() < 1e-4
        for name in theirs:
            assert np.linalg.norm(mine[name] - theirs[name]) <= 5e-4 * np.linalg.norm(theirs[name]), name


class TestImageModel:
    def test_one_surfel_is_the_gaussian_of_its_plane_in_linear_light(self):
        got = rasterize(facing(2.0, (1, 1, 1), opacity=0.8), ahead(), antialias=False, linear=True)
        x = (np.arange(33) + 0.5 - 16.5) / 33 * 2.0 / 0.2
        squared = x[None, :] ** 2 + x[:, None] ** 2
        expected = np.where(squared < 6.25, 0.8 * np.exp(-0.5 * squared), 0)
        assert np.allclose(got.alpha, expected, atol=1e-5)
        assert np.allclose(got.rgb[..., 0], expected, atol=1e-5)
        assert got.depth[16, 16] == pytest.approx(2.0, rel=1e-6)

    def test_hits_are_ordered_by_their_own_depth_not_by_centre(self):
        slope = np.radians(60)
        tilted = facing(2.0, (1, 0, 0), opacity=0.999, sigma=0.6)
        turns = [[np.cos((np.pi / 2 + a) / 2), np.sin((np.pi / 2 + a) / 2), 0, 0] for a in (slope, -slope)]
        one = replace(tilted, quaternions=np.array(turns[:1], np.float32))
        other = replace(facing(2.0, (0, 1, 0), 0.999, 0.6), quaternions=np.array(turns[1:], np.float32))
        got = rasterize(stacked(one, other), ahead(), antialias=False)
        up, down = got.rgb[11, 16], got.rgb[21, 16]
        assert (up[0] > up[1]) != (down[0] > down[1])

    def test_background_shows_through_in_srgb(self):
        got = rasterize(facing(2.0, (0, 0, 0)), ahead(), background_rgb=(0.2, 0.4, 0.6))
        assert np.allclose(got.rgb[0, 0], (0.2, 0.4, 0.6), atol=1e-6)
        assert got.alpha[0, 0] == 0 and np.isinf(got.depth[0, 0])

    def test_opacity_scale_fades(self):
        whole, faded = (
            rasterize(facing(2.0, (1, 1, 1)), ahead(), opacity_scale=scale).alpha.max() for scale in (None, 0.25)
        )
        assert faded == pytest.approx(whole / 4, rel=1e-5)

    def test_antialiasing_keeps_what_small_splats_cover(self):
        rng = np.random.default_rng(4)
        tiny = stacked(*(facing(2.0, (1, 1, 1), opacity=0.3, sigma=0.008) for _ in range(60)))
        places = rng.uniform(-0.8, 0.8, (60, 2)).astype(np.float32)
        tiny = replace(tiny, means=np.insert(places, 1, 2.0, axis=1))
        fine = rasterize(tiny, ahead().resized(33 * 25, 33 * 25), antialias=False, linear=True).alpha.mean()
        plain, smooth = (rasterize(tiny, ahead(), antialias=on).alpha.mean() for on in (False, True))
        assert abs(smooth - fine) < 0.1 * fine
        assert abs(smooth - fine) < abs(plain - fine)

    def test_samples_average_in_linear_light(self):
        splats, view = scattered(50, 2), camera()
        fine = rasterize(splats, view.resized(80, 48), antialias=False, linear=True).rgb
        mean = fine.reshape(24, 2, 40, 2, 3).mean((1, 3))
        assert np.allclose(rasterize(splats, view, antialias=False, samples=2, linear=True).rgb, mean, atol=1e-6)

    def test_far_from_the_origin_nothing_trembles(self):
        splats, view = scattered(60, 9), camera()
        moved = Similarity(1.0, -np.array([4096.0, -8192.0, 2048.0]))
        far = replace(splats, means=moved.apply(splats.means).astype(np.float32))
        exact = replace(splats, means=moved.inverse().apply(far.means).astype(np.float32))
        apart = np.abs(rasterize(exact, view).rgb - rasterize(far, view.moved(moved)).rgb)
        assert apart.max() < 2e-3


class TestCorners:
    def test_nothing_gives_the_background(self):
        got = rasterize(scattered(4, 0)[:0], camera(), background_rgb=(0.5, 0.5, 0.5))
        assert np.allclose(got.rgb, 0.5, atol=1e-6) and not got.alpha.any()

    def test_behind_the_camera_is_not_seen(self):
        assert not rasterize(facing(-2.0, (1, 1, 1)), ahead()).alpha.any()

    def test_nearer_than_the_near_plane_is_not_seen(self):
        splat = facing(0.5, (1, 1, 1))
        assert rasterize(splat, ahead(), near=0.4).alpha.any()
        assert not rasterize(splat, ahead(), near=0.6).alpha.any()

    @pytest.mark.parametrize("part", ["means", "log_scales", "quaternions", "logit_opacities", "sh"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_broken_splat_is_left_out(self, part, value):
        splats = scattered(30, 8)
        broken = getattr(splats, part).copy()
        broken.reshape(len(splats), -1)[0, 0] = value
        splats = replace(splats, **{part: broken})
        got = rasterize(splats, camera())
        assert np.isfinite(got.rgb).all() and np.isfinite(got.alpha).all()
        if not (part == "logit_opacities" and value == np.inf) and not (part == "log_scales" and value == -np.inf):
            assert np.array_equal(got.rgb, rasterize(splats[1:], camera()).rgb)

    def test_a_deep_stack_of_hits(self):
        layers = stacked(*(facing(1 + 0.01 * i, (i % 2, 0.5, 1), opacity=0.05) for i in reversed(range(400))))
        shuffled = layers[np.random.default_rng(0).permutation(400)]
        assert np.allclose(rasterize(layers, ahead()).rgb, rasterize(shuffled, ahead()).rgb, atol=1e-5)

    def test_unknown_backend_is_refused(self):
        with pytest.raises(ValueError, match="backend"):
            rasterize(scattered(1, 0), camera(), backend="magic")


class TestProperties:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10**6), flat=st.booleans(), width=st.integers(1, 50), height=st.integers(1, 40))
    def test_any_scene_gives_finite_colours_between_darkest_and_brightest(self, seed, flat, width, height):
        splats = scattered(25, seed, flat=flat, scales=(-8.0, 1.0))
        got = rasterize(splats, camera(width, height))
        assert got.rgb.shape == (height, width, 3)
        assert np.isfinite(got.rgb).all() and (got.alpha >= 0).all() and (got.alpha <= 1).all()
        assert got.rgb.max() <= max(splats.rgb.max(), 0) + 1e-4

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 10**6))
    def test_the_order_of_the_rows_does_not_matter(self, seed):
        splats = scattered(40, seed)
        mixed = splats[np.random.default_rng(seed).permutation(40)]
        assert np.allclose(rasterize(splats, camera()).rgb, rasterize(mixed, camera()).rgb, atol=1e-5)

    def test_a_second_run_gives_the_same_bits(self):
        splats = scattered(3000, 1)
        first, second = rasterize(splats, camera(200, 150)), rasterize(splats, camera(200, 150))
        assert np.array_equal(first.rgb, second.rgb) and np.array_equal(first.depth, second.depth)


class TestBackends:
    def test_the_plain_twin_shows_the_same(self):
        splats = scattered(40, 11)
        ours, twin = (rasterize(splats, camera(), backend=name) for name in ("cpu", "torch"))
        assert np.abs(ours.rgb - twin.rgb).max() < 1e-4
        assert np.abs(ours.alpha - twin.alpha).max() < 1e-4

    def test_without_a_gpu_one_line_says_why_and_the_cpu_runs(self):
        reason = probe.obstacle()
        if not reason:
            ours, theirs = (rasterize(scattered(40, 11), camera(), backend=name).rgb for name in ("cpu", "gpu"))
            assert np.abs(ours - theirs).max() < 1e-4
            return
        assert "\n" not in reason and "install" in reason or "needed" in reason
        with pytest.raises(ValueError, match="gpu"):
            rasterize(scattered(4, 0), camera(), backend="gpu")
        assert rasterize(scattered(40, 11), camera(), backend="auto").alpha.any()

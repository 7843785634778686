"""The fit: better pictures, only from what is known, the same each time, never more splats than allowed."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import Camera, look_at
from core.errors import Cancelled
from dreamzoom.geometry.unproject import lift
from dreamzoom.progress import Report
from dreamzoom.render.evaluate import psnr
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.fitting import loss
from dreamzoom.splats.fitting.adam import Surfels
from dreamzoom.splats.fitting.fit import fit
from dreamzoom.splats.fitting.initial import initial
from dreamzoom.splats.fitting.relocate import relocate
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.rasterize import rasterize

pytestmark = pytest.mark.slow


def view(size=64, centre=(0.1, -1.4, 1.8)):
    return Camera(size, size, 1.2 * size, 1.2 * size, size / 2, size / 2, look_at(centre, (0, 0, 0)))


def truth(camera):
    """A painted plane z = 0 with its depth: (H, W, 3) and (H, W)."""
    rays = camera.rays()
    depth = np.minimum(-camera.centre[2] / np.minimum(rays[..., 2], -1e-3), 12.0)
    x, y, _ = np.moveaxis(camera.unproject(depth), -1, 0)
    waves = [np.sin(5 * x + np.sin(4 * y)), np.cos(6 * y + x), np.sin(3 * x * y)]
    return (0.5 + 0.3 * np.stack(waves, -1)).astype(np.float32), depth.astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    camera = view()
    rgb, depth = truth(camera)
    side = view(centre=(0.5, -1.3, 1.9))
    splats = initial(lift(camera, depth, rgb, view=0), [camera])
    seen = rasterize(splats, side).alpha > 0.8
    return splats, [Target(camera, rgb, np.ones((64, 64), bool)), Target(side, truth(side)[0], seen)]


def fitted(splats, targets, **options):
    settings = {"background": None, "iterations": 24, "cap": 10**6, "seed": 0, "report": Report()} | options
    return fit(splats, targets, **settings)


class TestInitial:
    def test_the_untouched_start_already_looks_right(self, scene):
        splats, targets = scene
        assert psnr(rasterize(splats, targets[0].camera).rgb, targets[0].rgb) > 30

    def test_splats_are_flat_and_lie_in_the_surface(self, scene):
        splats, _ = scene
        assert np.allclose(splats.log_scales[:, 2] - splats.log_scales[:, :2].min(1), np.log(1e-3), atol=1e-4)
        w, x, y, z = splats.quaternions.T
        assert np.median(np.abs(1 - 2 * (x * x + y * y))) > 0.99

    def test_without_cameras_the_neighbours_decide(self):
        camera = view()
        rgb, depth = truth(camera)
        splats = initial(lift(camera, depth, rgb, view=0))
        assert psnr(rasterize(splats, camera).rgb, rgb) > 26

    def test_no_points(self):
        camera = view(8)
        cloud = lift(camera, np.full((8, 8), np.nan, np.float32), np.zeros((8, 8, 3), np.float32), view=0)
        assert len(initial(cloud, [camera])) == 0


class TestFit:
    def test_the_fit_brings_the_pictures_nearer(self, scene):
        splats, targets = scene
        after = fitted(splats, targets)
        for target in targets:
            before, now = (
                psnr(rasterize(each, target.camera).rgb, target.rgb, target.mask) for each in (splats, after)
            )
            assert now > before + 3

    def test_colours_alone_already_help(self, scene):
        splats, targets = scene
        after = fitted(splats, targets, iterations=0)
        assert np.array_equal(after.means, splats.means)
        before = psnr(rasterize(splats, targets[0].camera).rgb, targets[0].rgb)
        assert psnr(rasterize(after, targets[0].camera).rgb, targets[0].rgb) > before + 1

    def test_the_same_seed_gives_the_same_bits_and_another_does_not(self, scene):
        splats, targets = scene
        first, again, other = (fitted(splats, targets, iterations=6, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first.means, again.means) and np.array_equal(first.sh, again.sh)
        assert not np.array_equal(first.sh, other.sh)

    def test_unknown_pixels_never_supervise(self, scene):
        splats, targets = scene
        mask = np.ones((64, 64), bool)
        mask[:, 30:] = False
        results = []
        for filler in (0.0, 1.0, np.nan):
            rgb = targets[0].rgb.copy()
            rgb[~mask] = filler
            results.append(fitted(splats, [Target(targets[0].camera, rgb, mask)], iterations=5).sh)
        assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])

    def test_a_view_without_colours_closes_what_shines_through(self, scene):
        splats, targets = scene
        torn = splats[(np.arange(len(splats)) // 3) % 4 != 0]
        known = np.ones((64, 64), bool)
        known[:, 32:] = False
        half = replace(targets[0], mask=known)
        cover = Target(half.camera, np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), bool), ~known)
        thin = [
            (rasterize(fitted(torn, given), half.camera).alpha[:, 34:] < 0.9).mean()
            for given in ([half], [half, cover])
        ]
        assert thin[0] > 0.05 and thin[1] < 0.5 * thin[0]

    def test_black_holes_in_a_picture_darken_the_splats_only_without_the_mask(self, scene):
        splats, targets = scene
        hole = np.zeros((64, 64), bool)
        hole[20:44, 20:44] = True
        rgb = np.where(hole[..., None], 0, targets[0].rgb).astype(np.float32)
        share = {}
        for name, mask in (("masked", ~hole), ("unmasked", np.ones_like(hole))):
            after = fitted(splats, [Target(targets[0].camera, rgb, mask)])
            shown = rasterize(after, targets[0].camera).rgb
            share[name] = (shown.mean(-1) < targets[0].rgb.mean(-1) - 0.2).mean()
        assert share["masked"] <= 0.001 < 0.05 < share["unmasked"]

    def test_the_frozen_background_is_seen_but_not_changed(self, scene):
        splats, targets = scene
        half = np.arange(len(splats)) % 2 == 0
        parents, own = fitted(splats, targets, iterations=0)[half], splats[~half]
        copy = parents.means.copy(), parents.sh.copy()
        after = fitted(own, targets, background=parents, iterations=8)
        assert len(after) == len(own)
        assert np.array_equal(parents.means, copy[0]) and np.array_equal(parents.sh, copy[1])

    @pytest.mark.parametrize("cap", [1, 500, 2000])
    def test_the_count_never_passes_the_cap(self, scene, cap):
        splats, targets = scene
        assert 0 < len(fitted(splats, targets, iterations=4, cap=cap)) <= cap

    def test_half_the_splats_still_close_the_surface(self, scene):
        splats, targets = scene
        after = fitted(splats, targets, iterations=20, cap=len(splats) // 2)
        seen = rasterize(after, targets[0].camera)
        assert psnr(seen.rgb, targets[0].rgb) > 28 and np.quantile(seen.alpha, 0.02) > 0.5

    @pytest.mark.parametrize("sees", [True, False])
    def test_a_gpu_that_can_not_be_used_is_explained_in_one_line_and_none_needs_no_word(self, scene, monkeypatch, sees):
        monkeypatch.setattr(probe, "sees_a_gpu", lambda: sees)

        class Kept(Report):
            lines: list[str] = []

            def log(self, message, *, level="info"):
                self.lines.append(message)

        splats, targets = scene
        assert len(fitted(splats, targets, iterations=1, report=Kept())) == len(splats)
        if not sees:
            assert not Kept.lines
        elif probe.obstacle():
            assert len(Kept.lines) == 1 and "\n" not in Kept.lines[0]
            assert "on the CPU" in Kept.lines[0] and ("install" in Kept.lines[0] or "needed" in Kept.lines[0])

    def test_the_cpu_can_be_asked_for_and_a_gpu_that_is_not_there_is_refused(self, scene):
        splats, targets = scene
        asked = fitted(splats, targets, iterations=2, backend="cpu")
        assert len(asked) == len(splats)
        with pytest.raises(ValueError, match="must be auto, cpu or gpu"):
            fitted(splats, targets, backend="torch")
        if probe.obstacle():
            assert np.array_equal(fitted(splats, targets, iterations=2).means, asked.means)
            with pytest.raises(ValueError, match="gpu can't be used: an NVIDIA GPU"):
                fitted(splats, targets, backend="gpu")

    def test_single_views_do_not_lift_surfels_off_their_planes(self, scene):
        splats, targets = scene
        after = fitted(splats, targets[:1], iterations=40)
        pixel = np.exp(np.median(splats.log_scales[:, 0]))
        assert np.median(np.abs(after.means[:, 2])) < 0.3 * pixel

    def test_nothing_to_fit(self, scene):
        splats, targets = scene
        assert len(fitted(splats[:0], targets)) == 0
        assert fitted(splats, []) is splats
        assert len(fitted(splats[:1], targets, iterations=3)) == 1

    def test_broken_splats_and_pixels_do_no_harm(self, scene):
        splats, targets = scene
        means, rgb = splats.means.copy(), targets[0].rgb.copy()
        means[::50] = np.nan
        rgb[5, 5] = np.nan
        after = fitted(replace(splats, means=means), [Target(targets[0].camera, rgb, targets[0].mask)], iterations=5)
        assert all(np.isfinite(array).all() for array in (after.means, after.log_scales, after.sh, after.quaternions))
        assert len(after) == len(splats) - len(means[::50])

    def test_a_cancel_stops_it(self, scene):
        class Impatient(Report):
            def progress(self, fraction, message=""):
                raise Cancelled

        with pytest.raises(Cancelled):
            fitted(*scene, report=Impatient())


class TestLoss:
    def test_gradient_against_finite_differences(self):
        rng = np.random.default_rng(0)
        linear = rng.uniform(0.05, 0.9, (20, 17, 3)).astype(np.float32)
        mask = rng.random((20, 17)) < 0.7
        goal = loss.prepared(rng.uniform(0, 1, (20, 17, 3)).astype(np.float32), mask)
        _, gradient = loss.loss(linear, goal)
        way = np.sign(gradient)
        step = 5e-4
        slope = (loss.loss(linear + step * way, goal)[0] - loss.loss(linear - step * way, goal)[0]) / (2 * step)
        assert slope == pytest.approx(float((gradient * way).sum()), rel=2e-2)
        assert not gradient[~mask].any()

    def test_the_same_picture_costs_nothing(self):
        from core.colour import srgb_to_linear

        rgb = np.random.default_rng(1).uniform(0, 1, (24, 24, 3)).astype(np.float32)
        value, gradient = loss.loss(srgb_to_linear(rgb), loss.prepared(rgb, np.ones((24, 24), bool)))
        assert value < 1e-5 and np.isfinite(gradient).all()


class TestRelocation:
    def test_the_dead_move_and_the_count_grows_to_the_cap_only(self, scene):
        splats, _ = scene
        surfels = Surfels(splats)
        surfels.logit_opacities[::4] = -8
        before = len(surfels)
        dead = surfels.means[::4].copy()
        floor = surfels.log_scales.min(1) - 1
        floor = relocate(surfels, floor, before + 20, np.random.default_rng(0))
        assert len(surfels) == before + 20 == len(floor) == len(surfels.extra["view"])
        opacity = 1 / (1 + np.exp(-surfels.logit_opacities))
        assert (opacity > 0.009).all()
        assert (np.abs(surfels.means[:before:4] - dead).max(1) > 0).all()

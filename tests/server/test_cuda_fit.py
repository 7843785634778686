"""The fit's parts for CUDA against the CPU's, in numba's simulator: the same loss, steps, relocation and colours."""

import cuda_simulator  # first: it chooses the simulator
import numpy as np
import pytest
import torch

from core.camera import Camera, look_at
from dreamzoom.geometry.unproject import lift
from dreamzoom.progress import Report
from dreamzoom.splats.cuda import fit, image_operations, loss, surfels
from dreamzoom.splats.fitting import loss as cpu_loss
from dreamzoom.splats.fitting import relocate as cpu_relocate
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.fitting.cpu_fit import CpuFit
from dreamzoom.splats.fitting.initial import initial
from dreamzoom.splats.fitting.target import Target

pytestmark = pytest.mark.slow

NAMES = ("means", "log_scales", "quaternions", "logit_opacities", "sh")


def view(size=8, centre=(0.1, -1.4, 1.8)):
    return Camera(size, size, 1.2 * size, 1.2 * size, size / 2, size / 2, look_at(centre, (0, 0, 0)))


def truth(camera):
    """A painted plane z = 0 with its depth: (H, W, 3) and (H, W)."""
    rays = camera.rays()
    depth = np.minimum(-camera.centre[2] / np.minimum(rays[..., 2], -1e-3), 12.0)
    x, y, _ = np.moveaxis(camera.unproject(depth), -1, 0)
    return (0.5 + 0.3 * np.stack([np.sin(5 * x), np.cos(6 * y), np.sin(3 * x * y)], -1)).astype(
        np.float32
    ), depth.astype(np.float32)


@pytest.fixture(scope="module")
def both():
    """A fit of few splats on either side, with a frozen background and a view that only has to be closed."""
    camera, side = view(), view(centre=(0.5, -1.3, 1.9))
    rgb, depth = truth(camera)
    splats = initial(lift(camera, depth, rgb, view=0), [camera])
    known = np.ones((8, 8), bool)
    known[:, :2] = False
    targets = [Target(camera, rgb, known), Target(side, truth(side)[0], np.ones((8, 8), bool))]
    covers = [Target(side, np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), bool), known)]
    own, frozen = splats[np.arange(len(splats)) % 3 == 0], splats[np.arange(len(splats)) % 3 == 1]
    return CpuFit(own, targets, covers, frozen), fit.CardFit(
        cuda_simulator.SimulatedCard(), own, targets, covers, frozen
    )


def near(ours, cpus, tolerance):
    for name in NAMES:
        one, other = getattr(ours, name), getattr(cpus, name)
        assert one.shape == other.shape and one.dtype == other.dtype, name
        assert np.abs(one - other).max() <= tolerance, name


class TestLoss:
    def test_value_and_gradient_are_the_cpus(self):
        rng = np.random.default_rng(0)
        card = cuda_simulator.SimulatedCard()
        linear = rng.uniform(0.0, 0.9, (9, 17, 3)).astype(np.float32)
        goal = cpu_loss.prepared(rng.uniform(0, 1, (9, 17, 3)).astype(np.float32), rng.random((9, 17)) < 0.7)
        want, slope = cpu_loss.loss(linear, goal)
        value, got = loss.loss(card, torch.tensor(linear), loss.prepared(card, goal))
        assert float(value) == pytest.approx(want, rel=1e-5)
        assert np.abs(got.numpy() - slope).max() <= 1e-4 * np.abs(slope).max()

    def test_the_curve_and_the_grids_are_the_cpus(self):
        from core.colour import linear_to_srgb, srgb_to_linear
        from dreamzoom.splats.supersampling import averaged, repeated

        rgb = np.random.default_rng(1).uniform(0, 1, (6, 4, 3)).astype(np.float32)
        for ours, cpus in (
            (image_operations.srgb_to_linear, srgb_to_linear),
            (image_operations.linear_to_srgb, linear_to_srgb),
        ):
            assert np.allclose(ours(torch.tensor(rgb)).numpy(), cpus(rgb), atol=1e-6)
        for ours, cpus in ((image_operations.averaged, averaged), (image_operations.repeated, repeated)):
            assert np.allclose(ours(torch.tensor(rgb), 2).numpy(), cpus(rgb, 2), atol=1e-7)


class TestFit:
    def test_colours_steps_relocation_and_last_colours_follow_the_cpu(self, both):
        for place in both:
            place.solve(2, Report())
        near(both[1].gaussians(), both[0].gaussians(), 1e-5)
        losses = []
        for place in both:
            place.start()
            losses.append([place.descend(place.views[0], Rates()), place.descend(place.covers[0], Rates())])
            losses[-1].append(place.descend(place.views[1], Rates(), 2))
        assert [float(loss) for loss in losses[1]] == pytest.approx(losses[0], rel=1e-4)
        near(both[1].gaussians(), both[0].gaussians(), 2e-3)
        dead = np.arange(0, 20, 3)
        both[0]._surfels.logit_opacities[dead] = -8
        both[1]._surfels.values["logit_opacities"][dead] = -8
        count = len(both[0].gaussians())
        for place in both:
            place.relocate(count + 1, np.random.default_rng(5))
        near(both[1].gaussians(), both[0].gaussians(), 3e-3)
        assert len(both[1].gaussians()) == count + 1
        assert np.array_equal(both[1].gaussians().extra["view"], both[0].gaussians().extra["view"])
        for place in both:
            place.descend(place.views[0], Rates())
            place.solve(1, Report(), 2)
        near(both[1].gaussians(), both[0].gaussians(), 1e-2)


class TestRelocation:
    def test_the_opacity_and_size_of_copies_are_the_cpus(self):
        opacity, copies = np.linspace(0.02, 0.999, 33), np.arange(33) % 31 + 2
        ours = surfels.shrunk(torch.tensor(opacity), torch.tensor(copies))
        for one, other in zip(ours, cpu_relocate._shrink(opacity, copies.astype(np.float64))):
            assert np.allclose(one.numpy(), other, rtol=1e-5)

    def test_rows_are_drawn_as_often_as_they_are_likely(self):
        chance = np.array([0.0, 3.0, 1.0, 4.0])
        rows = surfels.drawn(torch.tensor(chance), 4000, np.random.default_rng(0)).numpy()
        want = np.random.default_rng(0).choice(4, 4000, p=chance / chance.sum())
        assert np.array_equal(rows, want)

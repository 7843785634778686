"""The kernels for CUDA against the CPU's rasteriser, in numba's simulator: the same pictures and gradients."""

import cuda_simulator  # first: it chooses the simulator
import numpy as np
import pytest
import torch

from core.camera import Camera, look_at
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats import cpu_rasterizer
from dreamzoom.splats.backward import gradients
from dreamzoom.splats.cuda import raster
from dreamzoom.splats.cuda.layout import KEPT, NEAREST
from dreamzoom.splats.view_table import PIXEL_VARIANCE, camera_arrays, see

pytestmark = pytest.mark.slow

NEAR = 1e-2
BACKGROUND = np.array([0.1, 0.2, 0.3], np.float32)
WIDTH, HEIGHT = 19, 13


def camera(centre=(0.2, -3.0, 0.5), width=WIDTH, height=HEIGHT):
    """Two tiles in its full size, one where it is at most 16 pixels wide."""
    return Camera(width, height, width, 0.9 * width, width / 2 + 1, height / 2 - 1, look_at(centre, (0, 0, 0)))


def scattered(count, seed, *, general=0.3, degree=0, scales=(-3.5, -1.0), opacity=0.0):
    """Splats about the origin, some of them not flat."""
    rng = np.random.default_rng(seed)
    logs = rng.uniform(*scales, (count, 3))
    flat = rng.random(count) >= general
    logs[flat, 2] = logs[flat, :2].min(1) + np.log(1e-3)
    means, turns = rng.uniform(-1, 1, (count, 3)), rng.normal(size=(count, 4))
    sh = rng.normal(size=(count, (degree + 1) ** 2, 3)) * 0.5
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    arrays = (means, logs, turns, rng.normal(opacity, 2, count), sh)
    return Gaussians(*(array.astype(np.float32) for array in arrays))


def layers(count):
    """Faint walls across the whole picture, one behind the other, two at each depth: every pixel hits all of them."""
    depth = 1 + 0.1 * (np.arange(count) // 2)
    means = np.stack([np.zeros(count), depth, np.zeros(count)], 1)
    logs = np.log(np.repeat(np.array([[900.0, 900.0, 0.9]]), count, 0))
    turns = np.repeat(np.array([[np.sqrt(0.5), np.sqrt(0.5), 0, 0]]), count, 0)
    rgb = np.random.default_rng(2).uniform(0, 1, (count, 1, 3))
    arrays = (means, logs, turns, np.full(count, np.log(0.05 / 0.95)), (rgb - 0.5) / SH_C0)
    return Gaussians(*(array.astype(np.float32) for array in arrays))


AHEAD = Camera(9, 5, 10.0, 10.0, 4.5, 2.5, look_at((0, 0, 0), (0, 1, 0)))


def both(splats, view, tau=PIXEL_VARIANCE, frozen=0):
    """What the CPU and the kernels see, with the gradients of a random loss: pairs by name."""
    card = cuda_simulator.SimulatedCard()
    hits = see(splats, view, splats.opacities, tau, NEAR)
    expected = cpu_rasterizer.blend_hits(hits, BACKGROUND)
    rng = np.random.default_rng(7)
    by_rgb, by_alpha = (rng.normal(size=part.shape).astype(np.float32) for part in expected[:2])
    by_rgb[:2], by_alpha[:2] = 0, 0
    own = len(splats) - frozen
    wanted = gradients(splats, hits, camera_arrays(view), tau, NEAR, BACKGROUND, by_rgb, by_alpha, own)
    lens = raster.Lens(card, view, tau, NEAR)
    opacities = torch.tensor(splats.opacities)
    parts = [raster.shaded(card, splats[:own], lens.arrays[1], opacities[:own])]
    if frozen:
        parts.append(raster.shaded(card, splats[own:], lens.arrays[1], opacities[own:]))
    seen = raster.see(lens, parts, torch.tensor(BACKGROUND))
    got, visible = seen.gradients(parts[0], torch.tensor(by_rgb), torch.tensor(by_alpha))
    names = ("rgb", "alpha", "depth")
    pictures = {
        name: (part.numpy(), want) for name, part, want in zip(names, (seen.rgb, seen.alpha, seen.depth), expected)
    }
    slopes = {name: (part.numpy(), getattr(wanted, name)) for name, part in got.items()}
    return card, seen, hits, pictures, slopes, visible


def agree(pictures, slopes):
    for name, (ours, cpus) in pictures.items():
        finite = np.isfinite(cpus)
        assert np.array_equal(np.isfinite(ours), finite), name
        assert np.abs(ours[finite] - cpus[finite]).max(initial=0) <= 1e-4, name
    for name, (ours, cpus) in slopes.items():
        assert np.abs(ours - cpus).max(initial=0) <= 1e-3 * max(np.abs(cpus).max(initial=0), 1e-6), name


class TestAgainstTheCpu:
    def test_splats_of_every_kind_before_a_background(self):
        _, seen, _, pictures, slopes, visible = both(scattered(40, 3), camera())
        agree(pictures, slopes)
        assert 0 < pictures["alpha"][0].min() + 1e-3 < pictures["alpha"][0].max()
        assert np.array_equal(visible.numpy(), (seen.box[:, 1] > seen.box[:, 0]).numpy())

    def test_without_the_pixel_filter_and_from_among_the_splats(self):
        _, _, _, pictures, slopes, _ = both(scattered(24, 6), camera((0.1, -0.3, 0.1)), tau=0.0)
        agree(pictures, slopes)

    def test_frozen_splats_are_seen_and_get_no_gradients(self):
        _, _, _, pictures, slopes, _ = both(scattered(30, 9), camera(), frozen=12)
        agree(pictures, slopes)
        assert len(slopes["means"][0]) == 18

    def test_harmonics_of_every_degree(self):
        card = cuda_simulator.SimulatedCard()
        for degree in (1, 2, 3):
            splats = scattered(12, degree, degree=degree)
            got = raster.rasterize(card, splats, AHEAD, splats.opacities, BACKGROUND, 0.0, NEAR)
            want = cpu_rasterizer.blend_hits(see(splats, AHEAD, splats.opacities, 0.0, NEAR), BACKGROUND)
            assert np.abs(got[0] - want[0]).max() <= 1e-4

    def test_splats_across_the_whole_picture_and_more_hits_than_are_kept(self):
        count = NEAREST + KEPT + 9
        card, seen, hits, pictures, slopes, _ = both(layers(count), AHEAD)
        agree(pictures, slopes)
        assert card.launched["overflow"] == 1
        assert (seen.used == count).all() and hits.count == count * seen.used.numel()
        width, pixels = len(seen.lists) // seen.used.numel(), seen.used.numel()
        rest = seen.lists[KEPT * pixels :].reshape(pixels, width - KEPT)
        whole = np.concatenate([seen.lists[: KEPT * pixels].reshape(KEPT, pixels).T, rest], 1)
        assert np.array_equal(whole, np.tile(np.arange(count), (pixels, 1)))

    def test_an_opaque_wall_hides_what_is_behind(self):
        wall = layers(40)
        wall.logit_opacities[3] = 30
        _, seen, _, pictures, slopes, _ = both(wall, AHEAD)
        agree(pictures, slopes)
        assert not slopes["rgb_linear"][0][4:].any()
        assert (seen.used == 4).all()

    @pytest.mark.parametrize("count", [0, 1])
    def test_no_splat_and_a_broken_one(self, count):
        splats = scattered(1, 0)[:count]
        if count:
            splats.means[0, 1] = np.nan
        _, _, _, pictures, slopes, visible = both(splats, camera())
        agree(pictures, slopes)
        assert np.allclose(pictures["rgb"][0], BACKGROUND) and np.isinf(pictures["depth"][0]).all()
        assert not visible.any()


class TestRepetition:
    def test_the_order_of_a_tiles_splats_changes_no_bit(self, monkeypatch):
        """The GPU fills the tiles in any order."""
        splats, view = scattered(30, 4, scales=(-2.0, -0.5)), camera(width=12, height=9)
        plain = both(splats, view)
        binned = raster._binned

        def shuffled(lens, box):
            start, tile_splats, columns = binned(lens, box)
            for begin, end in zip(start[:-1].tolist(), start[1:].tolist()):
                tile_splats[begin:end] = tile_splats[begin:end].flip(0)
            return start, tile_splats, columns

        monkeypatch.setattr(raster, "_binned", shuffled)
        again = both(splats, view)
        for first, second in zip((*plain[3].values(), *plain[4].values()), (*again[3].values(), *again[4].values())):
            assert np.array_equal(first[0], second[0])

    def test_large_splats_are_summed_in_pieces(self, monkeypatch):
        monkeypatch.setattr(raster, "PIECE", 20)
        card, _, _, pictures, slopes, _ = both(layers(5), AHEAD)
        agree(pictures, slopes)
        assert card.launched["add_pieces"] == 1


class TestColours:
    def test_the_transposed_blend_is_the_cpus(self):
        splats, view = scattered(30, 8), camera()
        _, seen, hits, _, _, _ = both(splats, view)
        rng = np.random.default_rng(1)
        residual = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
        weight = rng.random((HEIGHT, WIDTH)).astype(np.float32)
        sums = seen.spread(len(splats), torch.tensor(residual), torch.tensor(weight)).numpy()
        want = np.concatenate(
            [
                part.reshape(len(splats), -1)
                for part in cpu_rasterizer.spread_colour(hits, residual, weight, len(splats))
            ],
            1,
        )
        assert np.abs(sums - want).max() <= 1e-4 * np.abs(want).max()

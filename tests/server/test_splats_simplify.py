"""Fewer splats, for a budget or a far level: never more than asked, and looking alike."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.camera import Camera, look_at
from core.errors import Cancelled
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.progress import Report, reporting_to
from dreamzoom.render.evaluate import psnr
from dreamzoom.splats import threads
from dreamzoom.splats.fitting import simplify
from dreamzoom.splats.fitting.simplify import simplified
from dreamzoom.splats.rasterize import rasterize


def ahead(size=40):
    return Camera(size, size, size, size, size / 2, size / 2, look_at((0, 0, 0), (0, 1, 0)))


def wall(count=30, depth=2.0, opacity=0.95):
    """A closed wall of count² surfels across the view of `ahead`, coloured by place."""
    side = np.linspace(-0.9, 0.9, count)
    x, z = (part.ravel() for part in np.meshgrid(side, side))
    means = np.stack([x, np.full_like(x, depth), z], 1)
    sigma = np.log(0.6 * (side[1] - side[0]))
    rgb = np.stack([0.5 + 0.4 * x, 0.5 + 0.4 * z, np.full_like(x, 0.5)], 1)
    return Gaussians(
        means.astype(np.float32),
        np.tile(np.array([sigma, sigma, sigma + np.log(1e-3)], np.float32), (len(x), 1)),
        np.tile(np.array([np.sqrt(0.5), np.sqrt(0.5), 0, 0], np.float32), (len(x), 1)),
        np.full(len(x), np.log(opacity / (1 - opacity)), np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :],
        {"view": np.arange(len(x))},
    )


def edged(count=40):
    """The wall, dark on the left and bright on the right of a slanted line."""
    splats = wall(count)
    bright = splats.means[:, 0] + 0.4 * splats.means[:, 2] > 0.1
    rgb = np.where(bright[:, None], [0.9, 0.8, 0.7], [0.1, 0.2, 0.1])
    return replace(splats, sh=((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :])


class After(Report):
    """Cancels at the check after so many."""

    def __init__(self, left):
        self.left = left

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled


class TestCancel:
    def test_many_splats_are_simplified_in_parts_between_which_a_cancellation_is_heard(self, monkeypatch):
        splats, heard = wall(60), After(10_000)
        whole = simplified(splats, 500)
        monkeypatch.setattr(threads, "ROWS", 1000)
        with reporting_to(heard):
            parts = simplified(splats, 500)
        checks = 10_000 - heard.left
        assert checks > 60
        assert all((a == b).all() for a, b in zip(whole.parts, parts.parts, strict=True))
        for left in range(0, checks, 7):
            with pytest.raises(Cancelled), reporting_to(After(left)):
                simplified(splats, 500)

    def test_it_is_heard_while_a_kernel_runs(self, monkeypatch):
        monkeypatch.setattr(threads, "count", lambda: 2)
        began = []

        def kernel(number):
            began.append(number)
            time.sleep(1)

        with pytest.raises(Cancelled), reporting_to(After(3)):
            threads.run_all(kernel, [(number,) for number in range(16)])
        assert len(began) < 8


class TestSimplified:
    @pytest.mark.parametrize("share", [0.5, 0.25])
    def test_fewer_splats_look_alike_without_holes(self, share):
        splats = wall(40)
        fewer = simplified(splats, int(len(splats) * share))
        before, after = rasterize(splats, ahead()), rasterize(fewer, ahead())
        inside = (slice(10, 30), slice(10, 30))
        assert np.abs(before.rgb - after.rgb)[inside].mean() < 0.02
        assert after.alpha[inside].min() > 0.7

    def test_an_edge_stays_sharp(self):
        splats = edged()
        wanted = rasterize(splats, ahead()).rgb[8:32, 8:32]
        assert psnr(rasterize(simplified(splats, 400), ahead()).rgb[8:32, 8:32], wanted) > 30

    @settings(max_examples=25, deadline=None)
    @given(count=st.integers(0, 950), seed=st.integers(0, 1000))
    def test_never_more_than_asked_wherever_they_lie(self, count, seed):
        rng = np.random.default_rng(seed)
        splats = wall()
        splats = replace(splats, means=splats.means + rng.normal(0, 0.02, splats.means.shape).astype(np.float32))
        fewer = simplified(splats, count)
        assert len(fewer) == min(count, len(splats))
        assert all(np.isfinite(part).all() for part in (fewer.means, fewer.log_scales, fewer.quaternions, fewer.sh))

    @pytest.mark.parametrize("count", [0, 1, 2, 37, 400, 899, 900, 5000])
    def test_never_more_than_asked(self, count):
        fewer = simplified(wall(), count)
        assert len(fewer) == min(count, 900)
        assert len(fewer.extra["view"]) == len(fewer)
        assert all(np.isfinite(part).all() for part in (fewer.means, fewer.log_scales, fewer.quaternions, fewer.sh))

    def test_islands_and_splats_at_one_place(self):
        splats = wall(10)
        islands = replace(splats, means=splats.means + (np.arange(100) // 7 * 1000)[:, None].astype(np.float32))
        assert len(simplified(islands, 4)) <= 4
        assert len(simplified(replace(splats, means=np.zeros_like(splats.means)), 4)) <= 4

    def test_in_parts_it_looks_the_same(self, monkeypatch):
        whole = simplified(edged(), 400)
        monkeypatch.setattr(simplify, "PART", 300)
        parts = simplified(edged(), 400)
        assert len(parts) == len(whole) == 400
        wanted = rasterize(edged(), ahead()).rgb[8:32, 8:32]
        assert psnr(rasterize(parts, ahead()).rgb[8:32, 8:32], wanted) > 28

    def test_the_same_each_time(self):
        first, again = (simplified(edged(), 333) for _ in range(2))
        assert np.array_equal(first.means, again.means) and np.array_equal(first.log_scales, again.log_scales)

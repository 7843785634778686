"""What the next level shows is marked, and a level has no hard border."""

import numpy as np
import pytest

from core.camera import Camera, look_at
from core.gaussians import Gaussians
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.stages import export

ANCHOR = Camera(64, 48, 60.0, 60.0, 32.0, 24.0, look_at((0, -2, 2), (0, 0, 0)))


def splats_at(positions) -> Gaussians:
    count = len(positions)
    return Gaussians(
        np.asarray(positions, np.float32),
        np.full((count, 3), -4.0, np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full(count, 3.0, np.float32),
        np.zeros((count, 1, 3), np.float32),
    )


def on_pixels(pixels, depth: float = 2.5) -> np.ndarray:
    """Points (N, 3) that the anchor sees at these pixels."""
    x = (np.asarray(pixels, float) - (ANCHOR.cx, ANCHOR.cy)) / (ANCHOR.fx, ANCHOR.fy)
    return ANCHOR.centre + depth * np.c_[x, np.ones(len(x))] @ ANCHOR.rotation.T


class TestMarkSuperseded:
    def test_all_within_the_finer_view_goes_hidden_or_not(self):
        near, far = on_pixels([(32, 24)]), on_pixels([(32, 24)], 9.0)
        outside, behind = on_pixels([(200, 24)]), on_pixels([(32, 24)], -1.0)
        marked, _ = export.mark_superseded(
            splats_at(np.concatenate([near, far, outside, behind])), Cloud.empty(), ANCHOR
        )
        assert marked.extra["superseded"].tolist() == [1, 1, 0, 0]

    def test_the_last_level_keeps_all(self):
        marked, _ = export.mark_superseded(splats_at(on_pixels([(32, 24)])), Cloud.empty(), None)
        assert marked.extra["superseded"].tolist() == [0]

    def test_what_lies_under_the_thinned_border_stays(self):
        marked, _ = export.mark_superseded(splats_at(on_pixels([(1, 24), (32, 47.5)])), Cloud.empty(), ANCHOR)
        assert not marked.extra["superseded"].any()


class TestFeathered:
    def test_opacity_falls_to_nothing_at_the_border_and_stays_elsewhere(self):
        shown = export.feathered(splats_at(on_pixels([(0.01, 24), (1.2, 24), (32, 24), (100, 24)])), ANCHOR).opacities
        whole = 1 / (1 + np.exp(-3.0))
        assert shown[0] < 0.01 < shown[1] < whole
        assert shown[2:] == pytest.approx(whole, abs=1e-6)

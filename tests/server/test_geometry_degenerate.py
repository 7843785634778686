"""Align where almost nothing is known, or everything."""

from dataclasses import replace

import numpy as np
import pytest
from halls import grey, warp

from core.camera import Camera, look_at
from core.errors import DreamzoomError
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import KNOWN, DepthKind, DepthMap
from dreamzoom.stages.view_depth import align_view, with_given


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

"""Which cameras get dreamed: only where the flight would see holes, and where the artist's path really goes."""

import numpy as np
import pytest

from core.camera import Camera, look_at
from dreamzoom.geometry import views
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import UNKNOWN, View
from dreamzoom.geometry.zoom_path import Key, ZoomPath


def camera(centre=(0.0, -3.0, 1.0)) -> Camera:
    return Camera(96, 64, 100, 100, 48, 32, look_at(centre, (0, 0, 0)))


def path_of(cameras, zooms=None) -> ZoomPath:
    zooms = zooms or [0.0] * len(cameras)
    keys = (Key(n, float(u), view) for n, (u, view) in enumerate(zip(zooms, cameras, strict=True)))
    return ZoomPath(2.0, np.zeros((3, 3)), tuple(keys))


def cloud_of(view: Camera):
    depth = np.full((view.height, view.width), 3.0, np.float32)
    return lift(view, depth, np.full((*depth.shape, 3), 0.5, np.float32), view=0)


class TestAnchor:
    def test_is_the_paths_camera_wider(self):
        path = path_of([camera(), camera()], [0, 2])
        view = views.anchor(path, 1)
        assert (view.level, view.zoom, view.name) == (1, 1.0, "001/anchor")
        assert view.camera.width == 2 * round(96 * np.sqrt(2) / 2)
        assert np.allclose(view.camera.camera_to_frame, path.camera(1.0, 1).camera_to_frame)


class TestSideViews:
    def test_none_for_a_still_camera(self):
        path = path_of([camera(), camera()], [0, 1])
        assert views.side_views(path, 0, cloud_of(camera().widened(1.4))) == []

    def test_some_where_the_camera_turns_away_and_they_fill_the_holes(self):
        turn = [key.camera for key in views.lookaround(camera(), 8)]
        path, cloud = path_of(turn), cloud_of(camera())
        wanted = views.side_views(path, 0, cloud, limit=0.05)
        assert 1 <= len(wanted) <= 8
        for side in wanted:
            fresh = project(cloud, side.camera).mask == UNKNOWN
            depth = np.full(fresh.shape, 3.0, np.float32)
            more = lift(side.camera, depth, np.zeros((*fresh.shape, 3), np.float32), view=1, keep=fresh)
            cloud = cloud.joined([cloud, more])
        assert max((project(cloud, view).mask == UNKNOWN).mean() for view in turn) < 0.12

    def test_no_more_than_allowed(self):
        turn = path_of([key.camera for key in views.rotate360(camera(), 12)])
        assert len(views.side_views(turn, 0, cloud_of(camera()), most=3)) == 3

    def test_large_holes_get_their_views_beyond_that(self):
        turn = path_of([key.camera for key in views.rotate360(camera(), 12)])
        wanted = views.side_views(turn, 0, cloud_of(camera()), most=1, large=0.04)
        assert 5 <= len(wanted) <= 12
        assert len({view.name for view in wanted}) == len(wanted)

    def test_each_view_has_something_in_common_with_those_before(self):
        turn = path_of([key.camera for key in views.rotate360(camera(), 12)])
        known = cloud_of(camera())
        for side in views.side_views(turn, 0, known, most=12):
            fresh = project(known, side.camera).mask == UNKNOWN
            assert fresh.mean() < 0.8
            depth = np.full(fresh.shape, 3.0, np.float32)
            more = lift(side.camera, depth, np.zeros((*fresh.shape, 3), np.float32), view=1, keep=fresh)
            known = known.joined([known, more])

    def test_looks_only_at_its_own_level(self):
        path = path_of([camera(), camera(), camera((2, 2, 1))], [0, 1, 2])
        assert views.side_views(path, 0, cloud_of(camera().widened(1.4))) == []

    def test_an_empty_cloud_needs_the_first_camera(self):
        path = path_of([camera()])
        assert len(views.side_views(path, 0, cloud_of(camera())[:0])) == 1


class TestSupportCameras:
    def test_turn_about_the_focus(self):
        around = views.support_cameras(View("a", 0, 0.0, camera()), count=4, degrees=5)
        assert len(around) == 4
        for support in around:
            assert np.allclose(support.project(np.zeros(3))[0], (48, 32), atol=1e-6)
            cosine = support.rotation[:, 2] @ camera().rotation[:, 2]
            assert np.degrees(np.arccos(cosine)) == pytest.approx(5)


class TestBridges:
    def test_lie_half_way_and_close_a_ring(self):
        ring = [key.camera for key in views.rotate360(camera((0, 0, 0.001)), 10)]
        between = views.bridges(ring, closed=True)
        assert len(between) == 10
        for a, half in zip(ring, between, strict=True):
            assert np.degrees(np.arccos(np.clip(a.rotation[:, 2] @ half.rotation[:, 2], -1, 1))) < 18.1


class TestPresets:
    @pytest.mark.parametrize("name", sorted(views.PRESETS))
    def test_are_rigid_finite_and_start_at_the_camera(self, name):
        keys = views.PRESETS[name](camera(), 12)
        assert len(keys) == 12
        assert len({key.frame for key in keys}) == 12
        for key in keys:
            turn = key.camera.rotation
            assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(turn) == pytest.approx(1)
        assert np.allclose(keys[0].camera.camera_to_frame, camera().camera_to_frame, atol=1e-9)

    @pytest.mark.parametrize("name", ["straight", *views.PRESETS])
    def test_ready_paths_go_from_the_first_level_to_the_last(self, name):
        for levels in (1, 3):
            keys = views.ready_path(name, 64, 48, levels)
            frames, zooms = [key.frame for key in keys], [key.zoom for key in keys]
            assert frames == sorted(set(frames))
            assert (zooms[0], zooms[-1]) == (0, levels - 1)
            assert zooms == sorted(zooms)
            if name in views.CLOSED:
                assert np.allclose(keys[0].camera.camera_to_frame, keys[-1].camera.camera_to_frame)

    def test_rotate360_goes_once_around(self):
        keys = views.rotate360(camera(), 10)
        level = [key.camera.rotation[:2, 2] / np.linalg.norm(key.camera.rotation[:2, 2]) for key in keys]
        steps = [
            np.degrees(np.arccos(np.clip(a @ b, -1, 1))) for a, b in zip(level, level[1:] + level[:1], strict=True)
        ]
        assert np.allclose(steps, 36)

    def test_straight_zooms_one_level_at_a_time(self):
        keys = views.straight(camera(), 3, 10)
        assert [(key.frame, key.zoom) for key in keys] == [(1, 0.0), (11, 1.0), (21, 2.0)]

    def test_translation_keeps_the_direction(self):
        keys = views.translation(camera(), (1, 0, 0), 5)
        assert np.allclose(keys[-1].camera.centre - keys[0].camera.centre, camera().rotation[:, 0])

"""Lift and project: what is known stays where it is, nothing shines through, nothing is torn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.camera import Camera, Similarity, look_at
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.edges import find_edges
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN


def camera(centre=(0.0, -3.0, 0.5), target=(0.0, 0.0, 0.0), width=96, height=72, focal=100.0) -> Camera:
    return Camera(width, height, focal, focal, width / 2, height / 2, look_at(centre, target))


def plane_depth(view: Camera, normal, offset: float) -> np.ndarray:
    """Z-depth of the plane normal · X = offset."""
    normal = np.asarray(normal, float)
    return ((offset - normal @ view.centre) / (view.rays() @ normal)).astype(np.float32)


def ball_before_wall(view: Camera, radius=0.5) -> np.ndarray:
    """Z-depth of a ball at the origin before the wall y = 2."""
    rays, wall = view.rays(), plane_depth(view, (0, 1, 0), 2.0)
    a, b = (rays**2).sum(-1), rays @ view.centre
    inner = b**2 - a * (view.centre @ view.centre - radius**2)
    return np.where(inner > 0, (-b - np.sqrt(np.maximum(inner, 0))) / a, wall).astype(np.float32)


def picture(view: Camera) -> np.ndarray:
    y, x = np.mgrid[: view.height, : view.width]
    return np.stack([x / view.width, y / view.height, 0.5 + 0 * x], -1).astype(np.float32)


class TestLift:
    def test_what_lies_behind_an_edge_keeps_nothing_of_the_colour_before_it(self):
        """A red ball before a blue wall, in a picture that is blurred as any picture is."""
        from scipy.ndimage import gaussian_filter

        view = camera()
        depth = ball_before_wall(view)
        is_ball = depth < depth.max() - 1
        sharp = np.where(is_ball[..., None], (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
        blurred = gaussian_filter(sharp, (0.6, 0.6, 0)).astype(np.float32)
        assert blurred[~is_ball, 0].max() > 0.2
        cloud = lift(view, depth, blurred, view=0)
        wall = cloud.position[:, 1] > 1.5
        assert wall.sum() == (~is_ball).sum()
        assert cloud.rgb[wall, 0].max() < 0.05

    @settings(max_examples=25, deadline=None)
    @given(
        st.tuples(*[st.floats(-3, 3)] * 3).filter(lambda c: np.linalg.norm(c) > 0.5),
        st.floats(30, 500),
        st.integers(9, 40),
        st.integers(9, 40),
        st.integers(0, 999),
    )
    def test_then_projecting_the_points_gives_the_pixels_back(self, centre, focal, width, height, seed):
        view = camera(centre, (0.1, 0.2, 0.3), width, height, focal)
        depth = np.random.default_rng(seed).uniform(1, 1.05, (height, width)).astype(np.float32)
        edges = find_edges(depth, view)
        cloud = lift(view, depth, picture(view), view=0, edges=edges)
        pixels, z = view.project(cloud.position)
        rows, columns = np.nonzero(~edges.mixed)
        assert np.abs(pixels - np.stack([columns, rows], -1) - 0.5).max() < 1e-3
        assert np.allclose(z, depth[rows, columns], rtol=1e-5)

    def test_drops_what_is_not_finite_or_not_positive_and_makes_no_nan(self):
        view = camera()
        depth = plane_depth(view, (0, 1, 0), 1.0)
        depth[3, 4], depth[5, 6], depth[7, 8], depth[9, 10] = np.nan, np.inf, 0, -1
        cloud = lift(view, depth, picture(view), view=2)
        assert len(cloud) == depth.size - 4
        assert all(np.isfinite(getattr(cloud, name)).all() for name in ("position", "rgb", "normal", "footprint"))
        assert (cloud.view == 2).all()

    def test_an_all_nan_depth_gives_no_points(self):
        view = camera()
        assert len(lift(view, np.full((72, 96), np.nan, np.float32), picture(view), view=0)) == 0

    def test_normals_of_a_plane_point_to_the_camera(self):
        view, normal = camera((0.5, -3, 1)), np.array([0.3, -1, 0.4])
        cloud = lift(view, plane_depth(view, normal, 0.0), picture(view), view=0)
        assert np.allclose(cloud.normal, normal / np.linalg.norm(normal), atol=1e-3)

    def test_blurred_occlusion_edges_leave_no_points_between_the_surfaces(self):
        view = camera()
        depth = ball_before_wall(view)
        blurred = depth.copy()
        blurred[:, 1:-1] = (depth[:, :-2] + depth[:, 1:-1] + depth[:, 2:]) / 3
        position = lift(view, blurred, picture(view), view=0).position
        floating = (position[:, 1] > 0.1) & (position[:, 1] < 1.6)
        assert floating.mean() < 0.002

    def test_thin_things_of_a_sharp_depth_stay(self):
        view = camera()
        depth = ball_before_wall(view)
        assert not find_edges(depth, view).mixed.any()
        depth[20:60, 10] = 0.7 * depth[20:60, 10]  # a rod two pixels wide, its halves at two depths
        depth[20:60, 11] = 0.45 * depth[20:60, 11]
        assert len(lift(view, depth, picture(view), view=0)) == depth.size

    def test_terrain_running_to_its_horizon_is_not_torn(self):
        view = camera((0, -3, 0.3), (0, 0, 0.2))
        depth = plane_depth(view, (0, 0, 1), 0.0)
        depth[~(depth > 0) | (depth > 60)] = 60
        edges = find_edges(depth, view)
        ground = depth < 20
        assert not edges.mixed[ground].any()
        assert (edges.right | edges.down)[ground].mean() < 0.03

    def test_refuses_another_size(self):
        with pytest.raises(ValueError, match="size"):
            lift(camera(), np.ones((4, 4), np.float32), np.ones((4, 4, 3), np.float32), view=0)


class TestProject:
    def test_from_the_same_camera_is_the_picture(self):
        view = camera()
        depth = ball_before_wall(view)
        seen = project(lift(view, depth, picture(view), view=0), view)
        assert (seen.mask == KNOWN).mean() > 0.99
        good = seen.mask == KNOWN
        assert np.abs(seen.rgb - picture(view))[good].mean() < 1e-3
        assert np.abs(seen.depth / depth - 1)[good].max() < 0.02

    @settings(max_examples=20, deadline=None)
    @given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.floats(-0.5, 0.3), st.floats(-180, 180))
    def test_a_plane_has_no_holes_from_any_near_camera(self, dx, dz, dy, roll):
        source = camera(width=128, height=128)
        cloud = lift(source, plane_depth(source, (0.3, -1, 0.2), 0.0), picture(source), view=0)
        turn = np.radians(roll)
        pose = look_at((dx, -3 + dy, 0.5 + dz), (0, 0, 0))
        pose[:3, :3] = pose[:3, :3] @ [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
        view = Camera(40, 40, 100, 100, 20, 20, pose)
        seen = project(cloud, view)
        assert (seen.mask != UNKNOWN).all()
        assert np.abs(seen.depth / plane_depth(view, (0.3, -1, 0.2), 0.0) - 1).max() < 0.01

    def test_nothing_behind_shines_through_a_surface(self):
        source = camera(width=128, height=128)
        cloud = lift(source, ball_before_wall(source), picture(source), view=0)
        for centre in ((0.4, -3, 0.5), (0, -2.2, 0.3), (-0.3, -2.8, 0.9)):
            view = camera(centre, width=128, height=128)
            true = ball_before_wall(view)
            pixels, z = source.project(view.unproject(true))
            column, row = (np.floor(pixels[..., n]).astype(int).clip(0, 127) for n in (0, 1))
            was_seen = np.abs(ball_before_wall(source)[row, column] / z - 1) < 0.005
            seen = project(cloud, view)
            behind = was_seen & np.isfinite(seen.depth) & (seen.depth > 1.05 * true)
            assert behind.mean() < 0.001

    def test_what_no_view_saw_is_unknown(self):
        source = camera(width=128, height=128)
        seen = project(lift(source, ball_before_wall(source), picture(source), view=0), camera((1, -3, 0.5)))
        assert 0.02 < (seen.mask == UNKNOWN).mean() < 0.5
        assert np.isinf(seen.depth[seen.mask == UNKNOWN]).all()
        assert (seen.ids[seen.mask == UNKNOWN] == -1).all()

    def test_twice_as_near_is_coarse_and_half_as_near_is_known(self):
        source = camera((0, -3, 0))
        cloud = lift(source, plane_depth(source, (0, -1, 0), 0.0), picture(source), view=0)
        assert (project(cloud, camera((0, -1.5, 0), width=32, height=32)).mask == COARSE).all()
        far = project(cloud, camera((0, -6, 0)))
        assert set(np.unique(far.mask)) == {UNKNOWN, KNOWN}

    def test_a_surface_seen_from_behind_hides_but_is_not_known(self):
        source = camera((0, -3, 0), (0, 0, 0))
        near = lift(source, plane_depth(source, (0, -1, 0), 0.0), picture(source), view=0)
        behind = camera((0, 3, 0), (0, 0, 0), width=24, height=24)
        assert (project(near, behind).mask == UNKNOWN).all()

    def test_superseded_points_are_left_out(self):
        view = camera()
        cloud = lift(view, plane_depth(view, (0, 1, 0), 1.0), picture(view), view=0)
        cloud.superseded[:] = True
        assert (project(cloud, view).mask == UNKNOWN).all()

    def test_an_empty_cloud_is_all_unknown(self):
        assert (project(Cloud.empty(), camera()).mask == UNKNOWN).all()

    def test_one_point_is_one_pixel_or_few(self):
        view = camera()
        cloud = lift(view, plane_depth(view, (0, 1, 0), 1.0), picture(view), view=0)[[36 * 96 + 48]]
        assert 1 <= (project(cloud, view).mask != UNKNOWN).sum() <= 4

    def test_a_camera_inside_the_cloud_sees_only_finite_values(self):
        rng = np.random.default_rng(0)
        unit = rng.normal(size=(5000, 3))
        unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
        count = len(unit)
        position = (unit * rng.uniform(0, 2, (count, 1))).astype(np.float32)
        cloud = Cloud(
            position,
            np.full((count, 3), 0.5, np.float32),
            -unit,
            np.full(count, 0.02, np.float32),
            np.zeros(count, np.int32),
            np.ones(count, np.float32),
            np.zeros(count, bool),
        )
        seen = project(cloud, camera((0, 0, 0), (0, 1, 0)))
        assert np.isfinite(seen.rgb).all()
        assert np.isfinite(seen.depth[seen.mask != UNKNOWN]).all()

    @settings(max_examples=10, deadline=None)
    @given(st.floats(0.05, 20))
    def test_the_unit_of_length_does_not_matter(self, unit):
        view = camera()
        other = Similarity(unit, np.zeros(3))
        cloud = lift(view, ball_before_wall(view), picture(view), view=0)
        a, b = project(cloud, view), project(cloud.moved(other), view.moved(other))
        assert (a.mask == b.mask).mean() > 0.999
        same = (a.mask == b.mask) & (a.mask != UNKNOWN)
        assert np.median(np.abs(b.depth[same] / a.depth[same] / unit - 1)) < 1e-4

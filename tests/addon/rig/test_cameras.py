"""Blender's cameras and the server's agree with Blender's own projection."""

import itertools
import math

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector

from addon.core.errors import DreamzoomError
from addon.rig import cameras

FITS = ("AUTO", "HORIZONTAL", "VERTICAL")
SIZES = ((480, 270), (270, 480), (350, 350))
ASPECTS = ((1.0, 1.0), (1.0, 1.6), (1.5, 1.0))
SHIFTS = ((0.0, 0.0), (0.2, -0.1))


def make_camera(fit="AUTO", size=(480, 280), aspect=(1.0, 1.0), shift=(0.0, 0.0), percentage=100):
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = percentage
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width, data.sensor_height, data.sensor_fit = 43.0, 36.0, 22.0, fit
    data.shift_x, data.shift_y = shift
    camera = bpy.data.objects.new("camera", data)
    scene.collection.objects.link(camera)
    camera.matrix_world = Matrix.LocRotScale(Vector((0.3, -0.5, 0.7)), Euler((0.7, 0.1, 0.3)), None)
    bpy.context.view_layer.update()
    return scene, camera


def points_in_view(view, pose):
    """Twenty pixels of the picture and points of the world that they show, (20, 2) and (20, 3)."""
    random = np.random.default_rng(3)
    pixels = random.uniform(0, (view.width, view.height), (20, 2))
    rays = np.column_stack([(pixels - (view.cx, view.cy)) / (view.fx, view.fy), np.ones(20)])
    return pixels, pose[:3, 3] + (rays * random.uniform(1, 2, (20, 1))) @ pose[:3, :3].T


def by_blender(scene, camera, points, width, height):
    """Pixels from Blender's own function; its y is up."""
    seen = np.array([world_to_camera_view(scene, camera, Vector(point)) for point in points])
    return np.stack([seen[:, 0] * width, (1 - seen[:, 1]) * height], 1)


class TestIntrinsicsOf:
    @pytest.mark.parametrize("fit", FITS)
    def test_agrees_with_blender_to_a_ten_thousandth_of_a_pixel(self, fit):
        for size, aspect, shift in itertools.product(SIZES, ASPECTS, SHIFTS):
            scene, camera = make_camera(fit, size, aspect, shift)
            view = cameras.intrinsics_of(camera.data, scene.render, *size)
            pixels, points = points_in_view(view, cameras.pose_in_gauge(np.array(camera.matrix_world), np.eye(4)))
            error = np.abs(by_blender(scene, camera, points, *size) - pixels).max()
            assert error < 1e-4, (size, aspect, shift)

    @pytest.mark.parametrize("percentage", [25, 50, 150])
    def test_percentage_scales_pixels_only(self, percentage):
        scene, camera = make_camera(percentage=percentage, shift=(0.1, 0.05))
        width, height = 480 * percentage / 100, 280 * percentage / 100
        view = cameras.intrinsics_of(camera.data, scene.render, round(width), round(height))
        pixels, points = points_in_view(view, cameras.pose_in_gauge(np.array(camera.matrix_world), np.eye(4)))
        assert np.abs(by_blender(scene, camera, points, width, height) - pixels).max() < 1e-4

    def test_wide_pixels_give_two_focal_lengths(self):
        scene, camera = make_camera(aspect=(2.0, 1.0))
        view = cameras.intrinsics_of(camera.data, scene.render, 480, 280)
        assert view.fy == pytest.approx(2 * view.fx)

    def test_refuses_an_orthographic_camera(self):
        scene, camera = make_camera()
        camera.data.type = "ORTHO"
        with pytest.raises(DreamzoomError, match="perspective") as caught:
            cameras.intrinsics_of(camera.data, scene.render, 480, 280)
        assert caught.value.remedy


class TestSetIntrinsics:
    @pytest.mark.parametrize("fit", FITS)
    def test_gives_back_what_was_measured(self, fit):
        for size, aspect, shift in itertools.product(SIZES, ASPECTS, SHIFTS):
            scene, camera = make_camera(fit, size, aspect, shift)
            view = cameras.intrinsics_of(camera.data, scene.render, *size)
            camera.data.lens, camera.data.shift_x, camera.data.shift_y = 20.0, 0.4, 0.4
            scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
            cameras.set_intrinsics(camera.data, scene.render, view)
            bpy.context.view_layer.update()
            pixels, points = points_in_view(view, cameras.pose_in_gauge(np.array(camera.matrix_world), np.eye(4)))
            error = np.abs(by_blender(scene, camera, points, *size) - pixels).max()
            assert error < 1e-4, (size, aspect, shift)

    def test_reaches_any_principal_point(self):
        scene, camera = make_camera()
        wanted = cameras.Intrinsics(640, 480, 500.0, 520.0, 290.0, 260.0)
        cameras.set_intrinsics(camera.data, scene.render, wanted)
        found = cameras.intrinsics_of(camera.data, scene.render, 640, 480)
        for name in ("fx", "fy", "cx", "cy"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-4)


class TestPoseInGauge:
    def test_a_moved_turned_and_scaled_rig_sees_the_same(self):
        camera = np.array(Matrix.LocRotScale(Vector((0, -2, 2)), Euler((0.8, 0, 0.2)), None), np.float64)
        rig = np.array(Matrix.LocRotScale(Vector((5, 6, 7)), Euler((0.1, 0.2, 0.3)), Vector((3, 3, 3))), np.float64)
        alone = cameras.pose_in_gauge(camera, np.eye(4))
        assert np.allclose(cameras.pose_in_gauge(rig @ camera, rig), alone, atol=1e-5)

    def test_the_camera_s_own_scale_means_nothing(self):
        camera = Matrix.LocRotScale(Vector((0, -2, 2)), Euler((0.8, 0, 0.2)), Vector((2, 3, 4)))
        pose = cameras.pose_in_gauge(np.array(camera), np.eye(4))
        assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3))
        assert np.allclose(pose[:3, 3], (0, -2, 2))

    def test_way_back(self):
        rig = np.array(Matrix.LocRotScale(Vector((5, 6, 7)), Euler((0.1, 0.2, 0.3)), Vector((2, 2, 2))), np.float64)
        camera = rig @ np.array(Matrix.LocRotScale(Vector((0, -2, 2)), Euler((0.8, 0, 0.2)), None), np.float64)
        back = cameras.camera_world(cameras.pose_in_gauge(camera, rig), rig)
        assert np.allclose(back[:3, 3], camera[:3, 3], atol=1e-6)
        assert np.allclose(back[:3, :3], camera[:3, :3] / 2, atol=1e-6)

    @pytest.mark.parametrize("scale", [(1, 1, 2), (1, 1, -1), (0, 0, 0)])
    def test_refuses_a_rig_without_one_scale(self, scale):
        rig = np.diag([*scale, 1.0]).astype(np.float64)
        with pytest.raises(DreamzoomError, match="scale"):
            cameras.pose_in_gauge(np.eye(4), rig)


class TestPictureSize:
    @pytest.mark.parametrize(("size", "expected"), [((1920, 1080), (640, 360)), ((1080, 1920), (360, 640))])
    def test_keeps_the_proportions(self, size, expected):
        scene, _ = make_camera(size=size)
        assert cameras.picture_size(scene.render, 640) == expected

    def test_is_even(self):
        scene, _ = make_camera(size=(1000, 333))
        width, height = cameras.picture_size(scene.render, 511)
        assert width % 2 == height % 2 == 0
        assert math.isclose(width / height, 1000 / 333, rel_tol=0.02)

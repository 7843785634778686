"""Cameras under unevenly scaled and sheared parents: Blender's own picture, in the request, the server and the rig."""

import itertools

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector

from addon import rig
from addon.core.camera import Camera
from addon.core.errors import DreamzoomError
from addon.rig import cameras
from addon.rig.camera_paths import shear
from addon.scene import request

SIZE = (480, 270)
SCALES = ((1, 1, 2), (0.3, 1, 1), (1.5, 0.4, 2.2))
TURNS = ((0.8, 0, 0), (0.7, 0.2, 0.5), (1.1, -0.4, 2.0))
PARENT_TURNS = ((0, 0, 0), (0.3, -0.5, 0.2))


def under(scale, turn, parent_turn=(0, 0, 0), own_scale=(1, 1, 1)):
    """A camera under an unevenly scaled parent."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    parent = bpy.data.objects.new("parent", None)
    parent.rotation_euler, parent.scale = parent_turn, scale
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.parent, camera.location, camera.rotation_euler, camera.scale = parent, (0.2, -2, 1.5), turn, own_scale
    camera.data.shift_x = 0.1
    for obj in (parent, camera):
        scene.collection.objects.link(obj)
    scene.camera = camera
    bpy.context.view_layer.update()
    return camera


def pixels_by_blender(camera, points):
    scene = bpy.context.scene
    seen = np.array([world_to_camera_view(scene, camera, Vector(point)) for point in points])
    return np.stack([seen[:, 0] * SIZE[0], (1 - seen[:, 1]) * SIZE[1]], 1)


def points_before(camera, count=20):
    random = np.random.default_rng(3)
    local = np.column_stack([random.uniform(-0.3, 0.3, (count, 2)), -np.ones(count)]) * random.uniform(1, 3, (count, 1))
    world = np.array(camera.matrix_world.normalized())
    return world[:3, 3] + local @ world[:3, :3].T


def pixels_by_key(view, pose, points):
    """K R (X − C), as the request's cameras mean it."""
    seen = (points - pose[:3, 3]) @ pose[:3, :3] @ view.matrix.T
    return seen[:, :2] / seen[:, 2:]


class TestSeenInGauge:
    def test_is_blender_s_picture_to_a_hundredth_of_a_pixel(self):
        for scale, turn, parent_turn in itertools.product(SCALES, TURNS, PARENT_TURNS):
            for own in ((1, 1, 1), (2, 0.7, 1.3)):
                camera = under(scale, turn, parent_turn, own)
                own_view = cameras.intrinsics_of(camera.data, bpy.context.scene.render, *SIZE)
                view, pose = cameras.seen_in_gauge(own_view, np.array(camera.matrix_world), np.eye(4))
                assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
                assert np.linalg.det(pose[:3, :3]) > 0 and view.fx > 0 < view.fy
                points = points_before(camera)
                error = np.abs(pixels_by_blender(camera, points) - pixels_by_key(view, pose, points)).max()
                assert error < 0.01, (scale, turn, parent_turn)

    def test_without_shear_nothing_changes(self):
        camera = under((2, 2, 2), (0.7, 0.2, 0.5))
        own = cameras.intrinsics_of(camera.data, bpy.context.scene.render, *SIZE)
        assert cameras.seen_in_gauge(own, np.array(camera.matrix_world), np.eye(4))[0] == own

    @pytest.mark.parametrize(("scale", "told"), [((1, -1, 1), "mirrored"), ((1, 0, 1), "no depth")])
    def test_mirrored_and_flattened_cameras_are_refused(self, scale, told):
        camera = under(scale, (0.7, 0.2, 0.5))
        with pytest.raises(DreamzoomError, match=told) as caught:
            cameras.seen_in_gauge(cameras.Intrinsics(*SIZE, 1, 1, 1, 1), np.array(camera.matrix_world), np.eye(4))
        assert caught.value.remedy


class TestRequest:
    def test_a_rig_s_sheared_camera_is_sent_as_blender_shows_it(self, root):
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = SIZE
        scene.frame_end = 2
        root.dreamzoom.size = SIZE[0]
        root.dreamzoom.camera.parent.scale = (1, 1, 1.7)
        root.dreamzoom.camera.rotation_euler = (0.6, 0.1, 0.3)
        found = request.build_request(root, scene, bpy.context.view_layer)
        key = found["cameras"][1]
        scene.frame_set(2)
        view = cameras.Intrinsics(*SIZE, *(key[name] for name in ("fx", "fy", "cx", "cy")), skew=key["skew"])
        points = points_before(root.dreamzoom.camera)
        told = pixels_by_key(view, np.array(key["camera_to_gauge"]), points)
        assert np.abs(pixels_by_blender(root.dreamzoom.camera, points) - told).max() < 0.01


class TestFromCamera:
    @pytest.mark.parametrize("parent_turn", PARENT_TURNS)
    def test_shows_the_same_pictures(self, dreamzoom, parent_turn):
        scene = bpy.context.scene
        scene.frame_end = 5
        camera = under((1.5, 0.4, 2.2), (0.7, 0.2, 0.5), parent_turn)
        for frame, place, turn in ((1, (0.2, -2, 1.5), (0.7, 0.2, 0.5)), (5, (0.1, -0.5, 0.5), (0.9, -0.1, 0.1))):
            camera.location, camera.rotation_euler = place, turn
            camera.keyframe_insert("location", frame=frame)
            camera.keyframe_insert("rotation_euler", frame=frame)
        scene.cursor.location = (0, 0, 0)
        bpy.context.view_layer.objects.active = camera
        target = bpy.data.objects.new("target", None)
        scene.collection.objects.link(target)
        assert bpy.ops.dreamzoom.from_camera(target="target") == {"FINISHED"}
        root = bpy.context.view_layer.objects.active
        seen = {}
        for frame in (1, 3, 5):
            scene.frame_set(frame)
            home = rig.level_empties(root)[0]
            points = points_before(camera)
            grown = points @ np.array(home.matrix_world)[:3, :3].T * root.scale[0] ** -1 + np.array(
                home.matrix_world.translation
            )
            seen[frame] = np.abs(
                pixels_by_blender(camera, points) - pixels_by_blender(root.dreamzoom.camera, grown)
            ).max()
        assert max(seen.values()) < 0.1, seen
        assert bpy.ops.dreamzoom.to_camera() == {"FINISHED"}
        plain = bpy.context.view_layer.objects.active
        for frame in (1, 3, 5):
            scene.frame_set(frame)
            points = points_before(camera)
            assert np.abs(pixels_by_blender(camera, points) - pixels_by_blender(plain, points)).max() < 0.1

    def test_a_changing_shear_is_refused_and_says_what_to_do(self):
        axes = [np.array(Euler((0.3 * k, 0.5, 0.1 * k)).to_matrix()) for k in range(4)]
        sheared = [np.diag((1, 1 + 0.2 * k, 1.5)) @ one for k, one in enumerate(axes)]
        sheared = [one / np.linalg.norm(one, axis=0) for one in sheared]
        with pytest.raises(DreamzoomError, match="changes") as caught:
            shear.common_stretch(sheared)
        assert caught.value.remedy

    def test_the_stretch_of_one_frame_is_small_where_it_is_free(self):
        axes = np.array(Matrix.Rotation(0.4, 3, (1, 2, 3)))
        assert np.allclose(shear.common_stretch([axes]), np.eye(3))


def test_the_server_s_camera_is_the_same_without_skew():
    view, pose = cameras.Intrinsics(64, 48, 60, 50, 30, 20), np.eye(4)
    points = np.array([(0.1, 0.2, 1.0), (-0.3, 0.1, 2.0)])
    assert np.allclose(Camera(64, 48, 60, 50, 30, 20, pose).project(points)[0], pixels_by_key(view, pose, points))

"""Cameras of other programs become keyed cameras, and flights go out: by Blender's own projection."""

import json

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from addon import rig, splats
from addon.core import camera_files
from addon.core.camera import Camera, look_at

from .. import splat_pictures as pictures

POINTS = np.random.default_rng(4).uniform(-0.3, 0.3, (9, 3))
UPRIGHT = {"-Y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)), "Y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)), "Z": np.eye(3)}
"""From a file's world to Blender's, by the axis that points up in the file."""


def seen(camera, points, size):
    found = np.array([world_to_camera_view(bpy.context.scene, camera, Vector(point)) for point in points])
    return np.stack([found[:, 0] * size[0], (1 - found[:, 1]) * size[1]], 1)


def write(folder, kind, count=3, size=(320, 200)):
    cameras = []
    for n in range(count):
        pose = look_at((np.cos(n), np.sin(n) - 2, 1.5), (0.1, 0, 0), (0, -1, 0.2))
        lens = (300 + 40 * n, 300 + 40 * n, 150.0, 108.0)
        cameras.append(camera_files.NamedCamera(f"frame_{n + 5:05d}.png", Camera(*size, *lens, pose)))
    path = folder / ("model" if kind == "colmap" else f"{kind}.json")
    camera_files.write(path, kind, cameras)
    return path, cameras


class TestImport:
    @pytest.mark.parametrize("kind", camera_files.KINDS)
    def test_every_key_projects_as_the_file_says(self, dreamzoom, tmp_path, kind):
        path, cameras = write(tmp_path, kind)
        shown = path / "images.txt" if kind == "colmap" else path
        assert bpy.ops.dreamzoom.import_cameras(filepath=str(shown)) == {"FINISHED"}
        scene, camera = bpy.context.scene, bpy.context.view_layer.objects.active
        assert (scene.frame_start, scene.frame_end, scene.camera) == (5, 7, camera)
        assert (scene.render.resolution_x, scene.render.resolution_y) == (320, 200)
        turn = np.array(UPRIGHT[camera_files.USUAL_UP[kind]])
        for n, item in enumerate(cameras):
            scene.frame_set(n + 5)
            error = np.abs(seen(camera, POINTS @ turn.T, (320, 200)) - item.camera.project(POINTS)[0]).max()
            assert error < 0.05, n

    def test_into_a_scene_that_keeps_its_resolution(self, dreamzoom, tmp_path):
        path, cameras = write(tmp_path, "cameras")
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = 640, 640
        bpy.ops.dreamzoom.import_cameras(filepath=str(path), set_render=False, axes="Z", scale=2.0)
        camera = bpy.context.view_layer.objects.active
        scene.frame_set(5)
        found = seen(camera, 2 * POINTS, (640, 640))
        expected = 2 * cameras[0].camera.project(POINTS)[0] + (0, (640 - 400) / 2)
        assert np.abs(found - expected).max() < 0.05

    def test_from_camera_makes_a_flight_of_it(self, dreamzoom, tmp_path):
        path, _ = write(tmp_path, "transforms")
        bpy.ops.dreamzoom.import_cameras(filepath=str(path))
        target = bpy.data.objects.new("target", None)
        bpy.context.scene.collection.objects.link(target)
        assert bpy.ops.dreamzoom.from_camera(target="target") == {"FINISHED"}
        assert rig.is_rig(bpy.context.view_layer.objects.active)

    def test_what_is_wrong_is_said_and_nothing_is_added(self, dreamzoom, tmp_path):
        (tmp_path / "path.json").write_text(json.dumps({"frames": [{"transform_matrix": np.ones((4, 4)).tolist()}]}))
        for name, told in (("path.json", "no rotation"), ("none.json", "none.json"), ("none.txt", "holds no")):
            with pytest.raises(RuntimeError, match=told):
                bpy.ops.dreamzoom.import_cameras(filepath=str(tmp_path / name))
        assert not bpy.data.cameras


class TestExport:
    @pytest.mark.parametrize("kind", camera_files.KINDS)
    def test_a_plain_camera_projects_as_in_blender(self, dreamzoom, tmp_path, kind):
        scene = bpy.context.scene
        scene.frame_end = 3
        scene.render.resolution_x, scene.render.resolution_y = 200, 320
        scene.render.pixel_aspect_x = 1.5
        data = bpy.data.cameras.new("camera")
        data.shift_x, data.shift_y, data.sensor_fit = 0.1, -0.2, "HORIZONTAL"
        camera = bpy.data.objects.new("camera", data)
        scene.collection.objects.link(camera)
        scene.camera = camera
        for frame, x in ((1, 0.5), (3, -0.4)):
            camera.location, camera.rotation_euler = (x, -2, 1.5), (0.9, 0.1, 0.2 * x)
            camera.keyframe_insert("location", frame=frame)
            camera.keyframe_insert("rotation_euler", frame=frame)
        out = tmp_path / ("model" if kind == "colmap" else "path.json")
        assert bpy.ops.dreamzoom.export_cameras(filepath=str(out), kind=kind, axes="Y") == {"FINISHED"}
        found = camera_files.read(out)
        turn = np.array(UPRIGHT["Y"]).T
        for frame, item in zip((1, 2, 3), found.cameras):
            scene.frame_set(frame)
            error = np.abs(seen(camera, POINTS, (200, 320)) - item.camera.project(POINTS @ turn.T)[0]).max()
            assert error < 0.01, frame

    def test_a_rig_flies_through_its_world_at_zoom_0_with_its_points(self, root, tmp_path):
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = 320, 200
        root.location = (1, 2, 3)
        values = pictures.random_splats(40, 1)
        (obj,) = splats.show_splats(values, "own", scene.collection)
        obj.parent = rig.level_empties(root)[1]
        scene.frame_set(30)
        bpy.context.view_layer.update()
        for other in bpy.context.selected_objects:
            other.select_set(False)
        obj.select_set(True)
        bpy.context.view_layer.objects.active = root
        bpy.ops.dreamzoom.export_cameras(filepath=str(tmp_path / "model"), kind="colmap", axes="Z", step=3)
        found = camera_files.read(tmp_path / "model")
        rows = [line.split() for line in (tmp_path / "model/points3D.txt").read_text().splitlines()[1:]]
        points = np.array(rows)[:, 1:4].astype(float)
        scene.frame_set(scene.frame_start)
        bpy.context.view_layer.update()
        placed = np.array(obj.matrix_world)
        assert np.allclose(points, values.means @ placed[:3, :3].T + placed[:3, 3], atol=1e-4)
        frame = found.frames[-1]
        scene.frame_set(frame)
        placed = np.array(obj.matrix_world)
        world = values.means @ placed[:3, :3].T + placed[:3, 3]
        camera = root.dreamzoom.camera
        error = np.abs(seen(camera, world, (320, 200)) - found.cameras[-1].camera.project(points)[0])
        assert np.median(error) < 0.05

"""Zoom Into This: a scan becomes level 0 of a flight that begins where the artist looks from."""

import json
import os
import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Vector

from addon import rig, splats
from addon.backend import launch
from addon.core import formats
from addon.core.gaussians import transformed
from addon.scene import assets
from addon.scene.request import build_request

from ..splat_pictures import random_splats

PLACE = (3.0, -1.0, 2.0)


@pytest.fixture
def scan(dreamzoom):
    """Splats of a scan, turned and placed, selected; the cursor lies on one of them, the camera looks at it."""
    scene = bpy.context.scene
    values = random_splats(300, 3)
    values.logit_opacities[:] = 4
    (obj,) = splats.show_splats(values, "scan", scene.collection)
    obj.location, obj.rotation_euler, obj.scale = PLACE, (0.3, 0.2, 0.1), (2, 2, 2)
    bpy.context.view_layer.update()
    middle = int(np.linalg.norm(values.means, axis=1).argmin())
    scene.cursor.location = obj.matrix_world @ Vector(values.means[middle].tolist())
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (3, -9, 4), Euler((1.2, 0, 0))
    scene.camera = camera
    bpy.context.view_layer.objects.active = obj
    bpy.context.view_layer.update()
    return obj, values


def request_of(root, folder):
    scene, view_layer = bpy.context.scene, bpy.context.view_layer
    return assets.write(root, scene, view_layer, folder, build_request(root, scene, view_layer))


class TestZoomInto:
    def test_begins_where_the_artist_looks_from_and_ends_at_the_cursor(self, scan):
        obj, _ = scan
        scene, before = bpy.context.scene, scan[0].matrix_world.copy()
        focus, eye = scene.cursor.location.copy(), scene.camera.location.copy()
        assert bpy.ops.dreamzoom.zoom_into(levels=3, frames_per_level=10) == {"FINISHED"}
        root = bpy.context.view_layer.objects.active
        camera = root.dreamzoom.camera
        scene.frame_set(1)
        assert (root.matrix_world.translation - focus).length < 1e-4
        assert (camera.matrix_world.translation - eye).length < 1e-4
        assert np.allclose(obj.matrix_world, before, atol=1e-5), "the scan stays where it is"
        assert root.dreamzoom.splat_scene == obj and scene.camera == camera
        for frame in (1, 15, 21):
            scene.frame_set(frame)
            x, y, _ = world_to_camera_view(scene, camera, focus)
            assert abs(x - 0.5) < 1e-4 and abs(y - 0.5) < 1e-4
        assert obj.matrix_world.to_scale()[0] == pytest.approx(8, rel=1e-3), "it grows with level 0"

    def test_the_cursor_must_be_on_the_splats(self, scan):
        bpy.context.scene.cursor.location = (100, 0, 0)
        with pytest.raises(RuntimeError, match="cursor is not on scan"):
            bpy.ops.dreamzoom.zoom_into()
        assert not any(rig.is_rig(obj) for obj in bpy.data.objects)

    def test_only_splats_can_be_zoomed_into(self, scan):
        bpy.context.view_layer.objects.active = bpy.context.scene.camera
        assert not bpy.ops.dreamzoom.zoom_into.poll()


class TestRequest:
    @pytest.mark.parametrize("frame", [1, 15])
    def test_sends_the_splats_in_the_frame_of_level_0_once(self, scan, tmp_path, frame):
        obj, values = scan
        placed = np.array(obj.matrix_world)
        bpy.ops.dreamzoom.zoom_into(levels=3, frames_per_level=10)
        root = bpy.context.view_layer.objects.active
        root.dreamzoom.levels[1].prompt = "rock"
        bpy.context.scene.frame_set(frame)
        obj.hide_viewport = obj.hide_render = True  # as after an import
        found = request_of(root, tmp_path)
        first = found["levels"][0]
        assert "assets" not in first and not any("splats" in level for level in found["levels"][1:])
        read = formats.read(Path(first["splats"]))
        into = np.linalg.inv(np.array(root.matrix_world))
        wanted = transformed(values, into @ placed)
        assert read.up == "Z" and np.allclose(read.splats.means, wanted.means, atol=1e-4)
        assert np.allclose(read.splats.log_scales, wanted.log_scales, atol=1e-3)

    def test_a_scan_that_is_gone_or_beside_a_picture_is_told(self, scan, tmp_path):
        obj, _ = scan
        bpy.ops.dreamzoom.zoom_into(levels=2)
        root = bpy.context.view_layer.objects.active
        picture = tmp_path / "a.png"
        picture.write_bytes(b"x")
        root.dreamzoom.levels[0].image = str(picture)
        with pytest.raises(Exception, match="both a picture"):
            request_of(root, tmp_path / "job")
        root.dreamzoom.levels[0].image = ""
        for collection in obj.users_collection:
            collection.objects.unlink(obj)
        with pytest.raises(Exception, match="missing"):
            request_of(root, tmp_path / "job")

    def test_the_server_takes_it(self, scan, tmp_path, server_python):
        bpy.ops.dreamzoom.zoom_into(levels=2)
        root = bpy.context.view_layer.objects.active
        root.dreamzoom.levels[1].prompt = "rock"
        file = tmp_path / "request.json"
        file.write_text(json.dumps(request_of(root, tmp_path / "job")))
        command = [server_python, "-m", "dreamzoom", "prepare", str(file), "--out", str(tmp_path / "made")]
        environment = os.environ | launch.environment()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "levels/000/fit" in done.stdout

"""Zoom Into This as the artist has it: a scan is selected, the operator pressed, the job made, its result imported."""

import time

import bpy
import numpy as np
import pytest
from mathutils import Euler, Vector

from addon import rig, splats
from addon.backend import current_job, main_loop
from addon.backend.connection import connection
from addon.core.gaussians import Gaussians

SIDE = 24
PLACE = Vector((3.0, 5.0, 2.0))


@pytest.fixture
def scan(dreamzoom):
    """A wall of splats, placed and scaled, active; the cursor lies on it, the camera looks at it from four units."""
    scene = bpy.context.scene
    places = np.linspace(-1, 1, SIDE, dtype=np.float32)
    x, z = (part.ravel() for part in np.meshgrid(places, places))
    means = np.stack([x, np.zeros_like(x), z], 1)
    scales = np.full((len(means), 3), np.log(1.6 / SIDE), np.float32)
    scales[:, 1] = np.log(1e-3)
    turns = np.tile(np.array([[1, 0, 0, 0]], np.float32), (len(means), 1))
    colours = np.stack([0.5 + 0.4 * x, 0.5 + 0.4 * z, 0.3 * np.ones_like(x)], 1)[:, None]
    values = Gaussians(
        means, scales, turns, np.full(len(means), 4, np.float32), ((colours - 0.5) / 0.2821).astype("f4")
    )
    (obj,) = splats.show_splats(values, "wall", scene.collection)
    obj.location, obj.scale = PLACE, (2, 2, 2)
    scene.cursor.location = PLACE + 2 * Vector((places[14], 0, places[10]))
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = PLACE + Vector((0, -4, 0)), Euler((np.pi / 2, 0, 0))
    scene.camera = camera
    bpy.context.view_layer.objects.active = obj
    bpy.context.view_layer.update()
    return obj, values


def pump_to_the_end(seconds=300):
    until = time.monotonic() + seconds
    while current_job.is_busy():
        assert time.monotonic() < until, f"still {current_job.get()}"
        main_loop.pump()
        connection.wait(0.05)
    return current_job.get()


def corners(obj):
    """All vertices of an object in the world, (N, 3)."""
    local = np.empty((len(obj.data.vertices), 3), np.float32)
    obj.data.vertices.foreach_get("co", local.ravel())
    matrix = np.array(obj.matrix_world)
    return local @ matrix[:3, :3].T + matrix[:3, 3]


def test_a_scan_is_zoomed_into_and_its_result_imported(scan, server_python, monkeypatch, tmp_path):
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    obj, values = scan
    scene, focus = bpy.context.scene, bpy.context.scene.cursor.location.copy()
    drawn = corners(obj)
    assert bpy.ops.dreamzoom.zoom_into(levels=2, frames_per_level=10) == {"FINISHED"}
    root = bpy.context.view_layer.objects.active
    root.dreamzoom.levels[1].prompt = "moss on stone"
    root.dreamzoom.quality, root.dreamzoom.size = "draft", 48
    root.dreamzoom.job_folder = str(tmp_path / "job")
    assert bpy.ops.dreamzoom.generate() == {"FINISHED"}
    done = pump_to_the_end()
    assert (done.status, done.error) == ("done", None)
    scene.frame_set(1)
    bpy.context.view_layer.update()

    # the scan is kept as it was and not shown twice: level 0's splats stand for it
    assert obj.name in bpy.data.objects and len(obj.data.vertices) == 4 * len(values)
    assert obj.hide_render
    empties = rig.level_empties(root)
    levels = [[one for one in rig.contents(empty) if one.type == "MESH" and one != obj] for empty in empties]
    before = empties[0].matrix_world.to_scale()[0]
    own = np.concatenate([corners(one) for one in levels[0]])
    middles = drawn.reshape(-1, 4, 3).mean(1)
    shown = own.reshape(-1, 4, 3).mean(1)
    nearest = np.array([np.linalg.norm(shown - middle, axis=1).min() for middle in middles])
    assert (nearest < 1e-3).all(), "every splat of the scan is in level 0, where it was"

    # the finer level lies at the focus, around it, and as small as its zoom says
    for empty in empties:
        assert (empty.matrix_world.translation - focus).length < 1e-4
    finer = np.concatenate([corners(one) for one in levels[1]])
    assert np.linalg.norm(finer.mean(0) - np.array(focus)) < 1.5
    assert finer.std(0).max() < drawn.std(0).max() * 1.2

    # the camera flies from where the artist looked from into the cursor
    camera = root.dreamzoom.camera
    assert scene.camera == camera
    assert (camera.matrix_world.translation - (PLACE + Vector((0, -4, 0)))).length < 1e-3
    scene.frame_set(scene.frame_end)
    bpy.context.view_layer.update()
    ahead = camera.matrix_world.to_quaternion() @ Vector((0, 0, -1))
    assert ahead.angle((focus - camera.matrix_world.translation).normalized()) < 1e-3
    assert empties[0].matrix_world.to_scale()[0] / before == pytest.approx(root.dreamzoom.zoom_factor, rel=1e-3)

    # what was found in the file is said with the result
    assert all("\n" not in line for line in root.dreamzoom.notes.split("\n"))

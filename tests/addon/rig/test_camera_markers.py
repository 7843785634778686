"""Cameras bound to timeline markers: From Camera follows them, and they do not take over the rig's render."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from addon import rig
from addon.rig.camera_paths import markers

POINTS = [(0.1, -0.2, 0.1), (0.3, 0.2, 0.0), (-0.2, 0.1, 0.3)]


def add_camera(name, place, lens, fit="AUTO"):
    scene = bpy.context.scene
    data = bpy.data.cameras.new(name)
    data.lens, data.sensor_fit, data.sensor_height = lens, fit, 20.0
    camera = bpy.data.objects.new(name, data)
    scene.collection.objects.link(camera)
    camera.location = place
    camera.rotation_euler = Vector(place).to_track_quat("Z", "Y").to_euler()
    return camera


@pytest.fixture
def bound(dreamzoom):
    """Two cameras, the second from frame 6 on, one with keys and another sensor fit."""
    scene = bpy.context.scene
    scene.frame_end = 10
    scene.render.resolution_x, scene.render.resolution_y = 320, 180
    first = add_camera("first", (0, -4, 3), 35)
    second = add_camera("second", (1, -2, 1), 60, "VERTICAL")
    for frame, x in ((6, 1.0), (10, 0.5)):
        second.location.x = x
        second.keyframe_insert("location", frame=frame)
    scene.timeline_markers.new("a", frame=1).camera = first
    scene.timeline_markers.new("b", frame=6).camera = second
    target = bpy.data.objects.new("target", None)
    scene.collection.objects.link(target)
    scene.camera = first
    scene.frame_set(1)
    return first, second


def seen(camera, points):
    found = np.array([world_to_camera_view(bpy.context.scene, camera, Vector(point)) for point in points])
    return found[:, :2] * (320, 180)


class TestFromCamera:
    def test_follows_all_bound_cameras_in_time(self, bound):
        scene = bpy.context.scene
        assert bpy.ops.dreamzoom.from_camera(target="target") == {"FINISHED"}
        root = bpy.context.view_layer.objects.active
        for frame in (1, 5, 6, 8, 10):
            scene.frame_set(frame)
            assert scene.camera == root.dreamzoom.camera, "a render shows the rig's camera on every frame"
            home = np.array(rig.level_empties(root)[0].matrix_world)
            grown = np.array(POINTS) * (home[0, 0] / root.scale[0]) + home[:3, 3]
            source = bound[0] if frame < 6 else bound[1]
            assert np.abs(seen(source, POINTS) - seen(root.dreamzoom.camera, grown)).max() < 0.05, frame

    def test_the_cut_lies_between_two_frames(self, bound):
        bpy.ops.dreamzoom.from_camera(target="target")
        root = bpy.context.view_layer.objects.active
        curve = rig.zoom_curve(root)
        assert curve.evaluate(5.9) == pytest.approx(curve.evaluate(5.0))

    def test_one_camera_can_be_chosen(self, bound):
        bpy.ops.dreamzoom.from_camera(camera="second", target="target")
        root = bpy.context.view_layer.objects.active
        assert root.dreamzoom.camera.data.lens == pytest.approx(60)

    def test_markers_need_not_be_followed(self, bound):
        bpy.ops.dreamzoom.from_camera(target="target", follow_markers=False)
        root = bpy.context.view_layer.objects.active
        assert root.dreamzoom.camera.data.lens == pytest.approx(35)


class TestShow:
    def test_a_new_rig_is_not_overtaken(self, bound):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.create_rig(levels=2, frames_per_level=12)
        root = bpy.context.view_layer.objects.active
        for frame in range(scene.frame_start, scene.frame_end + 1):
            scene.frame_set(frame)
            assert scene.camera == root.dreamzoom.camera

    def test_other_shots_keep_their_cameras(self, bound):
        scene, first = bpy.context.scene, bound[0]
        scene.timeline_markers.new("c", frame=40).camera = first
        other = add_camera("other", (3, 3, 3), 50)
        before = {frame: markers.camera_at(scene, frame) for frame in (0, 7, 9, 21, 30, 40, 50)}
        told = markers.show(scene, other, 10, 20)
        assert told
        assert {frame: markers.camera_at(scene, frame) for frame in before} == before
        assert {markers.camera_at(scene, frame) for frame in range(10, 21)} == {other}
        assert markers.show(scene, other, 10, 20) == ""

    def test_without_bound_cameras_no_marker_is_added(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=2)
        assert not bpy.context.scene.timeline_markers

    def test_is_what_blender_does(self, bound):
        scene = bpy.context.scene
        scene.timeline_markers["a"].frame = 3
        for frame in range(0, 12):
            wanted = markers.camera_at(scene, frame)
            scene.frame_set(frame)
            assert scene.camera == wanted

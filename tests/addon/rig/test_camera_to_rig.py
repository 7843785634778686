"""A keyframed camera becomes a rig that shows the same pictures, and a rig a plain camera."""

import math

import bpy
import numpy as np
import pytest

from addon import rig
from addon.rig import camera_to_rig, cameras

FOCUS = (0.3, -0.2, 0.1)
POINTS = [(0.3, -0.2, 0.1), (0.5, 0.1, 0.0), (-0.6, 0.4, 0.3), (0.31, -0.21, 0.12), (0.2, -0.5, -0.4)]
FRAMES = (1, 7, 12, 20, 30)


def curves_old(action, owner):
    """The form of files before Blender 4.4: all curves in the action itself."""
    return action.fcurves


def curves_slotted(action, owner):
    owner.animation_data.action = action
    slot = action.slots.new(owner.id_type, owner.name)
    strip = action.layers.new("layer").strips.new(type="KEYFRAME")
    owner.animation_data.action_slot = slot
    return strip.channelbag(slot, ensure=True).fcurves


FORMS = [curves_slotted] + ([curves_old] if bpy.app.version < (5, 0) else [])


def animate(owner, form, channels):
    """Key `owner` in the chosen form of action: {(path, index): {frame: value}}."""
    owner.animation_data_create()
    action = bpy.data.actions.new(owner.name)
    curves = form(action, owner)
    for (path, index), keys in channels.items():
        curve = curves.new(path, index=index)
        for frame, value in keys.items():
            curve.keyframe_points.insert(frame, value)
    owner.animation_data.action = action


def add(name, data=None, parent=None):
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    obj.parent = parent
    return obj


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def flying(dreamzoom, request):
    """A camera that a crane carries nearer while it tracks a moving target, its lens and shift keyed."""
    scene = bpy.context.scene
    scene.frame_end = 30
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080
    crane = add("crane")
    crane.location, crane.scale = FOCUS, (1.5, 1.5, 1.5)
    camera = add("camera", bpy.data.cameras.new("camera"), crane)
    target = add("target")
    target.location = FOCUS
    animate(crane, request.param, {("rotation_euler", 2): {1: 0, 30: 1.2}})
    away = {1: -4.0, 15: -1.3, 30: -0.06}
    animate(camera, request.param, {("location", 1): away, ("location", 2): {1: 3.0, 30: 0.05}})
    animate(target, request.param, {("location", 0): {1: 0.6, 30: 0.3}})
    animate(camera.data, request.param, {("lens", 0): {1: 24, 30: 60}, ("shift_x", 0): {1: 0.0, 30: 0.12}})
    follow = camera.constraints.new("TRACK_TO")
    follow.target, follow.track_axis, follow.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    scene.camera = camera
    for index, point in enumerate(POINTS):
        add(f"point {index}").location = point
    bpy.context.view_layer.update()
    return camera


def points():
    return [bpy.data.objects[f"point {index}"] for index in range(len(POINTS))]


def pixels(camera, objects):
    """Where the camera sees the objects' origins, (N, 2), by what the scene evaluates now."""
    scene, graph = bpy.context.scene, bpy.context.evaluated_depsgraph_get()
    seen = camera.evaluated_get(graph)
    view = cameras.intrinsics_of(seen.data, scene.render, 1920, 1080)
    pose = cameras.pose_in_gauge(np.array(seen.matrix_world), np.eye(4))
    places = np.array([obj.evaluated_get(graph).matrix_world.translation for obj in objects])
    local = (places - pose[:3, 3]) @ pose[:3, :3]
    return local[:, :2] / local[:, 2:] * (view.fx, view.fy) + (view.cx, view.cy)


def film(camera, objects):
    found = {}
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        found[frame] = pixels(camera, objects)
    return found


def largest_difference(one, other):
    return max(np.abs(one[frame] - other[frame]).max() for frame in one)


def convert(camera, **options):
    before = film(camera, points())
    bpy.context.scene.frame_set(1)
    for obj in points():
        obj.select_set(True)
    bpy.context.view_layer.objects.active = camera
    point = add("focus")
    point.location = FOCUS
    bpy.context.view_layer.update()
    bpy.ops.dreamzoom.from_camera(target="focus", **options)
    return before, rig.active_rig(bpy.context)


class TestFromCamera:
    def test_shows_the_same_pictures(self, flying):
        before, root = convert(flying)
        made = root.dreamzoom.camera
        assert made != flying and bpy.context.scene.camera == made
        assert largest_difference(before, film(made, points())) < 0.05
        assert all(rig.rig_of(obj) == root for obj in points())

    def test_the_original_camera_stays(self, flying):
        target = bpy.data.objects["target"]
        before = film(flying, [target])
        convert(flying)
        assert largest_difference(before, film(flying, [target])) == 0

    def test_the_zoom_follows_distance_and_lens(self, flying):
        _, root = convert(flying, zoom_factor=3.0)
        scene = bpy.context.scene
        found = []
        for frame in (1, 30):
            scene.frame_set(frame)
            away = np.linalg.norm(np.array(flying.matrix_world.translation) - FOCUS)
            found.append((root["zoom"], flying.data.lens / away))
        assert found[1][0] - found[0][0] == pytest.approx(math.log(found[1][1] / found[0][1], 3), abs=1e-4)
        assert len(root.dreamzoom.levels) == math.ceil(found[1][0]) + 1

    def test_the_camera_keeps_its_distance_in_the_gauge(self, flying):
        _, root = convert(flying)
        scene, made = bpy.context.scene, root.dreamzoom.camera
        for frame in FRAMES:
            scene.frame_set(frame)
            lens = 2 * made.data.lens / made.data.sensor_width
            assert made.location.length == pytest.approx(lens, rel=1e-4)

    def test_the_request_has_the_same_cameras(self, flying):
        from addon.scene.request import build_request

        _, root = convert(flying)
        keys = build_request(root, bpy.context.scene, bpy.context.view_layer)["cameras"]
        assert len(keys) == 30 and keys[0]["zoom"] == pytest.approx(0, abs=1e-6)

    def test_depth_of_field_looks_the_same(self, flying):
        flying.data.dof.use_dof = True
        flying.data.dof.focus_object = bpy.data.objects["point 2"]
        flying.data.dof.aperture_fstop = 2.0
        scene = bpy.context.scene
        scene.frame_set(20)
        forward = -flying.matrix_world.to_3x3().col[2].normalized()
        away = abs(forward.dot(bpy.data.objects["point 2"].matrix_world.translation - flying.matrix_world.translation))
        _, root = convert(flying)
        scene.frame_set(20)
        ratio, made = 2.0 ** root["zoom"], root.dreamzoom.camera.data.dof
        assert made.focus_object is None and made.focus_distance == pytest.approx(away * ratio, rel=1e-4)
        assert made.aperture_fstop == pytest.approx(2.0 / ratio, rel=1e-4)

    def test_a_camera_that_comes_to_its_focus_is_refused_with_the_frame(self, flying):
        last = add("last")
        bpy.context.scene.frame_set(30)
        last.location = flying.matrix_world.translation
        bpy.context.scene.frame_set(1)
        objects = set(bpy.data.objects)
        with pytest.raises(RuntimeError, match="at frame 30.*lies beyond"):
            bpy.ops.dreamzoom.from_camera(camera="camera", target="last")
        assert set(bpy.data.objects) == objects and bpy.context.scene.frame_current == 1

    def test_an_orthographic_camera_is_refused(self, flying):
        flying.data.type = "ORTHO"
        with pytest.raises(RuntimeError, match="Perspective"):
            bpy.ops.dreamzoom.from_camera(camera="camera", target="target")

    def test_a_rig_s_own_camera_is_no_source(self, root):
        bpy.context.view_layer.objects.active = root.dreamzoom.camera
        assert not bpy.ops.dreamzoom.from_camera.poll()

    def test_undo_and_redo(self, flying):
        bpy.ops.ed.undo_push(message="before")
        convert(flying)
        bpy.ops.ed.undo_push(message="converted")
        bpy.ops.ed.undo()
        assert not any(rig.is_rig(obj) for obj in bpy.data.objects)
        assert bpy.data.objects["point 0"].parent is None
        bpy.ops.ed.redo()
        assert sum(rig.is_rig(obj) for obj in bpy.data.objects) == 1
        assert bpy.data.objects["point 0"].parent is not None


class TestFindFocus:
    def find(self, camera):
        return tuple(camera_to_rig.find_focus(bpy.context.scene, bpy.context.view_layer, camera))

    def test_what_it_tracks(self, flying):
        assert self.find(flying) == pytest.approx(FOCUS)

    def test_a_chosen_object_counts_as_it_lies_on_the_last_frame(self, flying):
        bpy.context.scene.frame_set(1)
        found = camera_to_rig.find_focus(bpy.context.scene, bpy.context.view_layer, flying, bpy.data.objects["target"])
        assert tuple(found) == pytest.approx(FOCUS) and bpy.context.scene.frame_current == 1

    def test_what_it_focuses_on_comes_first(self, flying):
        flying.data.dof.focus_object = bpy.data.objects["point 2"]
        assert self.find(flying) == pytest.approx(POINTS[2])

    def test_what_the_last_frame_shows_in_the_middle(self, flying):
        flying.constraints.clear()
        flying.parent = None
        flying.animation_data_clear()
        flying.location, flying.rotation_euler = (0, 0, 5), (0, 0, 0)
        mesh = bpy.data.meshes.new("floor")
        mesh.from_pydata([(-1, -1, 1), (1, -1, 1), (0, 1, 1)], [], [(0, 1, 2)])
        add("floor", mesh)
        bpy.context.view_layer.update()
        assert self.find(flying) == pytest.approx((0, 0, 1))
        bpy.data.objects.remove(bpy.data.objects["floor"])
        bpy.context.scene.cursor.location = (0.1, 0, 2)
        assert self.find(flying) == pytest.approx((0.1, 0, 2))
        bpy.context.scene.cursor.location = (0, 0, 8)
        with pytest.raises(camera_to_rig.DreamzoomError, match="not clear") as caught:
            self.find(flying)
        assert "3D cursor" in caught.value.remedy


class TestToCamera:
    def test_there_and_back(self, flying):
        before, root = convert(flying)
        bpy.ops.dreamzoom.to_camera()
        plain = bpy.context.view_layer.objects.active
        assert plain.parent is None and rig.rig_of(plain) is None
        root.animation_data_clear()
        root["zoom"] = 0.0
        root.update_tag()
        assert largest_difference(before, film(plain, points())) < 0.05

    def test_a_drifting_focus_and_an_orbit(self, root):
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = 1920, 1080
        root.location, root.scale = (1, 2, 0.5), (2, 2, 2)
        root.dreamzoom.levels[0].focus, root.dreamzoom.levels[1].focus = (0.2, -0.1, 0.05), (-0.3, 0.15, 0)
        seen = [add(f"seen {index}", parent=rig.level_empties(root)[0]) for index in range(3)]
        for obj, place in zip(seen, [(0.1, 0, 0), (-0.3, 0.2, 0.1), (0.15, -0.1, 0.3)]):
            obj.location = place
        expected = {frame: pixels(root.dreamzoom.camera, seen) for frame in FRAMES if not scene.frame_set(frame)}
        bpy.ops.dreamzoom.to_camera()
        plain = bpy.context.view_layer.objects.active
        root.animation_data_clear()
        root["zoom"] = 0.0
        root.update_tag()
        found = {frame: pixels(plain, seen) for frame in FRAMES if not scene.frame_set(frame)}
        assert largest_difference(expected, found) < 0.05

    def test_what_single_precision_can_t_hold_is_refused_with_the_frame(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=20, frames_per_level=2)
        objects = set(bpy.data.objects)
        with pytest.raises(RuntimeError, match=r"At frame \d+ the zoom is 1\d.*Keep the rig"):
            bpy.ops.dreamzoom.to_camera()
        assert set(bpy.data.objects) == objects

    def test_undo(self, root):
        bpy.ops.ed.undo_push(message="before")
        count = len(bpy.data.cameras)
        bpy.ops.dreamzoom.to_camera()
        bpy.ops.ed.undo_push(message="made")
        bpy.ops.ed.undo()
        assert len(bpy.data.cameras) == count
        bpy.ops.ed.redo()
        assert len(bpy.data.cameras) == count + 1

"""The flight's keys: exact timing, and never rewritten once the artist has touched them."""

import math

import bpy
import numpy as np
import pytest

from addon import rig
from addon.rig import flight_keys


def values(root):
    scene = bpy.context.scene
    first, last = rig.flight_range(root)
    return np.array([rig.zoom_curve(root).evaluate(frame) for frame in range(first, last + 1)]), scene


def shape(root):
    return [
        (*point.co, point.interpolation, *point.handle_left, *point.handle_right)
        for point in rig.zoom_curve(root).keyframe_points
    ]


class TestTiming:
    def test_six_seconds_are_six_seconds(self, root):
        bpy.context.scene.render.fps = 24
        root.dreamzoom.keep = "LENGTH"
        root.dreamzoom.seconds = 6.0
        assert root.dreamzoom.length == 144 and rig.frame_range(root) == (1, 144)
        assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 144)
        bpy.ops.dreamzoom.level_add()
        assert rig.frame_range(root) == (1, 144) and values(root)[0][-1] == 4
        root.dreamzoom.loop = True
        assert rig.frame_range(root) == (1, 144)

    def test_length_begins_as_the_flight_is(self, root):
        root.dreamzoom.keep = "LENGTH"
        assert root.dreamzoom.length == 37 and rig.frame_range(root) == (1, 37)

    @pytest.mark.parametrize(("ease_in", "ease_out"), [(0.3, 0.0), (0.0, 0.4), (0.25, 0.5), (0.8, 0.8), (1, 0), (0, 1)])
    def test_easing_is_a_constant_acceleration_from_rest(self, root, ease_in, ease_out):
        root.dreamzoom.frames_per_level = 100
        root.dreamzoom.ease_in, root.dreamzoom.ease_out = ease_in, ease_out
        zooms, _ = values(root)
        assert zooms[0] == 0 and zooms[-1] == pytest.approx(3)
        speed, share = np.diff(zooms), 1 / max(ease_in + ease_out, 1)
        assert (speed > -1e-6).all()
        assert speed.max() == pytest.approx(3 / 300 / (1 - share * (ease_in + ease_out) / 2), rel=0.01)
        if ease_in:
            frames = int(300 * ease_in * share)
            assert np.allclose(np.diff(speed[1 : frames - 1]), speed.max() / (300 * ease_in * share), rtol=0.02)
        if ease_out:
            assert speed[-1] < 0.02 * speed.max()

    def test_out_is_in_turned_round(self, root):
        root.dreamzoom.ease_in = 0.5
        into, _ = values(root)
        root.dreamzoom.direction = "OUT"
        assert np.allclose(values(root)[0], 3 - into, atol=1e-5)

    def test_it_rests_at_the_levels_between(self, root):
        root.dreamzoom.keep, root.dreamzoom.length = "LENGTH", 121
        root.dreamzoom.hold, root.dreamzoom.ease_in, root.dreamzoom.ease_out = 15, 0.5, 0.5
        zooms, _ = values(root)
        assert [int((zooms == level).sum()) for level in (1, 2)] == [16, 16]
        assert zooms[0] == 0 and zooms[-1] == 3 and (np.diff(zooms) >= -1e-6).all()

    def test_a_rest_longer_than_the_flight_leaves_it_a_flight(self):
        found = flight_keys.keys(1, 10, 5.0, hold=500, ease_in=0.3)
        frames = [key.point[0] for key in found]
        assert frames == sorted(frames) and frames[-1] == 10 and all(map(math.isfinite, frames))

    def test_a_loop_that_zooms_out_is_sent_from_its_first_level(self, root):
        from addon.scene import request

        root.dreamzoom.loop, root.dreamzoom.direction = True, "OUT"
        sent = request.build_request(root, bpy.context.scene, bpy.context.view_layer)
        zooms = [key["zoom"] for key in sent["cameras"]]
        assert 0 <= min(zooms) < 0.2 and max(zooms) == 4 and len(zooms) == 48


class TestScenes:
    """Frame rates, ranges and scenes as they may be."""

    def test_all_scenes_that_show_the_flight_follow_its_length(self, root):
        first = bpy.context.scene
        second = bpy.data.scenes.new("second")
        second.collection.children.link(root.dreamzoom.collection)
        second.frame_start, second.frame_end = first.frame_start, first.frame_end
        third = bpy.data.scenes.new("third")
        third.frame_end = first.frame_end
        root.dreamzoom.frames_per_level = 20
        assert first.frame_end == second.frame_end == 61 and third.frame_end == 37

    def test_a_range_of_the_artist_is_left_alone(self, root):
        scene = bpy.context.scene
        scene.frame_start, scene.frame_end = 5, 20
        root.dreamzoom.frames_per_level = 20
        assert (scene.frame_start, scene.frame_end) == (5, 20)

    @pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (30, 1.001), (25, 1.0), (120, 1.0), (1, 1.0)])
    def test_seconds_at_any_frame_rate(self, root, fps, base):
        render = bpy.context.scene.render
        render.fps, render.fps_base = fps, base
        root.dreamzoom.keep = "LENGTH"
        root.dreamzoom.seconds = 6.0
        assert root.dreamzoom.length == round(6 * fps / base)
        assert abs(root.dreamzoom.seconds - 6) <= 0.5 * base / fps + 1e-6

    def test_a_flight_from_frame_0_with_a_frame_step(self, dreamzoom):
        """Each frame is dreamed, also those that a quick render leaves out."""
        from addon.scene import request

        scene = bpy.context.scene
        scene.frame_start, scene.frame_step = 0, 3
        bpy.ops.dreamzoom.create_rig(levels=3, frames_per_level=10)
        root = rig.active_rig(bpy.context)
        assert rig.frame_range(root) == (0, 20) and scene.frame_end == 20
        sent = request.build_request(root, scene, bpy.context.view_layer)["cameras"]
        assert [key["frame"] for key in sent] == list(range(21))
        assert (sent[0]["zoom"], sent[-1]["zoom"]) == (0, 2)

    def test_a_rig_that_is_parented_turned_and_scaled_sends_the_same_views(self, root):
        from addon.scene import request

        scene, layer = bpy.context.scene, bpy.context.view_layer
        before = request.build_request(root, scene, layer)["cameras"]
        above = bpy.data.objects.new("above", None)
        scene.collection.objects.link(above)
        above.location, above.scale, above.rotation_euler = (9, -3, 2), (40, 40, 40), (0.3, 0.2, 1.0)
        root.parent = above
        layer.update()
        after = request.build_request(root, scene, layer)["cameras"]
        for one, other in zip(before, after):
            assert np.allclose(one["camera_to_gauge"], other["camera_to_gauge"], atol=2e-4)


def reversed_keys(root):
    for frame, zoom in ((1, 3.0), (37, 0.0)):
        root["zoom"] = zoom
        root.keyframe_insert(rig.ZOOM, frame=frame)


def bezier(root):
    for point in rig.zoom_curve(root).keyframe_points:
        point.interpolation = "BEZIER"


def moved(root):
    rig.zoom_curve(root).keyframe_points[1].co.x += 5


def modified(root):
    rig.zoom_curve(root).modifiers.new("NOISE")


def extrapolated(root):
    rig.zoom_curve(root).extrapolation = "LINEAR"


def one_key(root):
    points = rig.zoom_curve(root).keyframe_points
    points.remove(points[1])


def other_action(root):
    root.animation_data.action = None
    reversed_keys(root)


EDITS = [reversed_keys, bezier, moved, modified, extrapolated, one_key, other_action]


class TestTheArtistsKeys:
    @pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
    def test_are_never_rewritten(self, root, edit):
        edit(root)
        before = shape(root)
        assert rig.is_keyed_by_artist(root)
        root.dreamzoom.frames_per_level = 20
        root.dreamzoom.ease_in = 0.5
        bpy.ops.dreamzoom.level_add()
        root.dreamzoom.loop = True
        root.dreamzoom.direction = "OUT"
        bpy.ops.dreamzoom.level_remove()
        assert shape(root) == before

    def test_nor_is_an_nla_strip_or_a_driver(self, root):
        track = root.animation_data.nla_tracks.new()
        track.strips.new("flight", 1, root.animation_data.action)
        root.animation_data.action = None
        root.dreamzoom.frames_per_level = 20
        assert root.animation_data.action is None and rig.is_keyed_by_artist(root)
        root.animation_data_clear()
        root.driver_add(rig.ZOOM).driver.expression = "frame / 10"
        root.dreamzoom.frames_per_level = 30
        assert rig.zoom_curve(root) is None and not bpy.ops.dreamzoom.key_flight.poll()

    def test_nor_is_a_locked_curve(self, root):
        rig.zoom_curve(root).lock = True
        before = shape(root)
        root.dreamzoom.frames_per_level = 20
        bpy.ops.dreamzoom.level_add()
        assert shape(root) == before and rig.is_keyed_by_artist(root)

    @pytest.mark.parametrize("how", ["one slot", "two slots", "fake user"])
    def test_an_action_that_another_object_uses_stays_as_it_is(self, root, how):
        """Linked copies of an object share its action; each may have a slot of its own."""
        action = root.animation_data.action
        if how == "fake user":
            action.use_fake_user = True
        else:
            other = root.copy()
            bpy.context.scene.collection.objects.link(other)
            if how == "two slots":
                other.animation_data.action_slot = action.slots.new("OBJECT", "other")
                other.keyframe_insert(rig.ZOOM, frame=5)
            else:
                assert other.animation_data.action == action
            theirs = shape(other)
        before = rig.frame_range(root)
        root.dreamzoom.frames_per_level = 20
        assert rig.frame_range(root) == (1, 61) != before
        if how == "fake user":
            assert root.animation_data.action == action
        else:
            assert shape(other) == theirs and root.animation_data.action != other.animation_data.action
            assert not rig.is_keyed_by_artist(root)

    def test_key_flight_replaces_them_when_it_is_asked_to(self, root):
        reversed_keys(root)
        assert bpy.ops.dreamzoom.key_flight() == {"FINISHED"}
        assert not rig.is_keyed_by_artist(root) and values(root)[0][0] == 0
        root.dreamzoom.frames_per_level = 10
        assert rig.frame_range(root) == (1, 31)

    def test_ours_are_known_again_in_a_saved_file_and_in_a_copy(self, root, tmp_path):
        root.dreamzoom.ease_in, root.dreamzoom.hold = 0.37, 3
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flight.blend"))
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "flight.blend"))
        root = rig.active_rig(bpy.context)
        assert not rig.is_keyed_by_artist(root)
        bpy.ops.dreamzoom.duplicate_rig()
        assert not rig.is_keyed_by_artist(rig.active_rig(bpy.context))

    def test_a_rig_from_a_camera_has_keys_of_the_artist(self, dreamzoom):
        scene = bpy.context.scene
        camera = bpy.data.objects.new("plain", bpy.data.cameras.new("plain"))
        scene.collection.objects.link(camera)
        scene.camera, scene.frame_end = camera, 20
        for frame, distance in ((1, 9), (20, 3)):
            camera.location.z = distance
            camera.keyframe_insert("location", frame=frame)
        bpy.ops.dreamzoom.from_camera()
        root = rig.active_rig(bpy.context)
        before = shape(root)
        root.dreamzoom.frames_per_level = 7
        assert shape(root) == before and rig.is_keyed_by_artist(root)

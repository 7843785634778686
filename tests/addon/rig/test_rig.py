"""The rig turns the zoom into motion, without the add-on too."""

import math
import os
import subprocess
import sys

import bpy
import numpy as np
import pytest

from addon import rig
from addon.rig import builder, zoom_path
from dreamzoom.geometry.zoom_path import ZoomPath

FOCUSES = [(0.2, -0.1, 0.05), (-0.3, 0.15, 0.0), (0.1, 0.25, -0.1), (0.05, -0.2, 0.1)]


def set_zoom(root, zoom):
    root.animation_data_clear()
    root["zoom"] = float(zoom)
    root.update_tag()
    bpy.context.view_layer.update()


def drivers(root):
    objects = [root, *root.children_recursive]
    return [curve for obj in objects if obj.animation_data for curve in obj.animation_data.drivers]


def add_content(root, level, superseded=False):
    mesh = bpy.data.meshes.new("content")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new("content", mesh)
    bpy.context.scene.collection.objects.link(obj)
    rig.attach(root, obj, level, superseded)
    return obj


def is_shown(obj):
    graph = bpy.context.evaluated_depsgraph_get()
    return any(instance.object.original == obj for instance in graph.object_instances)


class TestCreateRig:
    def test_is_placed_at_the_cursor(self, dreamzoom):
        bpy.context.scene.cursor.location = (1, 2, 3)
        bpy.ops.dreamzoom.create_rig()
        assert tuple(bpy.context.view_layer.objects.active.location) == (1, 2, 3)

    def test_is_placed_at_a_target(self, dreamzoom):
        target = bpy.data.objects.new("leaf", None)
        target.location = (4, 5, 6)
        bpy.context.scene.collection.objects.link(target)
        bpy.context.view_layer.update()
        bpy.ops.dreamzoom.create_rig(target="leaf")
        assert tuple(bpy.context.view_layer.objects.active.location) == (4, 5, 6)

    def test_flies_at_constant_speed_to_the_last_level(self, root):
        scene = bpy.context.scene
        zooms = []
        for frame in range(scene.frame_start, scene.frame_end + 1):
            scene.frame_set(frame)
            zooms.append(root["zoom"])
        assert zooms[0] == 0 and zooms[-1] == 3
        assert np.allclose(np.diff(zooms), 1 / 12, atol=1e-6)

    def test_the_camera_looks_at_the_focus_all_the_way(self, root):
        scene = bpy.context.scene
        camera = root.dreamzoom.camera
        assert scene.camera == camera
        for frame in (1, 9, 22, 37):
            scene.frame_set(frame)
            local = np.linalg.inv(np.array(camera.matrix_world)) @ (0, 0, 0, 1)
            assert np.allclose(local, (0, 0, -3, 1), atol=1e-5)

    def test_the_camera_orbits(self, root):
        scene = bpy.context.scene
        scene.frame_set(1)
        before = root.dreamzoom.camera.matrix_world.translation.copy()
        scene.frame_set(13)
        after = root.dreamzoom.camera.matrix_world.translation
        turned = math.atan2(after.y, after.x) - math.atan2(before.y, before.x)
        assert turned == pytest.approx(builder.ORBIT_PER_LEVEL, abs=1e-5)

    def test_several_rigs_in_a_scene_are_independent(self, root):
        bpy.ops.dreamzoom.create_rig(levels=2)
        other = bpy.context.view_layer.objects.active
        assert other != root and other.dreamzoom.collection != root.dreamzoom.collection
        set_zoom(root, 2)
        set_zoom(other, 0)
        assert rig.level_empties(root)[0].scale.x == pytest.approx(4)
        assert rig.level_empties(other)[0].scale.x == pytest.approx(1)

    def test_can_be_undone(self, dreamzoom):
        bpy.ops.ed.undo_push(message="before")
        bpy.ops.dreamzoom.create_rig()
        bpy.ops.ed.undo_push(message="after")
        bpy.ops.ed.undo()
        assert not any(rig.is_rig(obj) for obj in bpy.data.objects)


class TestDrivers:
    def test_all_are_simple_expressions(self, root):
        for level in range(4):
            add_content(root, level)
            add_content(root, level, superseded=True)
        root.dreamzoom.levels[0].focus = (0.1, 0.1, 0)
        assert len(drivers(root)) > 40
        assert all(curve.driver.is_simple_expression for curve in drivers(root))

    @pytest.mark.parametrize("factor", [2.0, 3.3])
    def test_levels_grow_as_they_must(self, root, factor):
        root.dreamzoom.zoom_factor = factor
        for zoom in (-0.5, 0, 1.25, 3.5):
            set_zoom(root, zoom)
            for level, empty in enumerate(rig.level_empties(root)):
                assert empty.scale.x == pytest.approx(factor ** (zoom - level), rel=1e-5)

    def test_at_zoom_40_the_level_is_as_exact_as_at_0(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=41)
        root = bpy.context.view_layer.objects.active
        set_zoom(root, 39.6)
        assert rig.level_empties(root)[40].scale.x == pytest.approx(2**-0.4, rel=1e-5)

    def test_a_drifting_focus_is_the_server_s_path(self, root):
        for item, focus in zip(root.dreamzoom.levels, FOCUSES):
            item.focus = focus
        server = ZoomPath(2.0, np.array([tuple(item.focus) for item in root.dreamzoom.levels], np.float64), ())
        for zoom in (0, 0.3, 1, 1.7, 2.5, 3, 3.9):
            set_zoom(root, zoom)
            for level, empty in enumerate(rig.level_empties(root)):
                expected = server.gauge(zoom, level).inverse()
                assert np.allclose(empty.location, expected.apply(np.zeros(3)), atol=2e-6 * max(1, expected.scale))

    def test_a_straight_zoom_needs_no_place_drivers(self, root):
        root.dreamzoom.levels[0].focus = (0.1, 0, 0)
        root.dreamzoom.levels[0].focus = (0, 0, 0)
        assert not [curve for curve in drivers(root) if curve.data_path == "location"]

    @pytest.mark.parametrize("superseded", [False, True])
    def test_the_drivers_fade_and_hide_as_the_server_does(self, root, superseded):
        contents = [add_content(root, level, superseded) for level in range(4)]
        server = ZoomPath(2.0, np.zeros((4, 3)), ())
        for zoom in np.linspace(-0.513, 3.987, 91):
            set_zoom(root, zoom)
            for level, obj in enumerate(contents):
                first, last = zoom_path.window(2.0, level, superseded)
                expected = server.opacity(zoom, level, superseded)
                assert is_shown(obj) == (first < zoom < last)
                assert (obj.color[3] if is_shown(obj) else 0) == pytest.approx(expected, abs=1e-5)

    def test_long_past_levels_are_hidden(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=20)
        root = bpy.context.view_layer.objects.active
        obj = add_content(root, 2)
        set_zoom(root, 19)
        assert not is_shown(obj)


class TestLevels:
    def test_adding_a_level_lengthens_the_flight_and_the_frame_range(self, root):
        scene = bpy.context.scene
        root.dreamzoom.active_level = 1
        bpy.ops.dreamzoom.level_add()
        assert [item.prompt for item in root.dreamzoom.levels] == ["prompt 0", "prompt 1", "", "prompt 2", "prompt 3"]
        assert len(rig.level_empties(root)) == 5
        assert rig.flight_range(root) == (1, 49) == (scene.frame_start, scene.frame_end)

    def test_a_flight_of_the_artist_s_own_stays(self, root):
        root["zoom"] = 1.0
        root.keyframe_insert(rig.ZOOM, frame=20)
        bpy.ops.dreamzoom.level_add()
        assert rig.flight_range(root) == (1, 37)
        assert len(rig.zoom_curve(root).keyframe_points) == 3

    def test_removing_a_level_takes_its_content_away(self, root):
        add_content(root, 3)
        root.dreamzoom.active_level = 3
        bpy.ops.dreamzoom.level_remove()
        assert len(rig.level_empties(root)) == 3
        assert "content" not in bpy.data.objects and "content" not in bpy.data.meshes

    def test_moving(self, root):
        root.dreamzoom.active_level = 0
        bpy.ops.dreamzoom.level_move(direction="DOWN")
        assert [item.prompt for item in root.dreamzoom.levels][:2] == ["prompt 1", "prompt 0"]
        assert root.dreamzoom.active_level == 1

    def test_the_last_level_stays(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=1)
        assert not bpy.ops.dreamzoom.level_remove.poll()


WITHOUT_ADDON = """
import bpy, os, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[1], use_scripts=False)
assert not hasattr(bpy.types.Object, "dreamzoom")
bpy.context.scene.frame_set(25)
levels = sorted((obj for obj in bpy.data.objects if "dreamzoom_level" in obj), key=lambda obj: obj["dreamzoom_level"])
print([round(obj.scale.x, 4) for obj in levels], flush=True)
os._exit(0)
"""


class TestWithoutTheAddon:
    def test_a_saved_file_flies_on(self, root, tmp_path):
        file = tmp_path / "flight.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(file))
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_ADDON, str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        assert "[4.0, 2.0, 1.0, 0.5]" in done.stdout, done.stderr

    def test_a_saved_file_has_its_settings_again(self, root, tmp_path):
        root.dreamzoom.levels[2].focus = (0.1, 0.2, 0.3)
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flight.blend"))
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "flight.blend"))
        root = rig.active_rig(bpy.context)
        assert [item.prompt for item in root.dreamzoom.levels][3] == "prompt 3"
        assert root.dreamzoom.camera.type == "CAMERA"
        assert root.dreamzoom.levels[2].focus[1] == pytest.approx(0.2)

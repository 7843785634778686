"""A loop: the rig shows at its end what it shows at its beginning, and flies on from there."""

import bpy
import numpy as np
import pytest

from addon import rig
from addon.core import fading
from addon.rig import zoom_path
from addon.scene import request
from dreamzoom.geometry.zoom_path import ZoomPath

FOCUSES = [(0.2, -0.1, 0.05), (-0.3, 0.15, 0.0), (0.1, 0.25, -0.1), (0.05, -0.2, 0.1)]


@pytest.fixture
def looped(root):
    """A looping rig of four levels with drifting focuses, and something to see under each."""
    for item, focus in zip(root.dreamzoom.levels, FOCUSES):
        item.focus = focus
    root.dreamzoom.loop = True
    for level in range(4):
        for superseded in (False, True):
            mesh = bpy.data.meshes.new("content")
            mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
            obj = bpy.data.objects.new(f"content {level} {superseded}", mesh)
            bpy.context.scene.collection.objects.link(obj)
            rig.attach(root, obj, level, superseded)
    return root


def shown(root):
    """All that is to be seen now: by name, place and opacity; what is all but transparent is left out."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = {}
    for instance in graph.object_instances:
        obj = instance.object
        if rig.CONTENT in obj and obj.color[3] > 1e-4:
            found[obj.name] = np.array([*np.array(obj.matrix_world).ravel(), obj.color[3]])
    camera = root.dreamzoom.camera.evaluated_get(graph)
    found["camera"] = np.array(camera.matrix_world).ravel()
    return found


def at(root, zoom):
    root.animation_data_clear()
    root["zoom"] = zoom
    root.update_tag()
    bpy.context.view_layer.update()
    return shown(root)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert np.allclose(values, other[name], atol=2e-4), name


class TestLoop:
    def test_first_and_last_frame_show_the_same(self, looped):
        scene = bpy.context.scene
        first, last = rig.flight_range(looped)
        assert last - first == 4 * 12
        scene.frame_set(first)
        beginning = shown(looped)
        scene.frame_set(last)
        assert looped["zoom"] == pytest.approx(4)
        assert len(beginning) > 3
        assert_same(beginning, shown(looped))

    def test_flies_on_without_end(self, looped):
        scene = bpy.context.scene
        for frame in (5, 17, 40):
            scene.frame_set(frame)
            now = shown(looped)
            scene.frame_set(frame + 3 * 48)
            assert_same(now, shown(looped))

    def test_the_frame_range_leaves_the_double_out(self, looped):
        scene = bpy.context.scene
        assert (scene.frame_start, scene.frame_end) == (1, 48)
        bpy.ops.dreamzoom.level_add()
        assert (scene.frame_start, scene.frame_end) == (1, 60)
        looped.dreamzoom.loop = False
        assert (scene.frame_start, scene.frame_end) == (1, 49) == rig.flight_range(looped)

    def test_all_drivers_are_simple_expressions(self, looped):
        objects = [looped, *looped.children_recursive]
        curves = [curve for obj in objects if obj.animation_data for curve in obj.animation_data.drivers]
        assert all(curve.driver.is_simple_expression for curve in curves)
        assert all(len(curve.driver.expression) < 250 for curve in curves)

    def test_nothing_that_is_seen_comes_or_goes_at_once(self, looped):
        step = 1e-3
        for begin in np.arange(0, 4, 0.25):
            before, after = at(looped, begin - step), at(looped, begin + step)
            for name in before.keys() ^ after.keys():
                there = before.get(name, after.get(name))
                level = int(name.split()[1])
                size = np.linalg.norm(there[:3])
                assert there[-1] < 1e-3 or size > 2**2.5 * 0.9, (name, level, begin)

    def test_a_drifting_focus_is_the_server_s_path(self, looped):
        server = ZoomPath(2.0, np.array(FOCUSES), (), loop=True)
        for zoom in (0.2, 1.0, 2.6, 3.5, 3.9):
            at(looped, zoom)
            for level, empty in enumerate(rig.level_empties(looped)):
                own = level + 4 * int(np.floor((zoom - level + 1 - fading.OPENS_FROM) / 4))
                expected = server.gauge(zoom, own).inverse()
                assert empty.scale.x == pytest.approx(expected.scale, rel=1e-4)
                assert np.allclose(empty.location, expected.apply(np.zeros(3)), atol=1e-5 * max(1, expected.scale))

    def test_switched_off_it_is_as_before(self, looped):
        looped.dreamzoom.loop = False
        for zoom in (0, 1.7, 3):
            at(looped, zoom)
            for level, empty in enumerate(rig.level_empties(looped)):
                assert empty.scale.x == pytest.approx(2 ** (zoom - level), rel=1e-5)
                for obj in rig.contents(empty):
                    first, last = zoom_path.window(2.0, level, obj[rig.CONTENT] == "superseded")
                    assert obj.hide_render == (not first < zoom <= last)

    def test_a_single_level_does_not_loop(self, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=1)
        root = bpy.context.view_layer.objects.active
        root.dreamzoom.loop = True
        assert not rig.loops(root) and rig.flight_depth(root) == 0


class TestRequest:
    def test_tells_of_the_loop_and_of_one_time_round(self, looped):
        built = request.build_request(looped, bpy.context.scene, bpy.context.view_layer)
        zooms = [key["zoom"] for key in built["cameras"]]
        assert built["loop"] and zooms[0] == 0 and zooms[-1] == pytest.approx(4 - 1 / 12)
        bpy.context.scene.frame_start, bpy.context.scene.frame_end = 49, 140
        again = request.build_request(looped, bpy.context.scene, bpy.context.view_layer)
        assert [key["zoom"] for key in again["cameras"]] == pytest.approx([*zooms, 4.0], abs=1e-4)

    def test_no_loop_is_not_told(self, root):
        assert "loop" not in request.build_request(root, bpy.context.scene, bpy.context.view_layer)

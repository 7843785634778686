"""What stands in the way of a flight is named, and hidden with one button."""

import bpy
import pytest

from addon.scene import occluders


@pytest.fixture
def cube(root):
    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.object


def found(root):
    bpy.context.view_layer.update()
    return occluders.find(root, bpy.context.scene)


def test_a_new_file_s_cube_is_in_the_way(root, cube):
    assert found(root) == [cube]


def test_a_large_ground_below_the_focus_is_not_and_one_through_it_is(root, cube):
    cube.scale = (50, 50, 0.01)
    cube.location.z = -3
    assert not found(root)
    cube.location.z = -0.5
    assert found(root) == [cube]


def test_it_counts_in_the_rig_s_own_size(root, cube):
    cube.location.x = 4
    assert not found(root)
    root.scale = (5, 5, 5)
    assert found(root) == [cube]


def test_what_hangs_under_a_level_or_is_hidden_or_shall_stand_is_not(root, cube):
    cube.parent = root
    assert not found(root)
    cube.parent = None
    cube.hide_render = True
    assert not found(root)
    cube.hide_render = False
    root.dreamzoom.let_stand = True
    assert not found(root)


def test_one_button_hides_it(root, cube):
    bpy.context.view_layer.update()
    bpy.context.view_layer.objects.active = root
    assert bpy.ops.dreamzoom.hide_in_the_way() == {"FINISHED"}
    assert cube.hide_render and cube.hide_get() and not cube.hide_viewport  # the eye, which one finds again
    assert not found(root)

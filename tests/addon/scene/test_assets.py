"""The artist's own objects under a level are written for the dream: where they lie, in the colours that they have."""

import json
import os
import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from mathutils.kdtree import KDTree

from addon import rig, splats
from addon.backend import launch
from addon.core.formats.splat_ply import read_splats
from addon.scene import assets, surface_sampling
from addon.scene.request import build_request

from ..splat_pictures import random_splats


def srgb(linear):
    return np.array(
        bpy.utils.units and [12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in linear]
    )


def place(root, level, vertices, faces, material=None, **options):
    mesh = bpy.data.meshes.new("own")
    mesh.from_pydata(vertices, [], faces)
    if material is not None:
        mesh.materials.append(material)
    obj = bpy.data.objects.new("own", mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.parent = rig.level_empties(root)[level]
    for name, value in options.items():
        setattr(obj, name, value)
    bpy.context.view_layer.update()
    return obj


SQUARE = [(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], [(0, 1, 2, 3)]


def material_of(make):
    material = bpy.data.materials.new("look")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    make(material.node_tree, material.node_tree.nodes["Principled BSDF"].inputs)
    return material


def red(tree, inputs):
    inputs["Base Color"].default_value = (0.8, 0.1, 0.05, 1)


def textured(tree, inputs):
    image = bpy.data.images.new("halves", 8, 8)
    pixels = np.zeros((8, 8, 4), np.float32)
    pixels[:, :4], pixels[:, 4:] = (1, 0, 0, 1), (0, 0.5, 0, 1)
    image.pixels.foreach_set(pixels.ravel())
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.links.new(node.outputs["Color"], inputs["Base Color"])


def painted(tree, inputs):
    node = tree.nodes.new("ShaderNodeVertexColor")
    node.layer_name = "paint"
    tree.links.new(node.outputs["Color"], inputs["Base Color"])


def write(root, folder):
    bpy.context.view_layer.update()
    scene, view_layer = bpy.context.scene, bpy.context.view_layer
    return assets.write(root, scene, view_layer, folder, build_request(root, scene, view_layer))


def read(request, level):
    return [read_splats(path) for path in request["levels"][level]["assets"]]


class TestSurfaces:
    @pytest.mark.parametrize("zoom", [0.0, 2.0])
    def test_lie_in_the_frame_of_their_level_whatever_the_zoom(self, root, tmp_path, zoom):
        root.location, root.scale = (3, 1, -2), (2, 2, 2)
        place(root, 2, *SQUARE, material_of(red), location=(0.1, 0.2, 0.3), scale=(0.5, 0.5, 0.5))
        root.animation_data_clear()
        root["zoom"] = zoom
        root.update_tag()
        request = write(root, tmp_path)
        assert [("assets" in level) for level in request["levels"]] == [False, False, True, False]
        (own,) = read(request, 2)
        assert np.allclose(own.means.min(0), (-0.15, -0.05, 0.3), atol=0.01)
        assert np.allclose(own.means.max(0), (0.35, 0.45, 0.3), atol=0.01)
        assert np.allclose(own.rgb, srgb((0.8, 0.1, 0.05)), atol=1e-3)

    def test_no_hole_is_left(self, root, tmp_path):
        place(root, 0, *SQUARE)
        (own,) = read(write(root, tmp_path), 0)
        tree = KDTree(len(own))
        for index, mean in enumerate(own.means):
            tree.insert(mean, index)
        tree.balance()
        sigma = float(np.exp(own.log_scales[0, 0]))
        through = [
            np.prod([1 - np.exp(-((away / sigma) ** 2) / 2) for *_, away in tree.find_range((*point, 0), 2.5 * sigma)])
            for point in np.random.default_rng(1).uniform(-0.49, 0.49, (2000, 2))
        ]
        assert max(through) < 0.3 and np.mean(through) < 0.02

    def test_spread_evenly_at_about_a_pixel(self, root, tmp_path):
        place(root, 0, *SQUARE)
        (own,) = read(write(root, tmp_path), 0)
        assert len(own) == pytest.approx(assets.SAMPLES_PER_PIXEL * (640 / 2) ** 2, rel=0.01)
        cells = np.histogram2d(own.means[:, 0], own.means[:, 1], 32)[0]
        assert cells.min() > 0.7 * cells.mean()

    def test_a_picture_colours_them(self, root, tmp_path):
        obj = place(root, 0, *SQUARE, material_of(textured))
        uv = obj.data.uv_layers.new(name="map")
        uv.uv.foreach_set("vector", np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32).ravel())
        (own,) = read(write(root, tmp_path), 0)
        left = own.means[:, 0] < 0
        assert np.allclose(own.rgb[left], (1, 0, 0), atol=0.01)
        assert np.allclose(own.rgb[~left], (0, 0.5, 0), atol=0.01)

    def test_a_colour_attribute_colours_them(self, root, tmp_path):
        obj = place(root, 0, *SQUARE, material_of(painted))
        layer = obj.data.color_attributes.new("paint", "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", np.array([(0, 0, 0, 1), (1, 1, 1, 1)] * 2, np.float32).ravel())
        for index, value in enumerate((0, 1, 1, 0)):
            layer.data[index].color = (value, value, value, 1)
        (own,) = read(write(root, tmp_path), 0)
        right = own.means[:, 0] > 0.45
        assert own.rgb[right].min() > 0.9 and own.rgb[own.means[:, 0] < -0.45].max() < 0.4

    def test_modifiers_and_instances_count(self, root, tmp_path):
        obj = place(root, 0, *SQUARE)
        array = obj.modifiers.new("array", "ARRAY")
        array.count = 3
        (own,) = read(write(root, tmp_path), 0)
        assert own.means[:, 0].max() > 2.4
        source = bpy.data.collections.new("source")
        mesh = bpy.data.meshes.new("inner")
        mesh.from_pydata(*[SQUARE[0], [], SQUARE[1]])
        source.objects.link(bpy.data.objects.new("inner", mesh))
        instance = bpy.data.objects.new("instance", None)
        instance.instance_type, instance.instance_collection = "COLLECTION", source
        instance.parent, instance.location = rig.level_empties(root)[1], (0, 0, 0.7)
        bpy.context.scene.collection.objects.link(instance)
        (own,) = read(write(root, tmp_path), 1)
        assert np.allclose(own.means[:, 2], 0.7, atol=1e-5)

    def test_a_huge_plain_stays_a_small_file(self, root, tmp_path):
        big = [(x * 1000, y * 1000, z) for x, y, z in SQUARE[0]]
        place(root, 0, big, SQUARE[1])
        (own,) = read(write(root, tmp_path), 0)
        assert len(own) <= assets.MAX_SURFELS + 1
        near = np.linalg.norm(own.means, axis=-1) < 1
        assert near.sum() > 4000

    def test_normals_stand_on_the_surface(self):
        normals = np.array([(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.6, -0.8, 0)], float)
        w, x, y, z = surface_sampling.quaternions_from_normals(normals).T
        third = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
        assert np.allclose(third, normals, atol=1e-6)


class TestSplats:
    def test_are_written_as_they_are_with_their_transforms(self, root, tmp_path):
        made = random_splats(50, 3)
        (obj,) = splats.show_splats(made, "own splats", bpy.context.scene.collection)
        obj.parent = rig.level_empties(root)[1]
        obj.matrix_basis = Matrix.Translation((0.2, 0, 0)) @ Matrix.Scale(0.5, 4)
        (own,) = read(write(root, tmp_path), 1)
        assert np.allclose(own.means, made.means * 0.5 + (0.2, 0, 0), atol=1e-5)
        assert np.allclose(own.rgb, made.rgb, atol=1e-3)


class TestWrite:
    def test_cropped_splats_stay_cropped_and_hidden_in_the_viewport_alone_count(self, root, tmp_path):
        values = random_splats(100, 1)
        (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, "surfels")
        obj.parent = rig.level_empties(root)[0]
        right = np.repeat(values.means[:, 0] > 0, 4)
        obj.vertex_groups.new(name="right").add(np.flatnonzero(right).tolist(), 1.0, "REPLACE")
        obj.modifiers.new("half", "MASK").vertex_group = "right"
        obj.hide_viewport = True
        bpy.context.view_layer.update()
        (own,) = read(write(root, tmp_path), 0)
        assert len(own) == right.sum() // 4
        obj.hide_viewport = False
        obj.hide_set(True)
        (own,) = read(write(root, tmp_path), 0)
        assert len(own) == right.sum() // 4 and obj.hide_get()

    def test_shape_keys_and_edit_mode_count(self, root, tmp_path):
        obj = place(root, 0, *SQUARE)
        obj.shape_key_add(name="basis")
        raised = obj.shape_key_add(name="raised")
        for point in raised.data:
            point.co.z = 0.3
        raised.value = 1.0
        bpy.context.view_layer.objects.active = obj
        (own,) = read(write(root, tmp_path), 0)
        assert np.allclose(own.means[:, 2], 0.3, atol=1e-5)
        bpy.ops.object.mode_set(mode="EDIT")
        (own,) = read(write(root, tmp_path), 0)
        assert len(own) > 100

    def test_the_rig_s_own_content_is_none(self, root, tmp_path):
        (obj,) = splats.show_splats(random_splats(9, 1), "imported", bpy.context.scene.collection)
        rig.attach(root, obj, 0, False)
        assert not any("assets" in level for level in write(root, tmp_path)["levels"])
        assert not (tmp_path / assets.FOLDER).exists()

    def test_hidden_objects_and_switched_off(self, root, tmp_path):
        obj = place(root, 0, *SQUARE)
        assert "assets" in write(root, tmp_path)["levels"][0]
        obj.hide_render = True
        assert "assets" not in write(root, tmp_path)["levels"][0]
        assert not list((tmp_path / assets.FOLDER).iterdir())
        obj.hide_render = False
        root.dreamzoom.see_assets = False
        assert "assets" not in write(root, tmp_path)["levels"][0]

    def test_at_depth_they_are_as_exact_from_any_frame(self, dreamzoom, tmp_path):
        bpy.ops.dreamzoom.create_rig(levels=30, frames_per_level=2)
        root = bpy.context.view_layer.objects.active
        root.location, root.dreamzoom.levels[3].focus = (3, 1, -2), (0.2, 0.1, 0)
        place(root, 25, *SQUARE, location=(0.1, 0.2, 0.3))
        bpy.context.scene.frame_set(3)
        (own,) = read(write(root, tmp_path), 25)
        assert np.allclose(own.means.min(0), (-0.4, -0.3, 0.3), atol=0.005)
        assert np.ptp(own.means[:, 2]) < 1e-5
        assert root["zoom"] == pytest.approx(1) and not rig.zoom_curve(root).mute
        bpy.context.scene.frame_set(5)
        assert root["zoom"] == pytest.approx(2)

    def test_the_same_objects_give_the_same_bytes(self, root, tmp_path):
        place(root, 1, *SQUARE, material_of(red), location=(0.123, 0.2, 0.3), rotation_euler=(0.3, 0.2, 0.1))
        first = [Path(path).read_bytes() for path in write(root, tmp_path)["levels"][1]["assets"]]
        bpy.context.scene.frame_set(30)
        second = [Path(path).read_bytes() for path in write(root, tmp_path)["levels"][1]["assets"]]
        assert first == second

    def test_the_server_takes_it(self, root, tmp_path, server_python):
        place(root, 3, *SQUARE)
        command = [server_python, "-c", "import sys; from dreamzoom.request.validation import decode_request as read; "
                   "print(read(sys.stdin.buffer.read()).levels[3].assets)"]  # fmt: skip
        done = subprocess.run(
            command,
            input=json.dumps(write(root, tmp_path)).encode(),
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(launch.code_folder())},
            check=False,
        )
        assert b"level_003_surfaces.ply" in done.stdout, done.stderr.decode()


class TestLevelPlace:
    def test_stays_where_it_is_seen_and_grows_from_then_on(self, root):
        mesh = bpy.data.meshes.new("thing")
        obj = bpy.data.objects.new("thing", mesh)
        bpy.context.scene.collection.objects.link(obj)
        obj.location = (0.3, 0.1, 0)
        bpy.context.scene.frame_set(13)
        for other in bpy.context.selected_objects:
            other.select_set(False)
        obj.select_set(True)
        root.dreamzoom.active_level = 2
        bpy.ops.dreamzoom.level_place()
        bpy.context.view_layer.update()
        assert np.allclose(obj.matrix_world.translation, (0.3, 0.1, 0), atol=1e-6)
        assert assets.of_level(root, 2) == [obj]
        bpy.context.scene.frame_set(25)
        assert np.allclose(obj.matrix_world.translation, (0.6, 0.2, 0), atol=1e-5)
        assert not bpy.ops.dreamzoom.level_place.poll()

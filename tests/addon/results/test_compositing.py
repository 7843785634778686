"""What a compositor and a lamp make of splats and points: holdout, shadows, passes, motion blur, depth of field."""

import bpy
import numpy as np
import pytest
from mathutils import Euler

from addon import rig, splats
from addon.core.formats.points import Points
from addon.results import render_settings
from addon.splats import points

from .. import splat_pictures as pictures

INDEX = "Object Index" if bpy.app.version >= (5, 0) else "IndexOB"
KINDS = ("surfels", "flat", "gaussians", "points")


def shown(kind, seed=3, count=60):
    """Random splats before the camera, as a kind of object."""
    made = pictures.random_splats(count, seed)
    collection = bpy.context.scene.collection
    if kind == "points":
        cloud = Points(made.means, np.clip(made.rgb, 0, 1), extra={"footprint": np.full(count, 0.2, np.float32)})
        obj = bpy.data.objects.new("points", points.cloud_of("points", cloud))
        collection.objects.link(obj)
    else:
        [obj] = splats.show_splats(made, "splats", collection, kind)
    pictures.camera_at((0, -4, 0))
    return obj


def plane(place, turn, shine: bool):
    """A large plane that shines, or is lit."""
    bpy.ops.mesh.primitive_plane_add(size=20, location=place, rotation=turn)
    obj = bpy.context.object
    if shine:
        material = bpy.data.materials.new("shine")
        material.use_nodes = True
        nodes = material.node_tree.nodes
        nodes.clear()
        links, light, end = (
            material.node_tree.links,
            nodes.new("ShaderNodeEmission"),
            nodes.new("ShaderNodeOutputMaterial"),
        )
        links.new(light.outputs[0], end.inputs[0])
        obj.data.materials.append(material)
    return obj


class TestHoldout:
    @pytest.mark.parametrize("kind", KINDS)
    def test_cuts_its_own_soft_alpha_out_of_what_is_behind(self, kind, tmp_path):
        obj = shown(kind)
        alpha = pictures.rendered(tmp_path, 16)[..., 3]
        assert 0.02 < alpha.mean() < 0.5
        obj.is_holdout = True
        plane((0, 3, 0), (np.pi / 2, 0, 0), shine=True)
        behind = pictures.rendered(tmp_path, 16)
        assert np.abs(behind[..., 3] - (1 - alpha)).max() < 1e-4
        assert np.abs(behind[..., 0] - (1 - alpha)).max() < 1e-4


class TestShadows:
    @pytest.mark.parametrize("kind", KINDS)
    def test_fall_where_they_are_asked_for(self, kind, tmp_path):
        obj = shown(kind)
        plane((0, 0, -1.5), (0, 0, 0), shine=False)
        sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
        sun.data.energy, sun.data.angle = 3, 0
        bpy.context.scene.collection.objects.link(sun)
        darkest = {}
        for wanted in (True, False):
            obj.visible_shadow = wanted
            darkest[wanted] = pictures.rendered(tmp_path, 16)[-8:, :, 0].min()
        assert darkest[True] < 0.2 < 0.6 < darkest[False]


class TestRig:
    @pytest.fixture
    def content(self, root):
        made = pictures.random_splats(10, 1)
        [obj] = splats.show_splats(made, "splats", bpy.context.scene.collection, "surfels")
        rig.attach(root, obj, 2, False)
        return obj

    def test_settings_reach_what_is_imported(self, root, content):
        assert (content.visible_shadow, content.is_holdout, content.pass_index) == (False, False, 3)
        root.dreamzoom.cast_shadows = root.dreamzoom.holdout = True
        assert (content.visible_shadow, content.is_holdout) == (True, True)

    def test_layers_for_compositing(self, root, content, tmp_path):
        scene, layer = bpy.context.scene, bpy.context.view_layer
        assert bpy.ops.dreamzoom.render_settings(samples=4, output="LAYERS") == {"FINISHED"}
        assert scene.render.image_settings.file_format == "OPEN_EXR_MULTILAYER"
        assert layer.use_pass_z and layer.use_pass_object_index and layer.use_pass_cryptomatte_object
        scene.render.resolution_x, scene.render.resolution_y = 32, 18
        scene.frame_set(25)
        scene.render.filepath = str(tmp_path / "layers.exr")
        bpy.ops.render.render(write_still=True)
        file = (tmp_path / "layers.exr").read_bytes()
        for name in (b"Depth", b"Normal", b"Crypto"):
            assert name in file[:4000]
        assert b"IndexOB" in file[:4000] or b"Object Index" in file[:4000]


def passes_of(tmp_path, name):
    """A pass of the scene's render, (H, W), by the compositor's way into a file of its own."""
    scene = bpy.context.scene
    scene.render.image_settings.file_format = "OPEN_EXR"
    tree = bpy.data.node_groups.new("passes", "CompositorNodeTree") if bpy.app.version >= (5, 0) else None
    if tree is None:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        end = tree.nodes.new("CompositorNodeComposite")
    else:
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        end = tree.nodes.new("NodeGroupOutput")
    layers = tree.nodes.new("CompositorNodeRLayers")
    tree.links.new(layers.outputs[name], end.inputs[0])
    return pictures.rendered(tmp_path, 16)[..., 0]


class TestPasses:
    @pytest.mark.parametrize("kind", KINDS)
    def test_depth_is_that_of_the_splats(self, kind, tmp_path):
        rng = np.random.default_rng(0)
        means = np.stack([*rng.uniform(-0.7, 0.7, (2, 2000)), np.zeros(2000)], -1)[:, [0, 2, 1]].astype(np.float32)
        means[:, 1] = 0.4 * means[:, 0] + 0.005 * rng.standard_normal(2000)  # a slanted wall
        made = pictures.random_splats(2000, 0, size=0.06)
        made.means[:], made.logit_opacities[:] = means, 3.0
        made.log_scales[:] = np.log([0.05, 0.05, 5e-5])
        made.quaternions[:] = Euler((np.pi / 2, 0, np.arctan(0.4))).to_quaternion()
        collection = bpy.context.scene.collection
        if kind == "points":
            cloud = Points(means, extra={"footprint": np.full(2000, 0.1, np.float32)})
            obj = bpy.data.objects.new("points", points.cloud_of("points", cloud))
            collection.objects.link(obj)
        else:
            [obj] = splats.show_splats(made, "splats", collection, kind)
        obj.pass_index = 7
        camera = pictures.camera_at((0, -4, 0))
        render_settings._set_passes(bpy.context.view_layer)
        depth = passes_of(tmp_path, "Depth")
        size = len(depth)
        half = camera.data.sensor_width / camera.data.lens
        x = ((np.arange(size) + 0.5) / size - 0.5) * half
        wanted = np.broadcast_to(4 / (1 - 0.4 * x), depth.shape)  # where the ray (x, 1) meets y = 0.4 x
        inner = np.s_[10:-10, 10:-10]
        error = np.abs(depth - wanted)[inner] / wanted[inner]
        assert np.median(error) < (0.003 if kind in ("surfels", "flat") else 0.05)  # spheres: where a ray enters them
        assert np.mean(error > 0.06) < 0.01
        assert np.mean(passes_of(tmp_path, INDEX)[inner] == 7) > 0.99


class TestLens:
    def test_motion_blur_is_the_mean_over_the_shutter(self, root, tmp_path):
        """On a flight: the level grows by a driver while the shutter is open."""
        scene = bpy.context.scene
        made = pictures.random_splats(60, 3)
        [obj] = splats.show_splats(made, "splats", scene.collection, "surfels")
        rig.attach(root, obj, 1, False)
        scene.camera = root.dreamzoom.camera
        scene.render.resolution_x = scene.render.resolution_y = 32
        root.dreamzoom.frames_per_level = 2
        frame, count = 4, 16
        scene.frame_set(frame)
        sharp = pictures.rendered(tmp_path, 16)
        moments = []
        for index in range(count):
            place = (index + 0.5) / count - 0.5
            scene.frame_set(frame + int(np.floor(place)), subframe=place % 1)
            moments.append(pictures.rendered(tmp_path, 16))
        scene.frame_set(frame)
        scene.render.use_motion_blur, scene.render.motion_blur_shutter = True, 1.0
        blurred, wanted = pictures.rendered(tmp_path, 256), np.mean(moments, 0)
        assert psnr(blurred, wanted) > 35
        assert psnr(sharp, wanted) < psnr(blurred, wanted) - 6

    def test_what_is_out_of_focus_is_soft(self, tmp_path):
        one = pictures.random_splats(1, 0)
        one.means[:], one.logit_opacities[:], one.sh[:] = 0, 6.0, 1.0
        one.log_scales[:] = np.log([0.1, 0.1, 1e-4])
        one.quaternions[:] = Euler((np.pi / 2, 0, 0)).to_quaternion()
        splats.show_splats(one, "splats", bpy.context.scene.collection)
        camera = pictures.camera_at((0, -4, 0))
        sharp = pictures.rendered(tmp_path, 64)[..., 3]
        camera.data.dof.use_dof, camera.data.dof.aperture_fstop = True, 0.05
        camera.data.dof.focus_distance = 4
        in_focus = pictures.rendered(tmp_path, 256)[..., 3]
        camera.data.dof.focus_distance = 2
        soft = pictures.rendered(tmp_path, 1024)[..., 3]
        radius = camera.data.lens / 1000 / (2 * 0.05) * (4 - 2) / 2  # of the blur, at the splat's distance, in metres
        assert np.abs(in_focus - sharp).max() < 0.05
        assert soft.sum() == pytest.approx(sharp.sum(), rel=0.05)
        pixel = 4 * camera.data.sensor_width / camera.data.lens / len(sharp)
        assert spread(soft) - spread(sharp) == pytest.approx((radius / pixel) ** 2 / 4, rel=0.1)  # a disc's variance


def psnr(one, other):
    return -10 * np.log10(np.mean((one - other) ** 2))


def spread(alpha):
    """The variance along x of where alpha is, in pixels²."""
    columns, place = alpha.sum(0), np.arange(alpha.shape[1])
    middle = (columns * place).sum() / columns.sum()
    return (columns * (place - middle) ** 2).sum() / columns.sum()

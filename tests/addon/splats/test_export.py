"""What is exported is what is shown."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import splats
from addon.core import formats
from addon.core.gaussians import transformed
from addon.core.quaternions import axes_of
from addon.splats import export, surfels

from .. import splat_pictures as pictures


def shown(values, representation, matrix=None):
    (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, representation)
    if matrix is not None:
        obj.matrix_world = matrix
    bpy.context.view_layer.update()
    return obj


def covariances(values) -> np.ndarray:
    axes = np.stack(axes_of(values.quaternions.astype(np.float64)), -1)
    scaled = axes * np.exp(values.log_scales.astype(np.float64))[:, None]
    return scaled @ scaled.transpose(0, 2, 1)


def there_and_back(values, representation, folder, matrix=None, after=None):
    count = splats.export_splats([shown(values, representation, matrix)], folder / "out.ply", after)
    back = formats.read(folder / "out.ply").splats
    assert count == len(back) == len(values)
    return back


class TestExportSplats:
    @pytest.mark.parametrize(
        ("representation", "degree"),
        [("surfels", 0), ("surfels", 2), ("flat", 0), ("flat", 3), ("gaussians", 0), ("gaussians", 3)],
    )
    def test_what_was_imported_comes_out(self, tmp_path, representation, degree):
        values = pictures.random_splats(200, 1, degree, flat=representation == "surfels")
        values.sh[:, 0] = np.clip(values.sh[:, 0], -1.7, 1.7)
        back = there_and_back(values, representation, tmp_path)
        assert np.allclose(back.means, values.means, atol=1e-6)
        if representation == "flat":  # its axes are in the order of their lengths
            assert np.allclose(covariances(back), covariances(values), rtol=1e-3, atol=1e-7)
        else:
            assert np.allclose(back.log_scales, values.log_scales, atol=1e-3)
            assert np.allclose(np.abs((back.quaternions * values.quaternions).sum(-1)), 1, atol=1e-5)
        assert np.allclose(back.logit_opacities, values.logit_opacities, atol=1e-4)
        assert np.allclose(back.sh, values.sh, atol=1e-4)

    @pytest.mark.parametrize("mirror", [1, -1])
    def test_turns_and_scales_are_applied_to_shapes_and_colours(self, tmp_path, mirror):
        values = pictures.random_splats(50, 2, 3, flat=False)
        turn = Matrix.Rotation(1.1, 4, (1, 2, -1))
        matrix = Matrix.Translation((1, 2, 3)) @ turn @ Matrix.Diagonal((2 * mirror, 2, 2, 1))
        back = there_and_back(values, "gaussians", tmp_path, matrix)
        linear = np.array(matrix)[:3, :3]
        assert np.allclose(back.means, values.means @ linear.T + (1, 2, 3), atol=1e-5)
        assert np.allclose(covariances(back), linear @ covariances(values) @ linear.T, atol=1e-5)
        direction = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
        old = seen(values, direction)
        assert np.allclose(seen(back, linear @ direction / 2), old, atol=1e-4)

    def test_an_uneven_scale_and_a_shear_are_exact(self, tmp_path):
        values = pictures.random_splats(50, 3, 0, flat=False)
        matrix = Matrix(((1, 0.4, 0, 0), (0, 0.5, 0, 0), (0, 0, 3, 0), (0, 0, 0, 1)))
        obj = shown(values, "gaussians")
        back = transformed(export.splats_of(obj), np.array(matrix))
        linear = np.array(matrix)[:3, :3]
        assert np.allclose(covariances(back), linear @ covariances(values) @ linear.T, rtol=1e-3, atol=1e-6)

    def test_triangles_come_out_like_squares(self, tmp_path, monkeypatch):
        monkeypatch.setattr(surfels, "TRIANGLES_FROM", 1)
        values = pictures.random_splats(100, 8, 2)
        matrix = Matrix.Rotation(1.1, 4, (1, 2, -1)) @ Matrix.Diagonal((1, 2, 3, 1))
        back = there_and_back(values, "surfels", tmp_path, matrix)
        wanted = transformed(values, np.array(matrix))
        assert np.allclose(back.means, wanted.means, atol=1e-5)
        assert np.allclose(covariances(back), covariances(wanted), atol=1e-5)
        assert np.allclose(back.sh, wanted.sh, atol=1e-4)

    def test_surfels_stay_surfels(self, tmp_path):
        values = pictures.random_splats(20, 4)
        back = there_and_back(values, "surfels", tmp_path, Matrix.Diagonal((1, 2, 3, 1)))
        assert back.are_surfels()

    def test_objects_of_different_degree_go_into_one_file(self, tmp_path):
        objects = [
            shown(pictures.random_splats(5, 5), "surfels"),
            shown(pictures.random_splats(7, 6, 2, flat=False), "gaussians"),
        ]
        assert splats.export_splats(objects, tmp_path / "out.ply") == 12
        assert formats.read(tmp_path / "out.ply").splats.sh.shape == (12, 9, 3)

    def test_what_shows_no_splats_is_refused_and_no_file_is_left(self, tmp_path):
        cube = bpy.data.objects.new("cube", bpy.data.meshes.new("cube"))
        for objects in ([cube], []):
            with pytest.raises(splats.SplatFileError, match="splats"):
                splats.export_splats(objects, tmp_path / "out.ply")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("vast", [1, surfels.TRIANGLES_FROM])
    @pytest.mark.parametrize("representation", ["surfels", "flat"])
    def test_an_edited_mesh_is_refused(self, tmp_path, monkeypatch, representation, vast):
        monkeypatch.setattr(surfels, "TRIANGLES_FROM", vast)
        obj = shown(pictures.random_splats(5, 5), representation)
        obj.data.vertices.add(1)
        with pytest.raises(splats.SplatFileError, match="edited"):
            splats.export_splats([obj], tmp_path / "out.ply")


def seen(values, direction) -> np.ndarray:
    """The colours along a unit direction away from the eye, sRGB."""
    basis = np.array(
        [
            pictures.SH_C0,
            *pictures.spherical_harmonics.basis(*direction, pictures.spherical_harmonics.degree_of(values.sh)),
        ]
    )
    return 0.5 + np.einsum("k,nkc->nc", basis, values.sh)


def crop(obj, keep="position.x > 0"):
    """A geometry nodes modifier that deletes the faces or points on one side."""
    tree = bpy.data.node_groups.new("crop", "GeometryNodeTree")
    tree.is_modifier = True
    for name, side in (("Geometry", "INPUT"), ("Geometry", "OUTPUT")):
        tree.interface.new_socket(name, in_out=side, socket_type="NodeSocketGeometry")
    given, out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    place, split = tree.nodes.new("GeometryNodeInputPosition"), tree.nodes.new("ShaderNodeSeparateXYZ")
    less, delete = tree.nodes.new("ShaderNodeMath"), tree.nodes.new("GeometryNodeDeleteGeometry")
    less.operation = "LESS_THAN"
    less.inputs[1].default_value = 0.0
    delete.domain = "FACE" if obj.type == "MESH" else "POINT"
    tree.links.new(place.outputs["Position"], split.inputs["Vector"])
    tree.links.new(split.outputs["X"], less.inputs[0])
    tree.links.new(less.outputs[0], delete.inputs["Selection"])
    tree.links.new(given.outputs[0], delete.inputs["Geometry"])
    tree.links.new(delete.outputs["Geometry"], out.inputs[0])
    modifier = obj.modifiers.new("crop", "NODES")
    modifier.node_group = tree
    return modifier


class TestWhatIsShown:
    @pytest.mark.parametrize("representation", ["surfels", "flat", "gaussians", "viewers"])
    def test_cropped_splats_stay_cropped(self, tmp_path, representation):
        values = pictures.random_splats(200, 1, flat=representation == "surfels")
        obj = shown(values, representation)
        crop(obj)
        wanted = values.means[values.means[:, 0] >= 0]
        count = splats.export_splats([obj], tmp_path / "out.ply")
        back = formats.read(tmp_path / "out.ply").splats
        assert count == len(wanted) and np.allclose(back.means, wanted, atol=1e-5)

    def test_a_modifier_counts_as_a_render_uses_it(self, tmp_path):
        obj = shown(pictures.random_splats(200, 1), "surfels")
        modifier = crop(obj)
        modifier.show_viewport = False
        obj.hide_viewport = True
        assert splats.export_splats([obj], tmp_path / "out.ply") < 200
        assert not modifier.show_viewport and obj.hide_viewport
        modifier.show_render = False
        assert splats.export_splats([obj], tmp_path / "out.ply") == 200

    def test_all_splats_are_exported_where_the_viewport_shows_fewer(self, tmp_path):
        values = pictures.random_splats(200, 1)
        obj = shown(values, "surfels")
        splats.viewport_decimation.decimate(obj, values, 50)
        assert splats.export_splats([obj], tmp_path / "out.ply") == 200

    @pytest.mark.parametrize("vast", [1, surfels.TRIANGLES_FROM])
    def test_deleted_faces_are_gone_though_their_vertices_stay(self, tmp_path, monkeypatch, vast):
        monkeypatch.setattr(surfels, "TRIANGLES_FROM", vast)
        values = pictures.random_splats(30, 1)
        obj = shown(values, "surfels")
        bpy.context.view_layer.objects.active = obj
        bpy.ops.object.mode_set(mode="EDIT")
        mesh = bmesh.from_edit_mesh(obj.data)
        mesh.faces.ensure_lookup_table()
        bmesh.ops.delete(mesh, geom=mesh.faces[3:10], context="FACES_ONLY")
        bmesh.update_edit_mesh(obj.data)
        in_edit_mode = export.splats_of(obj)
        bpy.ops.object.mode_set(mode="OBJECT")
        wanted = np.delete(values.means, range(3, 10), 0)
        for back in (in_edit_mode, export.splats_of(obj)):
            assert np.allclose(back.means, wanted, atol=1e-5)
            assert np.allclose(np.abs((back.quaternions * np.delete(values.quaternions, range(3, 10), 0)).sum(-1)), 1)

    def test_a_mirrored_copy_by_a_modifier_is_mirrored(self, tmp_path):
        values = pictures.random_splats(30, 1)
        obj = shown(values, "surfels")
        obj.modifiers.new("mirror", "MIRROR").use_mirror_merge = False
        back = export.splats_of(obj)
        assert len(back) == 60
        assert np.allclose(back.means[30:], values.means * (-1, 1, 1), atol=1e-5)
        flip = np.diag((-1, 1, 1))
        assert np.allclose(covariances(back)[30:], flip @ covariances(values) @ flip, atol=1e-5)

    def test_divided_faces_are_refused(self, tmp_path):
        obj = shown(pictures.random_splats(30, 1), "surfels")
        obj.modifiers.new("divided", "SUBSURF").subdivision_type = "SIMPLE"
        with pytest.raises(splats.SplatFileError, match="edited") as caught:
            splats.export_splats([obj], tmp_path / "out.ply")
        assert caught.value.remedy

    def test_instances_are_exported_where_they_are_seen(self, tmp_path):
        values = pictures.random_splats(30, 1, flat=False)
        source = bpy.data.collections.new("source")
        (obj,) = splats.show_splats(values, "splats", source, "gaussians")
        for x in (3, -3):
            empty = bpy.data.objects.new("instance", None)
            empty.instance_type, empty.instance_collection = "COLLECTION", source
            empty.location.x = x
            bpy.context.scene.collection.objects.link(empty)
        bpy.context.view_layer.update()
        empties = [obj for obj in bpy.context.scene.objects if obj.type == "EMPTY"]
        assert splats.export_splats(empties, tmp_path / "out.ply") == 60
        back = formats.read(tmp_path / "out.ply").splats
        assert np.allclose(
            np.sort(back.means[:, 0]), np.sort(np.append(values.means[:, 0] + 3, values.means[:, 0] - 3)), atol=1e-5
        )

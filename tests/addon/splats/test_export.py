"""What is exported is what is shown."""

from __future__ import annotations

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

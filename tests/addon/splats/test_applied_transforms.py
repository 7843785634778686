"""Object › Apply leaves splats as they look."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import splats
from addon.core.quaternions import axes_of
from addon.splats import applied_transforms, export, native

from .. import splat_pictures as pictures

REPRESENTATIONS = ["surfels", "flat", "gaussians", "viewers", *["native"] * native.available()]
TURN = Matrix.Translation((0.2, -0.1, 0.1)) @ Matrix.Rotation(1, 4, (1, 2, 3))
EVEN = TURN @ Matrix.Scale(0.6, 4)
UNEVEN = TURN @ Matrix.Diagonal((0.5, 1.5, 0.8, 1))


def shown(representation, matrix, degree=2, count=40):
    values = pictures.random_splats(count, 1, degree, flat=representation == "surfels")
    (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, representation)
    obj.matrix_world = matrix
    bpy.context.view_layer.update()
    return values, obj


def apply(obj):
    """As Ctrl A does it; then Blender updates its scene."""
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    assert bpy.ops.object.transform_apply() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert obj.matrix_world == Matrix.Identity(4)


def covariances(values) -> np.ndarray:
    axes = np.stack(axes_of(values.quaternions.astype(np.float64)), -1)
    scaled = axes * np.exp(values.log_scales.astype(np.float64))[:, None]
    return scaled @ scaled.transpose(0, 2, 1)


@pytest.mark.usefixtures("registered")
class TestApplied:
    @pytest.mark.parametrize("representation", REPRESENTATIONS)
    def test_a_render_shows_the_same(self, tmp_path, representation):
        _, obj = shown(representation, EVEN)
        pictures.camera_at((1.5, -2.5, 1.0))
        samples = 1024 if representation == "native" else 64
        was = pictures.rendered(tmp_path, samples)
        apply(obj)
        assert pictures.decibels(pictures.rendered(tmp_path, samples), was) > 40

    @pytest.mark.parametrize("matrix", [EVEN, UNEVEN], ids=["even", "uneven"])
    @pytest.mark.parametrize("representation", REPRESENTATIONS)
    def test_what_is_exported_is_the_same(self, representation, matrix):
        _, obj = shown(representation, matrix)
        was = export.splats_of(obj)
        apply(obj)
        back = export.splats_of(obj)
        assert np.allclose(back.means, was.means, atol=1e-5)
        assert np.allclose(covariances(back), covariances(was), rtol=2e-3, atol=1e-6)
        assert np.allclose(back.sh, was.sh, atol=1e-4)

    @pytest.mark.parametrize("representation", ["flat", "gaussians"])
    def test_an_uneven_scale_shows_the_same(self, tmp_path, representation):
        _, obj = shown(representation, UNEVEN, degree=0)
        pictures.camera_at((1.5, -2.5, 1.0))
        was = pictures.rendered(tmp_path)
        apply(obj)
        assert pictures.decibels(pictures.rendered(tmp_path), was) > 38

    def test_undone_and_done_again(self):
        _, obj = shown("gaussians", EVEN)
        was = export.splats_of(obj)
        for _ in range(2):
            apply(obj)
            obj.matrix_world = EVEN.inverted()
            bpy.context.view_layer.update()
            apply(obj)
            obj.matrix_world = EVEN
            bpy.context.view_layer.update()
        assert np.allclose(covariances(export.splats_of(obj)), covariances(was), rtol=2e-3, atol=1e-6)


class TestWithoutTheAddOn:
    def test_the_export_tells_what_was_applied(self):
        _, obj = shown("gaussians", EVEN)
        was = export.splats_of(obj)
        apply(obj)
        back = export.splats_of(obj)
        assert np.allclose(covariances(back), covariances(was), rtol=2e-3, atol=1e-6)
        assert not applied_transforms.repair(obj.data)

    def test_it_is_mended_when_the_file_is_opened_with_it(self, tmp_path, registered):
        _, obj = shown("gaussians", EVEN)
        was = export.splats_of(obj)
        registered.unregister()
        try:
            apply(obj)
            bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "applied.blend"))
        finally:
            registered.register()
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "applied.blend"))
        bpy.context.view_layer.update()
        (obj,) = bpy.data.objects
        assert not applied_transforms.repair(obj.data)
        assert np.allclose(covariances(export.splats_of(obj)), covariances(was), rtol=2e-3, atol=1e-6)


class TestLinearMap:
    places = np.random.default_rng(0).standard_normal((8, 3))

    def test_any_is_found(self):
        matrix = np.array(UNEVEN)[:3, :3]
        assert np.allclose(applied_transforms.linear_map(self.places, self.places @ matrix.T + 3), matrix)

    @pytest.mark.parametrize("mirror", [1, -1])
    def test_of_a_plane_too(self, mirror):
        matrix = np.array(TURN)[:3, :3] * (0.6, 0.6, 0.6 * mirror)
        flat = self.places * (1, 1, 0)
        found = applied_transforms.linear_map(flat, flat @ matrix.T)
        assert np.allclose(found[:, :2], matrix[:, :2])
        assert np.allclose(np.abs(found[:, 2]), np.abs(matrix[:, 2]))

    def test_what_is_no_affine_map_is_none(self):
        assert applied_transforms.linear_map(self.places, self.places**3) is None
        assert applied_transforms.linear_map(self.places * (1, 0, 0), self.places * (2, 0, 0)) is None
        assert applied_transforms.linear_map(self.places, self.places * (1, 1, 0)) is None

    def test_edited_places_are_left_alone(self):
        values, obj = shown("gaussians", Matrix.Identity(4))
        position = obj.data.attributes["position"].data
        for index in range(len(position)):
            position[index].vector = np.array(position[index].vector) ** 3
        assert not applied_transforms.repair(obj.data)
        assert np.allclose(covariances(export.splats_of(obj)), covariances(values), rtol=2e-3, atol=1e-6)

    @pytest.mark.parametrize("count", [1, 3])
    def test_few_splats(self, count):
        values, obj = shown("gaussians", EVEN, count=count)
        apply(obj)
        assert len(export.splats_of(obj)) == count

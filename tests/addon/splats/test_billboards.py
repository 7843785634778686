"""Splats that match the usual viewers: quads that face the camera."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import splats
from addon.core.gaussians import transformed
from addon.splats import export

from .. import splat_pictures as pictures


def shown(values):
    (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, "viewers")
    return obj


def decibels(picture, truth):
    return -10 * np.log10(np.mean((picture[..., :3] - truth[..., :3]) ** 2))


class TestFacing:
    @pytest.mark.parametrize("degree", [0, 3])
    def test_cycles_shows_what_viewers_show(self, tmp_path, degree):
        values = pictures.random_splats(80, 1, degree, flat=False, size=0.07)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        shown(values)
        picture = pictures.rendered(tmp_path, 2, at_centres=True)
        assert decibels(picture, pictures.viewer_picture(values, camera)) > 55

    def test_it_follows_the_camera_under_a_moved_turned_and_scaled_parent(self, tmp_path):
        values = pictures.random_splats(60, 2, 1, flat=False, size=0.07)
        obj = shown(values)
        parent = bpy.data.objects.new("parent", None)
        bpy.context.scene.collection.objects.link(parent)
        matrix = Matrix.Translation((0.2, -0.1, 0.1)) @ Matrix.Rotation(1, 4, (1, 2, 3)) @ Matrix.Scale(0.6, 4)
        parent.matrix_world = matrix
        obj.parent = parent
        camera = pictures.camera_at((-2.0, 1.0, 1.5))
        truth = pictures.viewer_picture(transformed(values, np.array(matrix)), camera)
        assert decibels(pictures.rendered(tmp_path, 2, at_centres=True), truth) > 55

    @pytest.mark.parametrize("degree", [0, 1])
    def test_antialiased_splats_are_as_much_fainter_as_the_blur_enlarges_them(self, tmp_path, degree):
        values = pictures.random_splats(80, 1, degree, flat=False, size=0.01)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        splats.show_splats(values, "splats", bpy.context.scene.collection, "viewers", antialiased=True)
        picture = pictures.rendered(tmp_path, 2, at_centres=True)
        assert decibels(picture, pictures.viewer_picture(values, camera, antialiased=True)) > 55
        assert decibels(picture, pictures.viewer_picture(values, camera)) < 40

    def test_what_was_imported_is_exported(self):
        values = pictures.random_splats(20, 3, 2, flat=False)
        obj = shown(values)
        bpy.context.view_layer.update()
        back = export.splats_of(obj)
        assert np.allclose(back.means, values.means, atol=1e-6)
        assert np.allclose(back.log_scales, values.log_scales, atol=1e-4)
        assert np.allclose(back.sh, values.sh, atol=1e-4)
        assert np.allclose(back.opacities, values.opacities, atol=1e-5)

    def test_no_splats_make_an_empty_object(self):
        assert len(shown(pictures.random_splats(0, 1)).data.polygons) == 0

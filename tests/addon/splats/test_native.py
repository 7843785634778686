"""Blender's own splats: as its importer makes them, faded and scaled by drivers, seen by Cycles. For 5.3 and later."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import splats
from addon.core import formats
from addon.core.gaussians import transformed
from addon.splats import export, native

from .. import splat_pictures as pictures

SAMPLES = 1024
"""Cycles tests their alpha by chance."""


def shown(values, matrix=None):
    (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, "native")
    if matrix is not None:
        obj.matrix_world = matrix
    bpy.context.view_layer.update()
    return obj


def read(data, name) -> np.ndarray:
    attribute = data.attributes[name]
    field, width = export.FIELDS[attribute.data_type]
    values = np.empty(len(attribute.data) * width, np.float32)
    attribute.data.foreach_get(field, values)
    return values.reshape(-1, width)


class TestNative:
    @pytest.mark.parametrize("degree", [0, 3])
    def test_the_object_is_as_blenders_own_importer_makes_it(self, tmp_path, degree):
        values = pictures.random_splats(50, 1, degree, flat=False)
        pictures.write_3dgs(tmp_path / "a.ply", values)
        bpy.ops.wm.ply_import(filepath=str(tmp_path / "a.ply"), forward_axis="Y", up_axis="Z")
        theirs = bpy.context.view_layer.objects.active.data
        ours = shown(formats.read(tmp_path / "a.ply").splats).data
        assert ours.type == theirs.type == "GAUSSIAN_SPLAT"
        kinds = [{a.name: (a.data_type, a.domain) for a in data.attributes} for data in (ours, theirs)]
        assert kinds[0] == kinds[1]
        for name in kinds[0]:
            assert np.allclose(read(ours, name), read(theirs, name), atol=1e-6), name

    @pytest.mark.parametrize("degree", [0, 3])
    def test_cycles_shows_each_at_its_largest_along_the_ray(self, tmp_path, degree):
        values = pictures.random_splats(60, 1, degree, flat=False)
        shown(values)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        truth = pictures.largest_picture(values, camera)
        assert pictures.decibels(pictures.rendered(tmp_path, SAMPLES), truth) > 36

    def test_the_material_changes_nothing_that_is_not_faded(self, tmp_path):
        obj = shown(pictures.random_splats(60, 1, 3, flat=False))
        pictures.camera_at((1.5, -2.5, 1.0))
        picture = pictures.rendered(tmp_path, 16)
        obj.data.materials.clear()
        assert np.array_equal(picture, pictures.rendered(tmp_path, 16))

    def test_drivers_fade_and_scale_them(self, tmp_path):
        values = pictures.random_splats(60, 2, 2, flat=False)
        obj = shown(values)
        level = bpy.data.objects.new("level", None)
        bpy.context.scene.collection.objects.link(level)
        obj.parent = level
        for axis in range(3):
            driven(level, "scale", axis, "0.4 + frame / 10")
        driven(obj, "color", 3, "frame / 5")
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        for frame in (0, 2, 5):
            bpy.context.scene.frame_set(frame)
            moved = transformed(values, np.array(Matrix.Scale(0.4 + frame / 10, 4)))
            alpha = np.clip(values.opacities.astype(np.float64) * frame / 5, 1e-9, 1)
            moved = replace(moved, logit_opacities=np.log(alpha / (1 - alpha)))
            truth = pictures.largest_picture(moved, camera)
            picture = pictures.rendered(tmp_path, SAMPLES)
            assert pictures.decibels(picture, truth) > 37, frame
            assert np.abs(picture[..., 3] - truth[..., 3]).mean() < 0.01

    def test_what_was_shown_is_exported_as_it_was(self, tmp_path):
        values = pictures.random_splats(50, 3, 3, flat=False)
        assert splats.export_splats([shown(values)], tmp_path / "out.ply") == 50
        back = formats.read(tmp_path / "out.ply").splats
        assert np.allclose(back.means, values.means, atol=1e-6)
        assert np.allclose(back.log_scales, values.log_scales, atol=1e-5)
        assert np.allclose(np.abs((back.quaternions * values.quaternions).sum(-1)), 1, atol=1e-5)
        assert np.allclose(back.logit_opacities, values.logit_opacities, atol=1e-4)
        assert np.allclose(back.sh, values.sh, atol=1e-5)

    def test_what_would_spoil_the_range_of_all_is_left_out(self):
        values = pictures.random_splats(50, 3, flat=False)
        values.log_scales[0], values.logit_opacities[1] = 9, -20
        assert len(shown(values).data.points) == 48

    def test_no_splats_make_an_empty_object(self):
        cloud = native.native_cloud("none", pictures.random_splats(0, 3, flat=False))
        assert (cloud.type, len(cloud.points)) == ("GAUSSIAN_SPLAT", 0)

    def test_harmonics_above_the_third_degree_are_left_out(self):
        names = native.attributes_of(pictures.random_splats(5, 3, 4, flat=False))
        assert sum(name.startswith("radiance:sh_") for name in names) == 15

    def test_general_gaussians_become_them(self):
        values = pictures.random_splats(50, 3, flat=False)
        assert splats.best_representation(values) == "native"
        assert splats.best_representation(pictures.random_splats(50, 3)) == "surfels"


def driven(obj, path, index, expression):
    driver = obj.driver_add(path, index).driver
    driver.expression = expression
    assert driver.is_simple_expression

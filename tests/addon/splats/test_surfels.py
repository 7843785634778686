"""Surfels render as they were fitted."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
import pytest

from addon import splats
from addon.splats import materials, surfels

from .. import splat_pictures as pictures


def imported(folder, values, name="level", **extra):
    pictures.write_3dgs(folder / "splats.ply", values, extra=extra)
    return splats.import_splats(folder / "splats.ply", name, bpy.context.scene.collection)


@pytest.fixture(params=["squares", "triangles"])
def shape(request, monkeypatch):
    """As which faces they are shown: as few splats are, or as very many."""
    if request.param == "triangles":
        monkeypatch.setattr(surfels, "TRIANGLES_FROM", 1)
    return request.param


@pytest.mark.usefixtures("shape")
class TestSurfels:
    @pytest.mark.parametrize("degree", [0, 3])
    def test_cycles_shows_the_image_model_of_the_fit(self, tmp_path, degree):
        values = pictures.random_splats(150 if degree == 0 else 60, 1, degree)
        (obj,) = imported(tmp_path, values)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        assert obj.type == "MESH"
        picture = pictures.rendered(tmp_path)
        truth = pictures.surfel_picture(values, camera)
        assert pictures.decibels(picture, truth) > 45
        assert np.abs(picture[..., 3] - truth[..., 3]).mean() < 0.01

    def test_the_object_alpha_fades_and_a_parent_moves_them(self, tmp_path):
        values = pictures.random_splats(60, 2)
        (obj,) = imported(tmp_path, values)
        parent = bpy.data.objects.new("level", None)
        bpy.context.scene.collection.objects.link(parent)
        parent.scale = (0.5, 0.5, 0.5)
        parent.location = (0.2, 0.1, 0)
        obj.parent = parent
        obj.color[3] = 0.5
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        half = 1 / (1 + np.exp(-values.logit_opacities.astype(np.float64))) / 2
        moved = replace(
            values,
            means=values.means * np.float32(0.5) + np.array(parent.location, np.float32),
            log_scales=values.log_scales + np.float32(np.log(0.5)),
            logit_opacities=np.log(half / (1 - half)),
        )
        truth = pictures.surfel_picture(moved, camera)
        assert pictures.decibels(pictures.rendered(tmp_path), truth) > 45

    def test_superseded_splats_become_an_object_of_their_own(self, tmp_path):
        values = pictures.random_splats(20, 3)
        marked = np.arange(20) % 4 == 0
        objects = imported(tmp_path, values, superseded=marked.astype(np.uint8))
        assert [len(obj.data.polygons) for obj in objects] == [15, 5]
        assert splats.SUPERSEDED not in objects[0]
        assert objects[1][splats.SUPERSEDED] is True

    def test_the_mesh_is_sound(self, tmp_path, shape):
        (obj,) = imported(tmp_path, pictures.random_splats(20, 4))
        assert not obj.data.validate()
        assert len(obj.data.edges) == (80 if shape == "squares" else 60)
        normals = np.array([polygon.normal for polygon in obj.data.polygons])
        third = pictures.axes_of(pictures.random_splats(20, 4).quaternions)[2]
        assert np.allclose(normals, third, atol=1e-4)

    def test_splats_that_are_not_flat_lose_their_shortest_axis(self):
        values = pictures.random_splats(30, 8, flat=False)
        (obj,) = splats.show_splats(values, "a", bpy.context.scene.collection, "surfels")
        bpy.context.view_layer.update()
        kept = np.sort(splats.export.splats_of(obj).log_scales[:, :2])
        assert np.allclose(kept, np.sort(values.log_scales)[:, 1:], atol=1e-4)

    @pytest.mark.parametrize("representation", ["surfels", "flat"])
    def test_of_very_many_neighbours_lie_side_by_side(self, representation):
        values = pictures.random_splats(splats.ORDERED_FROM, 9)
        (obj,) = splats.show_splats(values, "a", bpy.context.scene.collection, representation)
        bpy.context.view_layer.update()
        back = splats.export.splats_of(obj)
        away = lambda means: np.median(np.linalg.norm(np.diff(means, axis=0), axis=-1))  # noqa: E731
        assert away(back.means) < away(values.means) / 10
        order = splats.morton_order(values.means)
        assert np.array_equal(np.sort(order), np.arange(splats.ORDERED_FROM))
        assert np.allclose(back.means, values.means[order], atol=1e-4)
        assert np.allclose(back.opacities, values.opacities[order], atol=1e-5)

    def test_those_that_follow_each_other_stay_in_their_order(self):
        values = pictures.random_splats(splats.ORDERED_FROM, 9)
        values = values[splats.morton_order(values.means)][::-1]
        (obj,) = splats.show_splats(values, "a", bpy.context.scene.collection, "surfels")
        bpy.context.view_layer.update()
        assert np.allclose(splats.export.splats_of(obj).means, values.means, atol=1e-4)

    def test_no_splats_make_an_empty_object(self, tmp_path):
        (obj,) = imported(tmp_path, pictures.random_splats(0, 5))
        assert len(obj.data.polygons) == 0

    def test_levels_share_one_material(self, tmp_path):
        first = imported(tmp_path, pictures.random_splats(3, 6))[0]
        second = imported(tmp_path, pictures.random_splats(3, 7))[0]
        assert first.data.materials[0] == second.data.materials[0]

    def test_the_kernel_ends_at_the_face(self, shape):
        corners = surfels.TRIANGLE if shape == "triangles" else surfels.SQUARE
        sides = np.roll(corners, -1, 0) - corners
        from_middle = np.abs(corners[:, 0] * sides[:, 1] - corners[:, 1] * sides[:, 0]) / np.linalg.norm(sides, axis=-1)
        assert np.allclose(from_middle, materials.CUT)

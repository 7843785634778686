"""The viewport shows the splats that matter most, a render all."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from addon import splats
from addon.splats import viewport_decimation

from .. import splat_pictures as pictures


def thinned(values, most, representation="auto"):
    (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, representation)
    viewport_decimation.decimate(obj, values, most)
    return obj


def in_viewport(obj) -> int:
    data = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return len(data.polygons) if obj.type == "MESH" else len(data.points)


class TestThin:
    @pytest.mark.parametrize("representation", ["surfels", "gaussians", "viewers"])
    def test_the_viewport_shows_about_so_many(self, representation):
        obj = thinned(pictures.random_splats(1000, 1, flat=False), 100, representation)
        assert abs(in_viewport(obj) - 100) <= 3

    @pytest.mark.parametrize("flat", [True, False])
    def test_a_render_shows_all(self, tmp_path, flat):
        values = pictures.random_splats(60, 1, flat=flat)
        thinned(values, 5, "surfels" if flat else "gaussians")
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        truth = (pictures.surfel_picture if flat else pictures.gaussian_picture)(values, camera)
        assert pictures.decibels(pictures.rendered(tmp_path), truth) > 45

    def test_the_opaque_and_large_stay(self):
        values = pictures.random_splats(200, 2)
        values.logit_opacities[:] = -3
        values.logit_opacities[50:60] = 6
        values.log_scales[50:60] += 1
        ranks = viewport_decimation.importance_ranks(values)
        assert set(np.flatnonzero(ranks < 10)) == set(range(50, 60))

    def test_equal_splats_are_thinned_by_chance(self):
        values = pictures.random_splats(1, 3)[np.zeros(1000, int)]
        shown = np.flatnonzero(viewport_decimation.importance_ranks(values) < 100)
        assert 95 <= len(shown) <= 105
        assert shown.max() - shown.min() > 800

    def test_many_splats_are_thinned_on_import_and_few_are_not(self, monkeypatch):
        monkeypatch.setattr(viewport_decimation, "MAX_SPLATS", 50)
        many, few = (
            splats.show_splats(pictures.random_splats(count, 4), "a", bpy.context.scene.collection)[0]
            for count in (51, 50)
        )
        assert viewport_decimation.is_decimated(many)
        assert not viewport_decimation.is_decimated(few)

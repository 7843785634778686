"""What a flight looks through is closed, from behind, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from core.camera import Camera, Similarity, look_at
from core.gaussians import joined
from dreamzoom.geometry.unproject import lift
from dreamzoom.progress import Report
from dreamzoom.splats.fitting.initial import initial
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import export, fill_gaps

CAMERA = Camera(64, 48, 60.0, 60.0, 32.0, 24.0, look_at((0, -3, 0), (0, 0, 0)))
RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)


def wall(depth: float, columns: slice, rgb):
    """Splats of a wall across some columns of the camera's picture."""
    keep = np.zeros((48, 64), bool)
    keep[:, columns] = True
    picture = np.broadcast_to(np.float32(rgb), (48, 64, 3))
    return initial(lift(CAMERA, np.full((48, 64), depth, np.float32), picture, view=0, keep=keep), [CAMERA])


@pytest.fixture(scope="module")
def slit():
    """A red wall on the left, a blue one farther away on the right, and a column of nothing between."""
    walls = [wall(2.0, slice(0, 31), RED), wall(4.0, slice(32, 64), BLUE)]
    whole = joined(walls)
    return export.feathered(whole, CAMERA.widened(1.5))


def closed(splats, cameras=(CAMERA,), around=()):
    return fill_gaps.filled(splats, list(around), list(cameras), Report())


class TestClosed:
    def test_a_slit_is_closed_in_the_colour_and_depth_of_what_is_behind(self, slit):
        assert rasterize(slit, CAMERA).alpha[:, 31].max() < fill_gaps.GAP_ALPHA
        more = closed(slit)
        assert rasterize(more, CAMERA).alpha[:, 29:35].min() > fill_gaps.GAP_ALPHA
        new = more[np.arange(len(slit), len(more))]
        assert CAMERA.project(new.means)[1] == pytest.approx(4.0, abs=1e-3)
        assert new.rgb == pytest.approx(np.broadcast_to(BLUE, new.rgb.shape), abs=0.02)

    def test_what_is_there_stays_as_it_is(self, slit):
        more = closed(slit)
        assert len(more) > len(slit)
        for name in ("means", "log_scales", "quaternions", "logit_opacities", "sh"):
            assert np.array_equal(getattr(more, name)[: len(slit)], getattr(slit, name))
        assert more.extra.keys() == slit.extra.keys()
        assert all(len(column) == len(more) for column in more.extra.values())

    def test_where_no_gap_is_nothing_is_added(self, slit):
        whole = joined([slit, wall(5.0, slice(0, 64), BLUE)])
        assert closed(whole) is whole

    def test_what_others_show_is_no_gap(self, slit):
        assert closed(slit, around=[wall(5.0, slice(0, 64), BLUE)]) is slit

    def test_where_the_camera_looks_past_everything_nothing_is_made_up(self):
        half = wall(2.0, slice(0, 30), RED)
        assert closed(half) is half

    def test_all_cameras_are_looked_through(self, slit):
        aside = CAMERA.moved(Similarity(1.0, np.array([-0.05, 0, 0])))
        seen = rasterize(closed(slit, (CAMERA, aside)), aside)
        assert seen.alpha[:, 10:54].min() > 0.5

    def test_splats_of_any_degree_keep_it(self, slit):
        shiny = replace(slit, sh=np.concatenate([slit.sh, np.full((len(slit), 3, 3), 0.1, np.float32)], 1))
        more = closed(shiny)
        assert more.sh.shape[1] == 4
        assert not more.sh[len(slit) :, 1:].any()

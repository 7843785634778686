"""The artist's picture is shown by every frame that shows its place, in every engine, on every level."""

import numpy as np
import pytest
from photographs import photo_request, photograph, psnr, shown_db

from dreamzoom.engines.procedural.engine import plane_depth
from dreamzoom.engines.registry import make
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.unproject import lift
from dreamzoom.geometry.view import COARSE, KNOWN, View
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.progress import Report
from dreamzoom.render.flight import open_flight
from dreamzoom.request.images import read_picture
from dreamzoom.request.validation import convert_request

SIZE = (48, 32)


def flown(tmp_path, photo, level=0, **options):
    """A finished job with the photo, and the photo at the camera's size."""
    generate(convert_request(photo_request(photo, level, **options)), Folder(tmp_path / "job"))
    return open_flight(tmp_path / "job"), read_picture(photo, SIZE, lambda message: None)


@pytest.mark.slow
class TestFrames:
    @pytest.mark.parametrize("engine", [None, {"name": "spectral", "steps": 8}])
    def test_the_first_frame_is_the_photo_and_deeper_ones_show_it(self, tmp_path, engine):
        flight, photo = flown(tmp_path, photograph(tmp_path / "a.png"), engine=engine)
        assert psnr(flight.view(flight.path.at_frame(1)).rgb, photo) > 30, "a draft is sharpened"
        for zoom in (0.25, 0.5, 1.0):
            assert shown_db(flight, photo, 0, zoom) > 25

    def test_a_moving_camera_sees_no_other_world_in_it(self, tmp_path):
        flight, photo = flown(tmp_path, photograph(tmp_path / "a.png"), still=False)
        assert psnr(flight.view(flight.path.at_frame(1)).rgb, photo) > 30

    def test_coarser_levels_show_it_too(self, tmp_path):
        flight, photo = flown(tmp_path, photograph(tmp_path / "a.png"), level=1)
        for zoom in (0.0, 0.5, 1.0):
            assert shown_db(flight, photo, 1, zoom) > 23


class TestProceduralEngine:
    def engine(self, tmp_path, **options):
        return make(convert_request(photo_request(photograph(tmp_path / "a.png"), **options)))

    def test_coarse_pixels_keep_their_low_frequencies(self, tmp_path):
        engine = self.engine(tmp_path)
        view = View("001/anchor", 1, 1.0, convert_request(photo_request(tmp_path / "a.png")).path().camera(1.0, 1))
        mask = np.full((SIZE[1], SIZE[0]), COARSE, np.uint8)
        red = np.full((SIZE[1], SIZE[0], 3), (0.6, 0.3, 0.3), np.float32)
        got = engine.paint(view, red, mask, "", "", 0, Report())
        assert np.abs(got.mean((0, 1)) - (0.6, 0.3, 0.3)).max() < 0.02
        assert got.std((0, 1)).max() > 0.005, "the world's detail is there"

    def test_the_surface_is_a_plane_through_the_focus(self, tmp_path):
        path = convert_request(photo_request(photograph(tmp_path / "a.png"), still=False)).path()
        facing = path.camera(0.0, 0).rotation[:, 2]
        for zoom in (0.0, 0.6):
            camera = path.camera(zoom, 0)
            points = camera.unproject(plane_depth(camera, facing).astype(np.float64))
            assert np.abs(points @ facing).max() < 1e-3

    def test_without_a_picture_it_shows_its_own_world_alone(self, tmp_path):
        request = photo_request(photograph(tmp_path / "a.png"))
        request["levels"][0].pop("image")
        assert make(convert_request(request)).multiview_consistent
        assert not self.engine(tmp_path).multiview_consistent


def test_points_of_a_given_picture_are_never_coarse():
    camera = convert_request(photo_request("unused.png")).path().camera(0.0, 0)
    depth = np.full((SIZE[1], SIZE[0]), 3, np.float32)
    given = np.zeros(depth.shape, bool)
    given[:, : SIZE[0] // 2] = True
    cloud = lift(camera, depth, np.zeros((*depth.shape, 3)), view=0, given=given)
    near = camera.resized(3 * SIZE[0], 3 * SIZE[1])
    mask = project(cloud, near).mask
    assert (mask[5:-5, 5 : mask.shape[1] // 2 - 5] == KNOWN).all()
    assert (mask[5:-5, mask.shape[1] // 2 + 5 : -5] == COARSE).all()
    assert not Cloud.empty().given.any()

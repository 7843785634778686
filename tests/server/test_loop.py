"""A loop: after the last level comes the first again, and the last picture leads into the first."""

import numpy as np
import pytest

from core.camera import look_at
from core.errors import BadRequest
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.render.flight import open_flight
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

pytestmark = pytest.mark.slow

LEVELS = 3
FOCUSES = np.array([(0.2, -0.1, 0.0), (0.0, 0.3, 0.1), (-0.2, 0.1, 0.0)])


def looped(engine: str = "procedural", size=(48, 36)) -> dict:
    """A request whose camera stands still in the gauge, all the way round."""
    request = example(levels=LEVELS, size=size, engine=engine) | {"loop": True, "quality": "draft"}
    first = request["cameras"][0]
    request["cameras"] = [first | {"frame": frame, "zoom": frame * LEVELS / 24} for frame in range(25)]
    return request


@pytest.fixture
def path():
    return ZoomPath(2.0, FOCUSES, (), loop=True)


class TestZoomPath:
    @pytest.mark.parametrize("zoom", [0.0, 0.4, 1.5, 2.9])
    def test_comes_again(self, path, zoom):
        for level in range(-1, 3):
            here, there = path.gauge(zoom, level), path.gauge(zoom + LEVELS, level + LEVELS)
            assert here.scale == pytest.approx(there.scale)
            assert np.allclose(here.offset, there.offset)
            assert path.opacity(zoom, level) == pytest.approx(path.opacity(zoom + LEVELS, level + LEVELS))

    def test_a_focus_moves_without_a_jump_where_it_begins_anew(self, path):
        before, after = (path.gauge(LEVELS + step, LEVELS - 1) for step in (-1e-9, 1e-9))
        assert np.allclose(before.offset, after.offset, atol=1e-6)


class TestRequest:
    def test_one_level_is_refused(self):
        request = looped()
        request["levels"] = request["levels"][:1]
        with pytest.raises(BadRequest) as caught:
            convert_request(request)
        assert caught.value.field == "loop"


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    """A job whose pictures are sampled jointly, all the way round."""
    folder = tmp_path_factory.mktemp("loop") / "job"
    generate(convert_request(looped("spectral")), Folder(folder))
    return open_flight(folder)


class TestJob:
    def test_the_last_picture_is_the_first(self, flight):
        assert flight.levels[-1].extra["superseded"].any()
        first, last = (flight.view(flight.path.at_frame(frame)).rgb for frame in (0, 24))
        assert np.abs(first - last).max() < 2e-3
        assert first.mean() > 0.05

    def test_nothing_jumps_where_it_begins_anew(self, flight):
        key = flight.path.at_frame(0)
        steps = [-0.04, -0.02, 0.02, 0.04]
        pictures = [flight.view(type(key)(0, LEVELS + step, key.camera)).rgb for step in steps]
        moves = [np.abs(a - b).mean() for a, b in zip(pictures, pictures[1:])]
        assert moves[1] < 4 * max(moves[0], moves[2]) + 1e-3

    def test_the_first_level_agrees_with_the_middle_of_the_last(self, flight):
        """Sampled jointly, the first picture, made smaller, is what the last one shows in its middle."""
        key = flight.path.at_frame(0)
        before = flight.view(type(key)(0, LEVELS - 1.0, key.camera)).rgb
        after = flight.view(type(key)(0, float(LEVELS), key.camera)).rgb
        small = after.reshape(18, 2, 24, 2, 3).mean((1, 3))
        assert np.corrcoef(small.ravel(), before[9:27, 12:36].ravel())[0, 1] > 0.6

    def test_no_frame_is_seen_through_where_the_first_level_comes_again(self, tmp_path):
        request = looped(size=(96, 64))
        for number, key in enumerate(request["cameras"]):
            turn = -np.pi / 2 + 0.7 * np.sin(2 * np.pi * number / 24)
            key["camera_to_gauge"] = look_at((1.9 * np.cos(turn), 1.9 * np.sin(turn), 2.3), (0, 0, 0)).tolist()
        generate(convert_request(request), Folder(tmp_path / "job"))
        flown = open_flight(tmp_path / "job")
        least = [flown.view(flown.path.at_frame(frame)).alpha.min() for frame in range(16, 25)]
        assert min(least) > 0.5, least

"""Where levels lie and when they show, as the rig keys it, against the frames that the server uses."""

import numpy as np
import pytest

from addon.core import fading
from addon.core.level_frames import LevelFrames
from addon.rig import zoom_path

FOCUSES = [(0.2, -0.1, 0.05), (-0.3, 0.15, 0.0), (0.1, 0.25, -0.1), (0.05, -0.2, 0.1), (0.3, 0.1, 0.2)]


@pytest.fixture(params=[2.0, 3.5])
def frames(request):
    return LevelFrames(request.param, np.array(FOCUSES))


class TestDrift:
    @pytest.mark.parametrize("level", range(5))
    def test_lines_between_whole_zooms_are_exact(self, frames, level):
        p = frames.factor
        keys = zoom_path.origin_keys(p, FOCUSES, level)
        s = np.array([key[0] for key in keys])
        places = np.array([key[1] for key in keys])
        for zoom in np.linspace(0, 5, 61):
            expected = frames.gauge(zoom, level).inverse().apply(np.zeros(3))
            found = [np.interp(p ** (zoom - level), s, places[:, axis]) for axis in range(3)]
            assert np.allclose(found, expected, atol=1e-9 * p**5)

    def test_a_straight_zoom_stays_at_the_focus(self):
        assert all(place == [0.0, 0.0, 0.0] for _, place in zoom_path.origin_keys(2.0, [(0.0, 0.0, 0.0)] * 4, 2))


class TestOpacity:
    @pytest.mark.parametrize("superseded", [False, True])
    def test_nothing_is_hidden_while_it_can_be_seen(self, superseded):
        for level in range(4):
            first, last = zoom_path.window(2.0, level, superseded)
            for zoom in np.linspace(-1, 12, 1041):
                if fading.opacity(level, zoom, superseded, first=level == 0) > 0 and zoom <= level + 5:
                    assert first < zoom < last

    def test_nothing_is_seen_through_while_levels_change(self):
        for zoom in np.linspace(0, 6, 1201):
            here = int(zoom + 0.5)
            old = fading.opacity(here, zoom, True, first=here == 0)
            before = fading.opacity(max(here - 1, 0), zoom, True, first=here <= 1)
            new = fading.opacity(here + 1, zoom)
            assert 1 - (1 - old) * (1 - new) * (1 - before) > 0.99, zoom

"""One world around what the artist gives: photos and objects stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement import (
    anchor,
    content,
    depth_db,
    flat_db,
    given_error,
    painted,
    photo,
    picture,
)

from core.formats.splat_ply import write_splats
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


class TestGiven:
    @pytest.mark.parametrize("level", [0, 1])
    def test_a_photo_stays_and_both_sides_agree_with_it(self, tmp_path, level):
        request = content(4, flat=True)
        request["levels"][level]["image"] = photo(tmp_path / "photo.png")
        painted(tmp_path / "job", request)
        assert given_error(tmp_path / "job", level, tmp_path / "photo.png") <= 1
        for coarse in range(3):
            assert flat_db(tmp_path / "job", request, coarse) > 45
        assert flat_db(tmp_path / "job", request, level, name="parts/painted.png") < 35

    def test_through_depth(self, tmp_path):
        request = content(size=(96, 72))
        request["levels"][0]["image"] = photo(tmp_path / "photo.png", (96, 72))
        painted(tmp_path / "job", request, relief=0.06)
        assert given_error(tmp_path / "job", 0, tmp_path / "photo.png") <= 1
        for level in (0, 1):
            assert depth_db(tmp_path / "job", request, level)[0] > 40

    @pytest.mark.parametrize("level", [0, 3])
    def test_a_loop_goes_through_it(self, tmp_path, level):
        request = content(5, flat=True, loop=True)
        request["levels"][level]["image"] = photo(tmp_path / "photo.png", sizes=(3, 9))
        painted(tmp_path / "job", request)
        assert given_error(tmp_path / "job", level, tmp_path / "photo.png") <= 1
        found = [flat_db(tmp_path / "job", request, coarse) for coarse in range(5)]
        assert found[level] > 45, "the photo binds the next level"
        assert min(found) > 25, "the photo does not show itself in its middle: that is spread over the other levels"

    def test_a_photo_within_a_photo_stays_too(self, tmp_path):
        request = content(flat=True)
        for level in (0, 1):
            request["levels"][level]["image"] = photo(tmp_path / f"{level}.png", seed=level)
        painted(tmp_path / "job", request)
        for level in (0, 1):
            assert given_error(tmp_path / "job", level, tmp_path / f"{level}.png") <= 1
        assert flat_db(tmp_path / "job", request, 1) > 45

    def test_an_object_stays_and_stains_nothing(self, tmp_path):
        request = content(size=(96, 72))
        count, half, colour = 60, 0.25, np.array([1.0, 0.0, 0.9])
        x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-half, half, count)] * 2))
        means = np.column_stack([x + 0.25, y, np.full_like(x, 0.45)]).astype(np.float32)
        sizes = np.full((len(x), 3), np.log(1.8 * half / count), np.float32) - [0, 0, 7]
        turn = np.tile([1, 0, 0, 0], (len(x), 1)).astype(np.float32)
        sh = np.tile((colour - 0.5) / SH_C0, (len(x), 1, 1)).astype(np.float32)
        splats = Gaussians(means, sizes.astype(np.float32), turn, np.full(len(x), 8, np.float32), sh)
        write_splats(tmp_path / "square.ply", splats)
        request["levels"][1]["assets"] = [str(tmp_path / "square.ply")]
        painted(tmp_path / "job", request, relief=0.06)
        first = "parts/painted.png"
        for level in range(3):
            rgb, depth = picture(tmp_path / "job", level), anchor(tmp_path / "job", level).depth
            square = np.isnan(depth)
            assert square.sum() > 100
            assert np.abs(rgb[square] - colour).max() < 0.02
            nearest = [np.abs(p[~square] - colour).max(1).min() for p in (rgb, picture(tmp_path / "job", level, first))]
            assert nearest[0] > nearest[1] - 0.03, "nothing else comes nearer to the object's colour"
        for level in (0, 1):
            before, after = (picture(tmp_path / "job", level, name) for name in (first, "image.png"))
            assert np.abs(after - before).max() < 0.3
            assert depth_db(tmp_path / "job", request, level)[0] > 40

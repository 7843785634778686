"""Files of points: with all columns of a cloud, or with places alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import SplatFileError
from core.formats import points, splat_ply
from core.formats.points import Points


def some_points(count: int) -> Points:
    rng = np.random.default_rng(0)
    return Points(
        rng.standard_normal((count, 3)).astype(np.float32),
        (rng.integers(0, 256, (count, 3)) / 255).astype(np.float32),
        rng.standard_normal((count, 3)).astype(np.float32),
        {
            "footprint": rng.random(count).astype(np.float32),
            "view": rng.integers(0, 9, count).astype(np.int32),
            "superseded": rng.random(count) < 0.5,
        },
    )


class TestPoints:
    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_what_is_written_comes_back(self, tmp_path, count):
        truth = some_points(count)
        points.write(tmp_path / "a.ply", truth)
        back = points.read(tmp_path / "a.ply")
        for name in ("positions", "rgb", "normals"):
            assert np.array_equal(getattr(back, name), getattr(truth, name)), name
            assert getattr(back, name).dtype == np.float32
        assert list(back.extra) == list(truth.extra)
        for name, values in truth.extra.items():
            assert np.array_equal(back.extra[name], values)
            assert back.extra[name].dtype == values.dtype

    def test_the_same_points_give_the_same_bytes(self, tmp_path):
        for name in "ab":
            points.write(tmp_path / name, some_points(20))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_places_are_enough(self, tmp_path):
        points.write(tmp_path / "a.ply", Points(some_points(9).positions))
        back = points.read(tmp_path / "a.ply")
        assert (len(back), back.rgb, back.normals, back.extra) == (9, None, None, {})

    def test_colours_may_be_numbers_from_0_to_1(self, tmp_path):
        head = b"ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
        head += b"".join(b"property float %s\n" % name for name in (b"x", b"y", b"z", b"red", b"green", b"blue"))
        (tmp_path / "a.ply").write_bytes(head + b"end_header\n" + np.float32([1, 2, 3, 0, 0.5, 1]).tobytes())
        assert np.array_equal(points.read(tmp_path / "a.ply").rgb, [[0, 0.5, 1]])

    def test_places_that_are_not_finite_are_left_out(self, tmp_path):
        truth = some_points(20)
        truth.positions[3, 1] = np.nan
        truth.positions[7, 0] = np.inf
        points.write(tmp_path / "a.ply", truth)
        back = points.read(tmp_path / "a.ply")
        assert np.array_equal(back.positions, np.delete(truth.positions, [3, 7], 0))
        assert np.array_equal(back.extra["view"], np.delete(truth.extra["view"], [3, 7]))

    def test_what_holds_none_is_refused(self, tmp_path):
        (tmp_path / "a.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nend_header\n")
        with pytest.raises(SplatFileError, match="holds no points"):
            points.read(tmp_path / "a.ply")
        points.write(tmp_path / "b.ply", some_points(5))
        (tmp_path / "b.ply").write_bytes((tmp_path / "b.ply").read_bytes()[:-1])
        with pytest.raises(SplatFileError, match="claims"):
            points.read(tmp_path / "b.ply")
        with pytest.raises(SplatFileError, match="holds a point cloud, not splats"):
            splat_ply.read(tmp_path / "b.ply")

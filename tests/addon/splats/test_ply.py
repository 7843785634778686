"""Files of splats are read whole or refused with a reason."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from addon import splats
from addon.splats import ply

from .. import splat_pictures as pictures

HEADER = b"ply\nformat binary_little_endian 1.0\n"
MESH = HEADER + (
    b"element vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    b"element face 1\nproperty list uchar int vertex_indices\nend_header\n" + bytes(36 + 13)
)


def parts_of(values):
    return values.means, values.log_scales, values.quaternions, values.logit_opacities, values.sh


class TestReadSplats:
    @pytest.mark.parametrize("degree", [0, 1, 2, 3])
    def test_any_degree_in_any_order_comes_back(self, tmp_path, degree):
        values = pictures.random_splats(50, degree, degree, flat=False)
        order = np.random.default_rng(degree).permutation
        pictures.write_3dgs(tmp_path / "a.ply", values, order, {"label": np.arange(50, dtype=np.int32)})
        back = ply.read_splats(tmp_path / "a.ply")
        for was, now in zip(parts_of(values), parts_of(back)):
            assert np.array_equal(was, now)
        assert np.array_equal(back.extra["label"], np.arange(50))

    def test_rows_that_are_not_finite_are_left_out_and_counted(self, tmp_path):
        values = pictures.random_splats(50, 1)
        values.means[3, 1] = np.nan
        values.sh[7, 0, 2] = np.inf
        pictures.write_3dgs(tmp_path / "a.ply", values)
        back = ply.read_splats(tmp_path / "a.ply")
        assert back.dropped == 2
        assert np.array_equal(back.means, np.delete(values.means, [3, 7], 0))

    def test_rotations_come_out_unit(self, tmp_path):
        values = pictures.random_splats(5, 1)
        values.quaternions[:] *= 3
        values.quaternions[4] = 0
        pictures.write_3dgs(tmp_path / "a.ply", values)
        back = ply.read_splats(tmp_path / "a.ply")
        assert np.allclose(np.linalg.norm(back.quaternions, axis=1), 1)
        assert np.array_equal(back.quaternions[4], (1, 0, 0, 0))

    def test_files_with_two_scales_are_surfels(self, tmp_path):
        values = pictures.random_splats(5, 1)
        pictures.write_3dgs(tmp_path / "a.ply", values, lambda names: [name for name in names if name != "scale_2"])
        back = ply.read_splats(tmp_path / "a.ply")
        assert np.allclose(back.log_scales, values.log_scales, atol=1e-5)
        assert back.are_surfels()


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "no PLY"),
            (b"solid cube\n", "no PLY"),
            (b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "text PLY"),
            (b"ply\nformat binary_big_endian 1.0\nelement vertex 0\nend_header\n", "big-endian PLY"),
            (b"ply\nelement vertex 0\nend_header\n", "without a format"),
            (HEADER + b"element vertex 5\nproperty float x\n", "truncated"),
            (HEADER + b"element vertex minus\nend_header\n", "makes no sense"),
            (HEADER + b"property float x\nend_header\n", "makes no sense"),
            (HEADER + b"element vertex 1\nproperty half x\nend_header\n", "makes no sense"),
            (HEADER + b"element vertex 1\nproperty float x\nproperty float x\nend_header\n", "repeated"),
            (MESH, "mesh"),
            (MESH.replace(b"face", b"edge"), "holds points"),
        ],
    )
    def test_each_is_refused_with_a_sentence_and_leaves_nothing(self, tmp_path, content, says):
        path = tmp_path / "bad.ply"
        path.write_bytes(content)
        with pytest.raises(splats.SplatFileError, match=says):
            splats.import_splats(path, "bad", bpy.context.scene.collection)
        assert not bpy.data.objects
        assert not bpy.data.meshes

    @pytest.mark.parametrize("count", [b"6", b"10000000000", b"999999999999999999"])
    def test_more_rows_than_bytes_are_refused_at_once(self, tmp_path, count):
        path = tmp_path / "short.ply"
        pictures.write_3dgs(path, pictures.random_splats(5, 1))
        path.write_bytes(path.read_bytes().replace(b"vertex 5", b"vertex " + count))
        with pytest.raises(splats.SplatFileError, match="claims"):
            splats.import_splats(path, "bad", bpy.context.scene.collection)

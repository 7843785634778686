"""The add-on's readers against the server's writers and readers of the same formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from addon import splats
from dreamzoom.splats import io
from dreamzoom.splats.gaussians import Gaussians
from dreamzoom.splats.io import spz

from .. import splat_pictures as pictures

KINDS = [".ply", ".compressed.ply", ".splat", "2.spz", "3.spz", "4.spz"]


def written(folder: Path, kind: str, degree: int = 3, count: int = 300) -> Path:
    values = pictures.random_splats(count, 1, degree, flat=False)
    rows = Gaussians(values.means, values.log_scales, values.quaternions, values.logit_opacities, values.sh)
    path = folder / f"splats{kind}"
    if kind.endswith(".spz"):
        spz.write_splats(path, rows, int(kind[0]))
    else:
        io.write(path, rows)
    return path


class TestReadSplats:
    @pytest.mark.parametrize("degree", [0, 3])
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_server_and_the_add_on_read_the_same(self, tmp_path, kind, degree):
        path = written(tmp_path, kind, degree)
        ours, (theirs, _) = splats.read_splats(path), io.read(path)
        assert len(ours) == 300
        for name in ("means", "log_scales", "quaternions", "logit_opacities", "sh"):
            assert getattr(ours, name).dtype == np.float32
            assert np.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6), name

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_content_counts_not_the_name(self, tmp_path, kind):
        path = written(tmp_path, kind)
        if kind != ".splat":
            path = path.rename(tmp_path / "other.splat")
        assert len(splats.read_splats(path)) == 300

    @pytest.mark.parametrize("kind", KINDS)
    def test_wherever_it_is_cut_it_is_refused(self, tmp_path, kind):
        path = written(tmp_path, kind)
        content = path.read_bytes()
        for size in [0, 3, 15, 31, *range(50, len(content), len(content) // 40)]:
            if kind != ".splat" or size % 32 or not size:
                path.write_bytes(content[:size])
                with pytest.raises(splats.SplatFileError, match="splats"):
                    splats.read_splats(path)

    @pytest.mark.parametrize("kind", KINDS)
    def test_damage_gives_splats_or_a_sentence(self, tmp_path, kind):
        path = written(tmp_path, kind, 1, 40)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        rng = np.random.default_rng(0)
        for _ in range(100):
            damaged = content.copy()
            damaged[rng.integers(0, min(len(damaged), 1500), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                read = splats.read_splats(path)
            except splats.SplatFileError as error:
                assert "\n" not in str(error)
            else:
                assert np.isfinite(read.means).all()
                assert np.isfinite(read.log_scales).all()

    def test_what_can_not_be_finite_is_left_out_and_counted(self, tmp_path):
        path = written(tmp_path, ".splat")
        content = bytearray(path.read_bytes())
        content[32:36] = np.float32(np.nan).tobytes()
        content[64 + 12 : 64 + 16] = np.float32(-1).tobytes()
        path.write_bytes(content)
        read = splats.read_splats(path)
        assert (len(read), read.dropped) == (298, 2)

"""Files of splats agree with an independent reader; clouds come back; damage gives splats or a sentence.

What the formats themselves promise is tested in `tests/core`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import gsply
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from some_splats import SUFFIXES, assert_close, some

from core import formats
from core.errors import SplatFileError
from core.formats import splat_ply, spz
from core.gaussians import Gaussians
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.cloud_ply import read_cloud, write_cloud

pytestmark = pytest.mark.slow


def of_gsply(data) -> Gaussians:
    """What gsply read, as our set."""
    harmonics = data.shN if data.shN is not None and data.shN.size else np.zeros((len(data.means), 0, 3), np.float32)
    sh = np.concatenate([data.sh0.reshape(-1, 1, 3), harmonics], 1)
    lengths = np.linalg.norm(data.quats, axis=-1, keepdims=True)
    return Gaussians(data.means, data.scales, data.quats / lengths, data.opacities.reshape(-1), sh)


def to_gsply(splats: Gaussians) -> gsply.GSData:
    return gsply.GSData.from_arrays(
        means=splats.means,
        scales=splats.log_scales,
        quats=splats.quaternions,
        opacities=splats.logit_opacities,
        sh0=np.ascontiguousarray(splats.sh[:, 0]),
        shN=np.ascontiguousarray(splats.sh[:, 1:]) if splats.sh.shape[1] > 1 else None,
        format="ply",
    )


class TestAgainstGsply:
    """An independent reader and writer of the same formats."""

    @pytest.mark.parametrize("degree", [0, 3])
    @pytest.mark.parametrize("ending", [".ply", ".compressed.ply", ".spz"])
    def test_it_reads_what_we_write(self, tmp_path, ending, degree):
        splats = some(700, degree)
        path = tmp_path / f"a{ending}"
        formats.write(path, splats)
        theirs = of_gsply(gsply.read_spz(path) if ending == ".spz" else gsply.plyread(path))
        assert_close(
            theirs, formats.read(path).splats, mean=1e-6, scale=1e-5, turn=1e-3, opacity=1e-5, colour=1e-5, sh=0.02
        )

    @pytest.mark.parametrize("degree", [0, 3])
    @pytest.mark.parametrize("ending", [".ply", ".compressed.ply", "3.spz", "4.spz"])
    def test_we_read_what_it_writes(self, tmp_path, ending, degree):
        splats = some(700, degree)
        path = tmp_path / f"a{ending}"
        if ending.endswith("spz"):
            gsply.write_spz(path, to_gsply(splats), version=int(ending[0]))
        else:
            gsply.plywrite(path, to_gsply(splats), compressed=ending == ".compressed.ply")
        ours = formats.read(path).splats
        theirs = of_gsply(gsply.read_spz(path) if ending.endswith("spz") else gsply.plyread(path))
        assert len(ours) == 700
        assert_close(ours, theirs, mean=1e-6, scale=1e-5, turn=1e-3, opacity=1e-5, colour=1e-5, sh=0.02)


class TestCloud:
    def cloud(self, count: int) -> Cloud:
        rng = np.random.default_rng(0)
        return Cloud(
            rng.standard_normal((count, 3)).astype(np.float32),
            (rng.integers(0, 256, (count, 3)) / 255).astype(np.float32),
            rng.standard_normal((count, 3)).astype(np.float32),
            rng.random(count).astype(np.float32),
            rng.integers(0, 9, count).astype(np.int32),
            rng.random(count).astype(np.float32),
            rng.random(count) < 0.5,
        )

    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_what_is_written_comes_back(self, tmp_path, count):
        cloud = self.cloud(count)
        write_cloud(tmp_path / "a.ply", cloud)
        back = read_cloud(tmp_path / "a.ply")
        for name, value in vars(cloud).items():
            assert np.array_equal(getattr(back, name), value), name
            assert getattr(back, name).dtype == value.dtype

    def test_splats_are_no_cloud(self, tmp_path):
        splat_ply.write_splats(tmp_path / "a.ply", some(5))
        with pytest.raises(SplatFileError, match="lacks the column 'red'"):
            read_cloud(tmp_path / "a.ply")
        write_cloud(tmp_path / "b.ply", self.cloud(5))
        with pytest.raises(SplatFileError, match="holds a point cloud, not splats"):
            formats.read(tmp_path / "b.ply")


@pytest.fixture(scope="module")
def good_files(tmp_path_factory) -> dict[str, bytes]:
    """One small file of every kind, by the name it must have."""
    folder = tmp_path_factory.mktemp("good")
    files = {}
    for ending in SUFFIXES:
        formats.write(folder / f"good{ending}", some(20, 1))
        files[f"bad{ending}"] = (folder / f"good{ending}").read_bytes()
    for version in (2, 3):
        spz.write_splats(folder / f"{version}.spz", some(20, 1), version)
        files[f"bad{version}.spz"] = (folder / f"{version}.spz").read_bytes()
    shutil.rmtree(folder)
    return files


KINDS = ["cut", "bytes", "count", "type", "noise", "grow"]
"""What may happen to a file: cut, bytes changed, a number or a type of its header changed, all of it noise, longer."""


def damaged(content: bytes, damage: tuple[str, int, bytes]) -> bytes:
    kind, number, noise = damage
    place = number % len(content)
    match kind:
        case "cut":
            return content[:place]
        case "bytes":
            return content[:place] + noise + content[place + len(noise) :]
        case "count":
            return content.replace(b" 20\n", b" %d\n" % number)
        case "type":
            types = [b"uchar", b"double", b"list uchar int", b"short", b"half"]
            return content.replace((b"float", b"uint")[number % 2], types[number % len(types)])
        case "grow":
            return content + noise
    return content[: number % 8] + noise * (number % 50)


class TestFuzz:
    @settings(max_examples=2000, deadline=1000, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        which=st.integers(0, 7),
        damage=st.tuples(st.sampled_from(KINDS), st.integers(0, 2**40), st.binary(min_size=1, max_size=40)),
    )
    def test_a_damaged_file_gives_splats_or_a_sentence(self, good_files, tmp_path_factory, which, damage):
        name = sorted(good_files)[which]
        folder = Path(tmp_path_factory.getbasetemp())
        path = folder / name
        path.write_bytes(damaged(good_files[name], damage))
        before = time.perf_counter()
        try:
            splats = formats.read(path).splats
        except SplatFileError as error:
            assert str(error).startswith(name)
            assert "\n" not in str(error)
        else:
            assert len(splats) < 5000
            for part in (splats.means, splats.log_scales, splats.quaternions, splats.logit_opacities, splats.sh):
                assert np.isfinite(part).all()
            assert np.allclose(np.linalg.norm(splats.quaternions, axis=-1), 1, atol=1e-4)
        assert time.perf_counter() - before < 30

"""Files as people have them: odd values and absent parts cost no rows, and far places are kept."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from some_splats import some

from core import formats
from core.errors import SplatFileError
from core.formats import points, splat_ply, spz
from core.gaussians import Gaussians

NAMES = [
    *"xyz",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    *(f"rot_{i}" for i in range(4)),
]
CODES = {"float": "<f4", "double": "<f8", "uchar": "u1", "ushort": "<u2", "int": "<i4"}


def table(splats: Gaussians) -> np.ndarray:
    """Rows (N, 14) in the order of NAMES."""
    columns = [splats.means, splats.sh[:, 0], splats.logit_opacities[:, None], splats.log_scales, splats.quaternions]
    return np.concatenate(columns, 1)


def header(count: int, properties: list[str], kind: str = "binary_little_endian", before: str = "", end: str = "\n"):
    lines = [
        "ply",
        f"format {kind} 1.0",
        *before.splitlines(),
        f"element vertex {count}",
        *properties,
        "end_header",
        "",
    ]
    return end.join(lines).encode()


FLOATS = [f"property float {name}" for name in NAMES]


class TestOddFiles:
    def test_infinite_and_absurd_thinness_is_flat_in_every_format(self, tmp_path):
        splats = some(60, 0)
        splats.log_scales[:20, 2], splats.log_scales[20:40, 0] = -np.inf, -200
        splats.log_scales[40] = -np.inf
        for suffix in (".ply", ".glb", ".splat"):
            formats.write(tmp_path / f"a{suffix}", splats)
            found = formats.read(tmp_path / f"a{suffix}")
            assert (len(found.splats), found.dropped) == (60, 0)
            assert np.isfinite(found.splats.log_scales).all()
            expected = splats.log_scales[:20, :2].min(1) + np.log(1e-3)
            assert np.allclose(found.splats.log_scales[:20, 2], expected, atol=1e-4)
            assert "41 splats without thickness" in found.report

    def test_rows_without_numbers_are_dropped_and_counted_and_the_rest_is_read(self, tmp_path):
        splats = some(30, 1)
        splats.means[3, 1], splats.quaternions[4, 0], splats.log_scales[5, 2] = np.nan, np.nan, np.inf
        splats.logit_opacities[6], splats.sh[7, 2, 1] = np.nan, np.nan
        splats.logit_opacities[8] = -np.inf
        splat_ply.write_splats(tmp_path / "a.ply", splats)
        found = formats.read(tmp_path / "a.ply")
        assert (len(found.splats), found.dropped) == (25, 5)
        assert "5 of 30 splats hold no usable numbers" in found.report

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("kind", ["ascii", "binary_big_endian", "binary_little_endian"])
    def test_text_and_both_byte_orders_with_any_line_end(self, tmp_path, kind, end):
        splats = some(50)
        rows = table(splats)
        body = rows.astype(">f4" if "big" in kind else "<f4").tobytes()
        if kind == "ascii":
            body = (end.join(" ".join(map(repr, map(float, row))) for row in rows) + end).encode()
        (tmp_path / "a.ply").write_bytes(header(50, FLOATS, kind, "comment ä\nobj_info b", end) + body)
        back = formats.read(tmp_path / "a.ply").splats
        for was, now in zip(splats.parts, back.parts):
            assert np.array_equal(was, now)

    def test_text_may_hold_nan_and_infinity(self, tmp_path):
        rows = [list(map(str, row)) for row in table(some(4))]
        rows[1][9], rows[2][0] = "-inf", "nan"
        text = "\n\n".join(" ".join(row) for row in rows).encode()
        (tmp_path / "a.ply").write_bytes(header(4, FLOATS, "ascii") + text)
        found = formats.read(tmp_path / "a.ply")
        assert (len(found.splats), found.dropped) == (3, 1)

    @pytest.mark.parametrize("change", ["few", "many", "word", "row"])
    def test_a_text_that_does_not_fit_its_header_is_refused(self, tmp_path, change):
        rows = [list(map(str, row)) for row in table(some(30))]
        match change:
            case "few":
                rows[7].pop()
            case "many":
                rows[7].append("1")
            case "word":
                rows[7][3] = "x"
            case "row":
                rows.pop()
        text = "\n".join(" ".join(row) for row in rows).encode()
        (tmp_path / "a.ply").write_bytes(header(30, FLOATS, "ascii") + text)
        with pytest.raises(SplatFileError, match="^a.ply: the PLY('s text is damaged| claims)"):
            formats.read(tmp_path / "a.ply")

    @pytest.mark.parametrize("lengths", ["equal", "different", "none"])
    @pytest.mark.parametrize("order", ["<", ">", ""])
    def test_other_elements_and_lists_may_stand_anywhere(self, tmp_path, lengths, order):
        splats = some(20)
        rng = np.random.default_rng(0)
        sizes = {"equal": [3] * 9, "different": [3, 4, 0, 7, 1, 2, 3, 3, 9], "none": []}[lengths]
        faces = [rng.integers(0, 9, size) for size in sizes]
        own = [rng.integers(0, 9, size) for size in ([2] * 20 if lengths == "equal" else rng.integers(0, 4, 20))]
        properties = [*FLOATS[:5], "property list uchar short neighbours", *FLOATS[5:]]
        before = f"element face {len(faces)}\nproperty list uchar int i\nproperty float w\nelement empty 3"
        kind = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
        if order:
            body = b"".join(
                bytes([len(face)]) + face.astype(f"{order}i4").tobytes() + np.array([1.5], f"{order}f4").tobytes()
                for face in faces
            )
            for row, some_own in zip(table(splats), own):
                body += row[:5].astype(f"{order}f4").tobytes() + bytes([len(some_own)])
                body += some_own.astype(f"{order}i2").tobytes() + row[5:].astype(f"{order}f4").tobytes()
        else:
            lines = [" ".join(map(str, [len(face), *face, 1.5])) for face in faces]
            for row, some_own in zip(table(splats), own):
                values = [*map(repr, map(float, row[:5])), len(some_own), *some_own, *map(repr, map(float, row[5:]))]
                lines.append(" ".join(map(str, values)))
            body = "\n".join(lines).encode()
        after = "\nelement camera 1\nproperty double fov".splitlines()
        content = header(20, [*properties, *after[1:]], kind, before) + body
        (tmp_path / "a.ply").write_bytes(content + (np.array([1.0]).tobytes() if order else b"\n1"))
        back = formats.read(tmp_path / "a.ply").splats
        for was, now in zip(splats.parts, back.parts):
            assert np.array_equal(was, now)

    @pytest.mark.parametrize(
        ("names", "code", "most"),
        [
            (("red", "green", "blue"), "uchar", 255),
            (("red", "green", "blue"), "ushort", 65535),
            (("diffuse_red", "diffuse_green", "diffuse_blue"), "uchar", 255),
            (("red", "green", "blue"), "float", 1),
            (("r", "g", "b"), "double", 1),
        ],
    )
    def test_colours_in_place_of_harmonics(self, tmp_path, names, code, most):
        splats = some(40)
        kept = [index for index, name in enumerate(NAMES) if not name.startswith("f_dc")]
        fields = [(NAMES[index], "<f4") for index in kept] + [(name, CODES[code]) for name in names]
        rows = np.zeros(40, fields)
        for index in kept:
            rows[NAMES[index]] = table(splats)[:, index]
        for name, column in zip(names, splats.rgb.T):
            rows[name] = np.round(column * most) if most > 1 else column
        properties = [FLOATS[index] for index in kept] + [f"property {code} {name}" for name in names]
        (tmp_path / "a.ply").write_bytes(header(40, properties) + rows.tobytes())
        assert np.abs(formats.read(tmp_path / "a.ply").splats.rgb - splats.rgb).max() < 1 / 255

    def test_a_truthful_order_is_taken_and_a_wrong_one_refused(self, tmp_path):
        splat_ply.write_splats(tmp_path / "a.ply", some(50))
        content = (tmp_path / "a.ply").read_bytes()
        (tmp_path / "a.ply").write_bytes(content.replace(b"little", b"big", 1))
        with pytest.raises(SplatFileError, match="make no sense as big-endian"):
            formats.read(tmp_path / "a.ply")

    def test_a_header_that_claims_too_few_rows_is_said(self, tmp_path):
        splat_ply.write_splats(tmp_path / "a.ply", some(50))
        content = (tmp_path / "a.ply").read_bytes()
        (tmp_path / "a.ply").write_bytes(content.replace(b"vertex 50", b"vertex 40", 1))
        found = formats.read(tmp_path / "a.ply")
        assert len(found.splats) == 40
        assert "the file has 680 bytes more than its header claims" in found.report

    @pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".splat"])
    def test_packed_by_gzip(self, tmp_path, suffix):
        formats.write(tmp_path / f"a{suffix}", some(300, 1))
        content = (tmp_path / f"a{suffix}").read_bytes()
        half = len(content) // 2
        (tmp_path / f"b{suffix}.gz").write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
        whole, packed = (formats.read(tmp_path / name).splats for name in (f"a{suffix}", f"b{suffix}.gz"))
        assert all(np.array_equal(was, now) for was, now in zip(whole.parts, packed.parts))

    @pytest.mark.parametrize(
        "element", ["element sh 300\n", "element sh 0\nproperty uchar f_rest_0\n", "element sh 0\n"]
    )
    def test_an_empty_table_of_harmonics_is_none(self, tmp_path, element):
        formats.write(tmp_path / "a.compressed.ply", some(300))
        content = (tmp_path / "a.compressed.ply").read_bytes()
        (tmp_path / "b.ply").write_bytes(content.replace(b"end_header\n", element.encode() + b"end_header\n"))
        assert formats.read(tmp_path / "b.ply").splats.sh.shape == (300, 1, 3)

    @pytest.mark.parametrize("degree", [0, 1, 3])
    def test_spz_of_version_1_holds_half_precision(self, tmp_path, degree):
        splats = some(200, degree)
        spz.write_splats(tmp_path / "a.spz", splats, 2)
        content = gzip.decompress((tmp_path / "a.spz").read_bytes())
        head = bytearray(content[:16])
        head[4] = 1
        body = splats.means.astype("<f2").tobytes() + content[16 + 9 * 200 :]
        (tmp_path / "b.spz").write_bytes(gzip.compress(bytes(head) + body))
        found = formats.read(tmp_path / "b.spz")
        assert np.abs(found.splats.means - splats.means).max() < 1e-3
        assert found.splats.sh.shape == splats.sh.shape

    def test_a_newer_spz_is_named(self, tmp_path):
        spz.write_splats(tmp_path / "a.spz", some(9))
        content = bytearray((tmp_path / "a.spz").read_bytes())
        content[4] = 9
        (tmp_path / "a.spz").write_bytes(content)
        with pytest.raises(SplatFileError, match="version 9, which is newer"):
            formats.read(tmp_path / "a.spz")


GRIDS = [(447_213.25, 5_411_873.5, 312.125), (-2_694_892.1, -4_297_405.9, 3_854_624.3), (0, 12_345_678.9, 0)]


class TestFarPlaces:
    @pytest.mark.parametrize("place", GRIDS)
    @pytest.mark.parametrize("kind", ["binary_little_endian", "binary_big_endian", "ascii"])
    def test_doubles_are_recentred_before_they_are_rounded(self, tmp_path, place, kind):
        splats = some(500)
        rows = np.zeros(500, [(name, "<f8") for name in NAMES])
        for name, column in zip(NAMES, table(splats).T):
            rows[name] = column
        for axis, offset in zip("xyz", place):
            rows[axis] += offset
        body = rows.astype([(name, ">f8") for name in NAMES]).tobytes() if "big" in kind else rows.tobytes()
        if kind == "ascii":
            body = "\n".join(" ".join(map(repr, row)) for row in rows.tolist()).encode()
        properties = [f"property double {name}" for name in NAMES]
        (tmp_path / "a.ply").write_bytes(header(500, properties, kind) + body)
        found = formats.read(tmp_path / "a.ply")
        true = np.stack([rows[axis] for axis in "xyz"], 1)
        assert np.abs(found.splats.means + found.origin - true).max() < 3e-7
        assert np.abs(found.splats.means).max() < 10
        assert "its place is" in found.report

    def test_doubles_near_the_origin_stay_where_they_are(self, tmp_path):
        rows = np.zeros(100, [(name, "<f8") for name in NAMES])
        for name, column in zip(NAMES, table(some(100)).T):
            rows[name] = column + (3 if name in "xyz" else 0)
        properties = [f"property double {name}" for name in NAMES]
        (tmp_path / "a.ply").write_bytes(header(100, properties) + rows.tobytes())
        assert not formats.read(tmp_path / "a.ply").origin.any()

    @pytest.mark.parametrize("suffix", [".ply", ".glb"])
    @pytest.mark.parametrize("place", GRIDS)
    def test_what_is_written_with_a_place_is_read_with_it(self, tmp_path, suffix, place):
        splats = some(200, 1)
        formats.write(tmp_path / f"a{suffix}", splats, formats.About("", place))
        found = formats.read(tmp_path / f"a{suffix}")
        assert np.abs(found.splats.means + found.origin - (splats.means.astype(np.float64) + place)).max() < 1e-6

    @pytest.mark.parametrize("place", GRIDS)
    def test_points_keep_their_place_too(self, tmp_path, place):
        rng = np.random.default_rng(0)
        near = rng.standard_normal((300, 3))
        rows = np.zeros(300, [(name, "<f8") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")])
        for axis, column, offset in zip("xyz", near.T, place):
            rows[axis] = column + offset
        properties = [f"property double {axis}" for axis in "xyz"]
        properties += [f"property uchar {name}" for name in ("red", "green", "blue")]
        (tmp_path / "a.ply").write_bytes(header(300, properties) + rows.tobytes())
        found = points.read(tmp_path / "a.ply")
        assert np.abs(found.placed - (near + place)).max() < 1e-6
        points.write(tmp_path / "b.ply", found)
        assert np.abs(points.read(tmp_path / "b.ply").placed - (near + place)).max() < 1e-6

"""Files as people have them: what they say of themselves is used, odd values cost no rows, far places are kept.

Those of `tests/data/field` show an L of 400 splats: a red bar 2 units up, a green bar 1 unit to the right, a blue one
half a unit towards the viewer. Further ones of each kind are made here.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from some_splats import some

from core import formats
from core.errors import SplatFileError
from core.formats import axes, points, splat_ply, spz
from core.gaussians import Gaussians

FIELD = Path(__file__).resolve().parents[1] / "data" / "field"
WHOLE = sorted(path.name for path in FIELD.iterdir() if "tiny" not in path.name and path.name != "site.ply")
COUNT = {"ascii.ply": 100, "cut.splat": 399}
PLY = b"ply\nformat binary_little_endian 1.0\n"


def figure() -> Gaussians:
    """The figure of the field's files, upright."""
    return formats.read(FIELD / "axes_comment_z.ply").splats


def assert_upright(splats: Gaussians):
    red, green = (splats.rgb.argmax(1) == channel for channel in range(2))
    assert splats.means[red, 2].max() == pytest.approx(2, abs=0.05)
    assert splats.means[green, 0].max() == pytest.approx(1, abs=0.05) or not green.any()
    assert np.abs(splats.means[red, :2]).max() < 0.15


def with_comments(path: Path, splats: Gaussians, *comments: str, kind: str = "comment") -> Path:
    """A 3DGS PLY with comments of another program."""
    splat_ply.write_splats(path, splats)
    lines = "".join(f"{kind} {comment}\n" for comment in comments).encode()
    path.write_bytes(path.read_bytes().replace(PLY, PLY + lines))
    return path


def turned(matrix: np.ndarray) -> Gaussians:
    """The figure in axes from which `matrix` leads to upright ones; only the places matter."""
    return replace(figure(), means=(figure().means @ matrix).astype(np.float32))


class TestField:
    @pytest.mark.parametrize("name", WHOLE)
    def test_the_whole_figure_stands_upright(self, name):
        found = formats.read(FIELD / name)
        assert len(found.splats) == COUNT.get(name, 400)
        assert found.dropped == 0
        if name != "ascii.ply":  # which holds the first rows alone
            assert_upright(found.upright())

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("axes_comment_z.ply", "Z up, as the file says"),
            ("axes_rdf.spz", "axes RDF, as the file says"),
            ("v3_with_extension_tail.spz", "axes RDF, as the file says"),
            ("unknown_extension.spz", "Y up, as is usual for SPZ; 1 extension of the file not known, skipped"),
            ("antialiased.spz", "Y up, as is usual for SPZ; anti-aliased"),
            ("flat.ply", "−Y up, as is usual for 3DGS PLY; 400 splats without thickness are flat"),
            ("some.ply", "−Y up, as is usual for 3DGS PLY; 100 splats without thickness are flat"),
            ("cut.splat", "−Y up, as is usual for .splat; its last 12 bytes are no whole splat and were left out"),
            ("tail.splat", "−Y up, as is usual for .splat; its last 12 bytes are no whole splat and were left out"),
            ("site.ply", "Z up, as surveyed coordinates have it; coordinates in EPSG:25832; recentred, its place is "),
        ],
    )
    def test_one_line_says_what_was_guessed_or_changed(self, name, says):
        report = formats.read(FIELD / name).report
        assert says in report
        assert "\n" not in report

    def test_flat_splats_are_surfels_and_the_others_as_they_were(self):
        assert formats.read(FIELD / "flat.ply").splats.are_surfels()
        some_flat = formats.read(FIELD / "some.ply").splats
        thin = some_flat.log_scales[:, 2] < some_flat.log_scales[:, 0] - 5
        assert thin.sum() == 100

    def test_colours_of_bytes_are_those_of_harmonics(self):
        whole = formats.read(FIELD / "big_endian.ply").splats
        assert np.abs(formats.read(FIELD / "rgb.ply").splats.rgb - whole.rgb).max() < 1 / 255
        assert np.array_equal(formats.read(FIELD / "both.ply").splats.sh, whole.sh)

    def test_no_two_rows_of_the_national_grid_collapse(self):
        found = formats.read(FIELD / "site.ply")
        assert len(np.unique(found.splats.means.round(5), axis=0)) == 400
        data = (FIELD / "site.ply").read_bytes()
        rows = np.frombuffer(data[data.index(b"end_header\n") + 11 :], np.uint8).reshape(400, -1)
        true = np.ascontiguousarray(rows[:, :24]).view("<f8")
        assert np.abs(found.splats.means + found.origin - true).max() < 1e-7
        assert np.array_equal(found.origin, found.origin.astype(np.float32))

    def test_heights_of_the_national_grid_point_up(self):
        found = formats.read(FIELD / "site.ply")
        assert found.up == "Z"
        red = found.splats.rgb.argmax(1) == 0
        assert np.ptp(found.splats.means[red], axis=0)[2] == pytest.approx(1, abs=0.1)  # the figure at half its size


SAYINGS = {
    "Vertical Axis: z": "Z",
    "Vertical axis: -y": "-Y",
    "vertical axis: Y": "Y",
    "up: +z": "Z",
    "UP_AXIS = y": "Y",
    "up axis: negative z": "-Z",
    "world_up 0 -1 0": "-Y",
    "up vector (0, 0, 1)": "Z",
    "Vertical axis: 0 1 0": "Y",
    "Vertical axis: [-1.0, 0.0, 0.0]": "-X",
    "y-up": "Y",
    "Z up": "Z",
    "coordinates: y down": "-Y",
    "coordinate system: OpenCV": "-Y",
    "Coordinate System: RUB": "Y",
    "axes RFU": "Z",
    "coord_system=blender": "Z",
}


class TestDeclaredAxes:
    @pytest.mark.parametrize("kind", ["comment", "obj_info"])
    @pytest.mark.parametrize("saying", SAYINGS)
    def test_words_vectors_and_letters(self, tmp_path, saying, kind):
        up = SAYINGS[saying]
        found = formats.read(with_comments(tmp_path / "a.ply", turned(axes.UPRIGHT[up]), saying, kind=kind))
        assert found.up == up
        assert "the file says" in found.report
        assert_upright(found.upright())

    def test_brush_means_minus_y_by_a_bare_y(self, tmp_path):
        comments = ("Exported from Brush", "Vertical axis: y", "SH degree: 0", "SplatRenderMode: default")
        found = formats.read(with_comments(tmp_path / "a.ply", turned(axes.UPRIGHT["-Y"]), *comments))
        assert found.up == "-Y"
        assert not found.antialiased

    @pytest.mark.parametrize("up", [(0.1, -0.98, 0.05), (0.3, 0.2, 0.9), (1, 0.2, 0.2), (0, -2, 0)])
    def test_any_vector_points_up(self, tmp_path, up):
        path = with_comments(tmp_path / "a.ply", some(9), "Vertical axis: {} {} {}".format(*up))
        found = formats.read(path)
        assert np.allclose(found.axes.matrix @ (up / np.linalg.norm(up)), (0, 0, 1))
        assert np.allclose(found.axes.matrix @ found.axes.matrix.T, np.eye(3))

    @pytest.mark.parametrize(
        "comment",
        ["", "made by X", "scaled up 2 times", "up", "Vertical axis: maybe", "up vector 0 0 0", "vertical axis: 1 2",
         "coordinates in metres", "up to 3 degrees", "SH degree: 3", "cleaned up and cropped, frame 1 of Blender"],
    )  # fmt: skip
    def test_other_words_say_nothing(self, tmp_path, comment):
        found = formats.read(with_comments(tmp_path / "a.ply", some(3), comment))
        assert (found.up, found.axes.said) == ("-Y", "")

    def test_the_last_word_counts(self, tmp_path):
        path = with_comments(tmp_path / "a.ply", some(3), "Vertical Axis: z", "Vertical Axis: y")
        assert formats.read(path).up == "Y"

    @pytest.mark.parametrize("letters", [name for name in spz.SYSTEMS if name])
    @pytest.mark.parametrize("version", [3, 4])
    def test_every_system_of_spz(self, tmp_path, letters, version):
        system = axes.named(letters)
        assert system is not None
        path = tmp_path / "a.spz"
        spz.write_splats(path, turned(system.matrix), version)
        unknown = struct.pack("<II5x", 0x12340001, 5)
        extend(path, unknown + struct.pack("<III", spz.COORDINATES, 4, spz.SYSTEMS.index(letters)))
        found = formats.read(path)
        assert np.linalg.det(found.axes.matrix) == pytest.approx(1)
        assert f"axes {letters}" in found.report
        assert ("mirrored" in found.report) == system.is_mirrored
        assert_upright(found.upright())

    @pytest.mark.parametrize(
        "extension",
        [
            b"",
            b"\1\2\3",
            struct.pack("<II", spz.COORDINATES, 4),
            struct.pack("<III", spz.COORDINATES, 4, 99),
            struct.pack("<III", spz.COORDINATES, 4, 0),
            struct.pack("<II", 7, 1 << 31),
        ],
    )
    def test_odd_extensions_leave_the_usual_axes(self, tmp_path, extension):
        path = tmp_path / "a.spz"
        spz.write_splats(path, some(9))
        extend(path, extension)
        assert formats.read(path).up == "Y"

    def test_left_handed_splats_are_mirrored_with_their_shapes_and_harmonics(self, tmp_path):
        splats = some(40, 3)
        path = with_comments(tmp_path / "a.ply", splats, "coordinate system: RUF")
        found = formats.read(path)
        back = found.splats
        assert np.allclose(back.means, splats.means * (-1, 1, 1))
        direction = np.array([(0.6, 0.48, 0.64)])
        assert np.allclose(seen(back, direction), seen(splats, direction * (-1, 1, 1)), atol=1e-4)


def seen(splats: Gaussians, direction: np.ndarray) -> np.ndarray:
    from core.spherical_harmonics import basis

    values = np.stack(basis(*direction.T, 3), -1)
    return splats.rgb + np.einsum("ak,nkc->nc", values, splats.sh[:, 1:])


def extend(path: Path, extension: bytes) -> None:
    """Add extensions to an SPZ file."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        content = bytearray(gzip.decompress(data))
        content[14] |= spz.EXTENDED
        path.write_bytes(gzip.compress(bytes(content) + extension))
        return
    head = bytearray(data[:32])
    head[14] |= spz.EXTENDED
    head[16:20] = struct.pack("<I", 32 + len(extension))
    path.write_bytes(bytes(head) + extension + data[32:])


class TestAntialiasing:
    @pytest.mark.parametrize(
        ("comment", "expected"),
        [
            ("SplatRenderMode: mip", True),
            ("SplatRenderMode: default", False),
            ("antialiased 1", True),
            ("antialiased 0", False),
            ("Anti-Aliasing: true", True),
            ("no antialiasing known", False),
        ],
    )
    def test_plys_say_it_in_comments(self, tmp_path, comment, expected):
        assert formats.read(with_comments(tmp_path / "a.ply", some(3), comment)).antialiased is expected

    @pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".spz", ".glb", ".sog"])
    def test_it_is_kept(self, tmp_path, suffix):
        formats.write(tmp_path / f"a{suffix}", some(9), formats.About(antialiased=True))
        formats.write(tmp_path / f"b{suffix}", some(9))
        assert formats.read(tmp_path / f"a{suffix}").antialiased
        assert not formats.read(tmp_path / f"b{suffix}").antialiased

    def test_flags_of_the_field(self):
        flags = {
            name: formats.read(FIELD / f"{name}.spz").antialiased for name in ("plain", "tiny_flag0", "tiny_flag1")
        }
        assert flags == {"plain": False, "tiny_flag0": False, "tiny_flag1": True}


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

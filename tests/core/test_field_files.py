"""Files as people have them: what they say of themselves is used. Those of `tests/data/field` show the L of
`field_figure`; further ones of each kind are made here.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from field_figure import COUNT, FIELD, WHOLE, assert_upright, extend, seen, turned, with_comments
from some_splats import some

from core import formats
from core.formats import axes, spz


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

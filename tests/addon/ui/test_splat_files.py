"""Import and export through menus and dropping."""

from __future__ import annotations

import gzip
import re
import shutil
import struct
from dataclasses import replace
from math import pi
from pathlib import Path

import bpy
import numpy as np
import pytest

from addon import splats
from addon.core import formats

from .. import splat_pictures as pictures

FIELD = Path(__file__).resolve().parents[2] / "data" / "field"


@pytest.fixture
def operators(registered):
    return bpy.ops.dreamzoom


def choice(name):
    return bpy.ops.dreamzoom.import_splats.get_rna_type().properties[name]


def written(folder, name="scene.ply", **extra):
    values = pictures.random_splats(30, 1, 1, flat=False)
    pictures.write_3dgs(folder / name, values, extra=extra)
    return values, str(folder / name)


class TestImport:
    def test_a_capture_stands_upright_selected_and_active(self, operators, tmp_path):
        _, path = written(tmp_path)
        assert operators.import_splats(filepath=path, scale=2) == {"FINISHED"}
        obj = bpy.context.view_layer.objects.active
        assert (obj.name, obj.type, obj.select_get()) == ("scene", "POINTCLOUD", True)
        bpy.context.view_layer.update()
        assert np.allclose(obj.matrix_world @ pictures.Vector((0, -1, 0)), (0, 0, 2), atol=1e-6)

    def test_our_own_files_keep_their_axes(self, operators, tmp_path):
        _, path = written(tmp_path, superseded=np.arange(30, dtype=np.uint8) % 2)
        operators.import_splats(filepath=path)
        assert [obj.rotation_euler.x for obj in bpy.context.selected_objects] == [0, 0]

    def test_the_artist_decides_over_axes_and_representation(self, operators, tmp_path):
        _, path = written(tmp_path)
        operators.import_splats(filepath=path, axes="Y", representation="surfels")
        obj = bpy.context.view_layer.objects.active
        assert obj.type == "MESH"
        assert obj.rotation_euler.x == pytest.approx(pi / 2)

    def test_several_files_dropped_at_once(self, operators, tmp_path):
        names = [Path(written(tmp_path, name)[1]).name for name in ("a.ply", "b.ply")]
        operators.import_splats(directory=str(tmp_path), files=[{"name": name} for name in names])
        assert {obj.name for obj in bpy.data.objects} == {"a", "b"}

    @pytest.mark.parametrize(
        ("axes", "up"), [("MINUS_Y", (0, -1, 0)), ("Y", (0, 1, 0)), ("Z", (0, 0, 1)), ("AUTO", (0, -1, 0))]
    )
    def test_what_is_up_in_the_file_is_up_in_the_scene_at_any_scale(self, operators, tmp_path, axes, up):
        values, path = written(tmp_path)
        values.means[0] = up
        pictures.write_3dgs(Path(path), values)
        operators.import_splats(filepath=path, axes=axes, scale=3)
        obj = bpy.context.view_layer.objects.active
        bpy.context.view_layer.update()
        assert np.allclose(obj.matrix_world @ obj.data.points[0].co, (0, 0, 3), atol=1e-5)

    @pytest.mark.parametrize("thickness", [1e-3, 0.1, 1.0])
    def test_the_report_says_what_the_splats_became(self, operators, tmp_path, thickness, capfd):
        values = pictures.random_splats(30, 1, flat=False)
        values.log_scales[:, 2] = values.log_scales[:, :2].min(-1) + np.float32(np.log(thickness))
        pictures.write_3dgs(tmp_path / "a.ply", values)
        operators.import_splats(filepath=str(tmp_path / "a.ply"))
        general = "as Blender's own" if splats.native.available() else "as Gaussians in spheres"
        said = {1e-3: "as quads", 0.1: "as flat Gaussians", 1.0: general}
        assert f"a.ply: 30 splats, {said[thickness]}" in capfd.readouterr().out

    def test_all_its_formats_may_be_dropped(self, registered):
        from addon.ui.operators.splat_files import DREAMZOOM_FH_splats as handler

        assert handler.bl_import_operator == "dreamzoom.import_splats"
        endings = handler.bl_file_extensions.split(";")
        for name in ("a.ply", "a.compressed.ply", "a.splat", "a.spz"):
            assert Path(name).suffix in endings  # Blender looks at the last ending alone

    def test_blenders_own_splats_are_offered_only_where_it_has_them(self, operators, tmp_path):
        offered = {item.identifier for item in choice("representation").enum_items}
        assert ("native" in offered) == splats.native.available() == (bpy.app.version >= (5, 3, 0))
        if not splats.native.available():
            with pytest.raises(splats.SplatFileError, match="5.3"):
                splats.import_splats(written(tmp_path)[1], "a", bpy.context.collection, "native")
            assert not bpy.data.objects

    def test_a_render_shows_all_of_them_as_they_are_unless_told_to_leave_the_scene(self, operators, tmp_path):
        _, path = written(tmp_path)
        scene = bpy.context.scene
        scene.cycles.transparent_max_bounces, scene.view_settings.view_transform = 8, "AgX"
        operators.import_splats(filepath=path, set_up_render=False)
        assert (scene.cycles.transparent_max_bounces, scene.view_settings.view_transform) == (8, "AgX")
        scene.cycles.transparent_max_bounces = 500
        operators.import_splats(filepath=path)
        assert (scene.cycles.transparent_max_bounces, scene.view_settings.view_transform) == (500, "Standard")
        assert scene.cycles.min_transparent_bounces >= 128
        operators.import_splats(filepath=path, representation="viewers")
        assert scene.view_settings.view_transform == "Raw"

    def test_no_file_chosen(self, operators, tmp_path):
        with pytest.raises(RuntimeError, match="Choose a file"):
            operators.import_splats(filepath=f"{tmp_path}/")

    def test_every_choice_says_what_it_is(self, operators):
        for name in ("representation", "axes"):
            assert all(item.description for item in choice(name).enum_items)


HEADER = b"ply\nformat %s 1.0\nelement vertex %d\n"
PLACE = b"property float x\nproperty float y\nproperty float z\n"
FACES = b"element face 1\nproperty list uchar int vertex_indices\n"


def bad(folder: Path, kind: str) -> Path:
    """A bad file of a kind."""
    path = folder / ("bad.spz" if "spz" in kind else "bad.ply")
    values = pictures.random_splats(50, 1, 1, flat=False)
    if kind == "no opacity":
        columns = lambda names: [name for name in names if name != "opacity"]  # noqa: E731
        pictures.write_3dgs(path, values, columns)
        return path
    if kind == "nothing finite":
        values.means[:] = np.nan
    elif kind == "absurd":
        values.log_scales[:] = 80
    elif kind == "no rows":
        values = values[:0]
    pictures.write_3dgs(path, values)
    content = path.read_bytes()
    body = {
        "empty file": b"",
        "no end of header": content[:200],
        "truncated": content[:-100],
        "claims": content.replace(b"vertex 50", b"vertex 10000000000"),
        "text": content.replace(b"binary_little_endian", b"ascii"),
        "big-endian": content.replace(b"little", b"big"),
        "mesh": HEADER % (b"binary_little_endian", 3) + PLACE + FACES + b"end_header\n" + bytes(36 + 13),
        "points": HEADER % (b"binary_little_endian", 3) + PLACE + b"end_header\n" + bytes(36),
        "other": b"solid cube\n",
        "truncated spz": gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 2, 50, 0, 12, 0, 0) + bytes(900))[:40],
        "spz of few bytes": b"\x1f\x8b12",
        "spz claims": gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 2, 4_000_000_000, 0, 12, 0, 0)),
        "empty spz": b"",
    }
    path.write_bytes(body.get(kind, content))
    return path


class TestBadFiles:
    @pytest.mark.parametrize(
        ("kind", "says"),
        [
            ("empty file", "not a PLY"),
            ("no end of header", "truncated"),
            ("truncated", "truncated"),
            ("claims", "claims 10,000,000,000"),
            ("text", "text is damaged|claims"),
            ("big-endian", "make no sense as big-endian"),
            ("mesh", "holds a mesh, .*; File › Import › Stanford PLY"),
            ("points", "holds a point cloud, .*; File › Import › Stanford PLY"),
            ("no opacity", "has no opacity"),
            ("nothing finite", "none of its 50 rows"),
            ("absurd", "none of its 50 rows"),
            ("no rows", "holds no splats"),
            ("other", "not a PLY"),
            ("truncated spz", "truncated"),
            ("spz of few bytes", "damaged|truncated"),
            ("spz claims", "claims 4,000,000,000"),
            ("empty spz", "truncated|not an SPZ"),
        ],
    )
    def test_each_leaves_nothing_and_says_at_once_what_is_wrong(self, operators, tmp_path, kind, says):
        path = bad(tmp_path, kind)
        before = everything()
        with pytest.raises(RuntimeError, match=says) as raised:
            operators.import_splats(filepath=str(path))
        assert path.name in str(raised.value)
        assert everything() == before

    def test_what_has_no_numbers_is_left_out_and_the_rest_is_shown(self, operators, tmp_path):
        values = pictures.random_splats(50, 1, flat=False)
        values.means[0, 0] = np.nan
        values.means[1, 1] = np.inf
        values.means[2] = 1e30
        values.log_scales[3] = 60
        values.quaternions[4] = 0
        values.logit_opacities[5] = np.inf
        pictures.write_3dgs(tmp_path / "a.ply", values)
        read = formats.read(tmp_path / "a.ply")
        assert (len(read.splats), read.dropped) == (46, 4)
        path = str(tmp_path / "a.ply")
        assert operators.import_splats(filepath=path, representation="gaussians") == {"FINISHED"}
        cloud = bpy.context.view_layer.objects.active.data
        found = np.array([[*point.co, point.radius] for point in cloud.points])
        assert np.isfinite(found).all()
        assert len(found) == 46
        rgba = np.array([value.color for value in cloud.attributes["rgba"].data])
        assert rgba[1, 3] == 1

    @pytest.mark.parametrize("representation", ["surfels", "flat", "gaussians", "viewers"])
    def test_what_fails_half_way_leaves_nothing(self, representation):
        values = pictures.random_splats(50, 1, 1)
        values = replace(values, quaternions=values.quaternions[:20])  # as if the memory had ended
        before = everything()
        with pytest.raises((ValueError, IndexError), match="shape|size|broadcast|dimension"):
            splats.show_splats(values, "a", bpy.context.scene.collection, representation)
        assert everything() == before


def world_points(obj) -> np.ndarray:
    """Where an object's points are, (N, 3) float64."""
    bpy.context.view_layer.update()
    places = np.array([point.co for point in obj.data.points], np.float64)
    matrix = np.array(obj.matrix_world, np.float64)
    return places @ matrix[:3, :3].T + matrix[:3, 3]


class TestWhatFilesSay:
    """Each kind of the field's files, in Blender."""

    @pytest.mark.parametrize(
        "name", ["axes_comment_z.ply", "axes_rdf.spz", "v3_with_extension_tail.spz", "v1.spz", "v3.spz", "some.ply",
                 "rgb.ply", "cut.splat", "big_endian.ply", "unknown_extension.spz"]
    )  # fmt: skip
    def test_the_figure_stands_upright(self, operators, name):
        operators.import_splats(filepath=str(FIELD / name), representation="gaussians")
        obj = bpy.context.view_layer.objects.active
        places = world_points(obj)
        rgb = np.array([value.color[:3] for value in obj.data.attributes["rgba"].data])
        red, green = (rgb.argmax(1) == channel for channel in range(2))
        assert places[red, 2].max() == pytest.approx(2, abs=0.05)
        assert places[green, 0].max() == pytest.approx(1, abs=0.05)
        assert np.abs(places[red, :2]).max() < 0.15

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("axes_comment_z.ply", "400 splats, .*; Z up, as the file says"),
            ("both.ply", "; −Y up, as is usual for 3DGS PLY$"),
            ("axes_rdf.spz", "; axes RDF, as the file says"),
            ("some.ply", "; 100 splats without thickness are flat"),
            ("cut.splat", "399 splats, .*; its last 12 bytes"),
            ("antialiased.spz", "; anti-aliased"),
            ("site.ply", "; coordinates in EPSG:25832; recentred, its place is 447213, 5411874, 312"),
        ],
    )
    def test_one_line_of_the_report_says_what_was_guessed_or_changed(self, operators, name, says, capfd):
        operators.import_splats(filepath=str(FIELD / name))
        lines = [line for line in capfd.readouterr().out.splitlines() if name in line]
        assert len(lines) == 1
        assert re.search(says, lines[0])
        assert lines[0].endswith(bpy.context.view_layer.objects.active["dreamzoom_import"]), "it stays with the object"

    def test_axes_that_the_artist_chose_are_not_guessed(self, operators, capfd):
        operators.import_splats(filepath=str(FIELD / "axes_comment_z.ply"), axes="Y")
        assert " up" not in capfd.readouterr().out
        assert bpy.context.view_layer.objects.active.rotation_euler.x == pytest.approx(pi / 2)

    @pytest.mark.parametrize(("keep", "scale"), [(True, 1), (False, 1), (True, 0.5)])
    def test_a_far_place_is_the_objects(self, operators, keep, scale):
        operators.import_splats(
            filepath=str(FIELD / "site.ply"), representation="gaussians", keep_place=keep, scale=scale
        )
        obj = bpy.context.view_layer.objects.active
        read = formats.read(FIELD / "site.ply")
        assert np.allclose(obj.location, read.origin * scale if keep else 0, rtol=1e-7)
        assert np.abs(np.array([point.co for point in obj.data.points]) - read.splats.means).max() < 1e-6

    @pytest.mark.parametrize("suffix", [".ply", ".glb"])
    def test_a_far_place_survives_the_export(self, operators, tmp_path, suffix):
        operators.import_splats(filepath=str(FIELD / "site.ply"), representation="gaussians")
        path = tmp_path / f"out{suffix}"
        operators.export_splats(filepath=str(path), axes="Z")
        read, back = formats.read(FIELD / "site.ply"), formats.read(path)
        upright = (back.splats.means + back.origin) @ back.axes.matrix.T
        assert np.abs(upright - (read.splats.means + read.origin)).max() < 1e-5

    def test_a_format_without_room_for_the_place_says_so(self, operators, tmp_path, capfd):
        operators.import_splats(filepath=str(FIELD / "site.ply"), representation="gaussians")
        operators.export_splats(filepath=str(tmp_path / "out.spz"))
        assert "SPZ can't hold the place 447213, 312, -5411874" in capfd.readouterr().out
        assert np.abs(formats.read(tmp_path / "out.spz").splats.means).max() < 3

    def test_a_folder_with_a_sog_is_chosen_by_its_meta_json(self, operators, tmp_path):
        values = pictures.random_splats(30, 1, 1, flat=False)
        formats.write(tmp_path / "a.sog", values)
        shutil.unpack_archive(tmp_path / "a.sog", tmp_path / "scan", "zip")
        operators.import_splats(filepath=str(tmp_path / "scan" / "meta.json"), representation="gaussians")
        obj = bpy.context.view_layer.objects.active
        assert (obj.name, len(obj.data.points)) == ("scan", 30)

    def test_points_keep_their_place_too(self, tmp_path):
        rows = np.zeros(50, [(name, "<f8") for name in "xyz"])
        true = np.random.default_rng(0).standard_normal((50, 3)) + (447_213, 5_411_874, 312)
        for name, column in zip("xyz", true.T):
            rows[name] = column
        properties = b"".join(b"property double %s\n" % name for name in (b"x", b"y", b"z"))
        head = HEADER % (b"binary_little_endian", 50) + properties + b"end_header\n"
        (tmp_path / "a.ply").write_bytes(head + rows.tobytes())
        obj = splats.import_cloud(tmp_path / "a.ply", "a", bpy.context.collection)
        assert np.abs(world_points(obj) - true).max() < 1e-5

    def test_antialiased_splats_are_weaker_the_smaller_they_are(self, operators, tmp_path):
        camera = pictures.camera_at((0.31, -6, 0.17))
        light = []
        for name, antialiased in (("tiny_flag0.spz", False), ("tiny_flag1.spz", True)):
            operators.import_splats(filepath=str(FIELD / name), representation="viewers")
            picture = pictures.rendered(tmp_path, 2, at_centres=True)
            values = formats.read(FIELD / name).upright()
            truth = pictures.viewer_picture(values, camera, antialiased=antialiased)
            assert -10 * np.log10(np.mean((picture[..., :3] - truth[..., :3]) ** 2)) > 50
            light.append(picture[..., :3].sum())
            bpy.data.objects.remove(bpy.context.view_layer.objects.active)
        assert light[0] > 20 * light[1]


def everything() -> dict[str, set[str]]:
    """The names of all that is in the file, by kind."""
    kinds = ("objects", "meshes", "pointclouds", "materials", "node_groups", "collections", "images")
    return {kind: {item.name for item in getattr(bpy.data, kind)} for kind in kinds}


class TestExport:
    @pytest.mark.parametrize("representation", ["surfels", "flat", "gaussians"])
    def test_exported_from_a_turned_and_scaled_parent_it_renders_the_same(self, operators, tmp_path, representation):
        values = pictures.random_splats(40, 1, 3, flat=representation != "gaussians")
        (obj,) = splats.show_splats(values, "a", bpy.context.scene.collection, representation)
        parent = bpy.data.objects.new("parent", None)
        bpy.context.scene.collection.objects.link(parent)
        parent.rotation_euler, parent.location, parent.scale = (0.4, -0.7, 1.3), (0.1, 0.2, -0.1), (0.7,) * 3
        obj.parent, obj.rotation_euler = parent, (-1.0, 0.3, 0.2)
        pictures.camera_at((1.5, -2.5, 1.0))
        was = pictures.rendered(tmp_path, 16)
        bpy.context.view_layer.objects.active = obj
        obj.select_set(True)
        assert operators.export_splats(filepath=str(tmp_path / "out.ply"), axes="MINUS_Y") == {"FINISHED"}
        bpy.data.objects.remove(obj)
        operators.import_splats(filepath=str(tmp_path / "out.ply"), axes="MINUS_Y", representation=representation)
        assert pictures.decibels(pictures.rendered(tmp_path, 16), was) > 50

    def test_what_was_imported_is_exported_as_it_was(self, operators, tmp_path):
        values, path = written(tmp_path)
        operators.import_splats(filepath=path)
        assert operators.export_splats(filepath=str(tmp_path / "out.ply")) == {"FINISHED"}
        bpy.ops.wm.read_factory_settings(use_empty=True)
        back = formats.read(tmp_path / "out.ply").splats
        assert np.allclose(back.means, values.means, atol=1e-5)
        assert np.allclose(back.sh, values.sh, atol=1e-4)

    @pytest.mark.parametrize("suffix", [form.suffix for form in formats.FORMATS])
    def test_every_format_stands_upright_again(self, operators, tmp_path, suffix):
        values, path = written(tmp_path)
        operators.import_splats(filepath=path, representation="gaussians")
        obj = bpy.context.view_layer.objects.active
        obj.location, obj.rotation_euler.z, obj.scale = (0.1, 0.2, 0.3), 0.7, (0.5,) * 3
        was = world_points(obj)
        assert operators.export_splats(filepath=str(tmp_path / f"out{suffix}")) == {"FINISHED"}
        operators.import_splats(filepath=str(tmp_path / f"out{suffix}"), representation="gaussians")
        now = world_points(bpy.context.view_layer.objects.active)
        apart = np.abs(now[:, None] - was[None]).max(-1).min(0)
        assert apart.max() < 2e-3

    @pytest.mark.parametrize("suffix", [".ply", ".spz", ".glb"])
    def test_harmonics_turn_with_the_object(self, operators, tmp_path, suffix):
        values = pictures.random_splats(40, 1, 3, flat=False)
        (obj,) = splats.show_splats(values, "a", bpy.context.scene.collection, "gaussians")
        obj.rotation_euler = (0.4, -0.7, 1.3)
        pictures.camera_at((1.5, -2.5, 1.0))
        was = pictures.rendered(tmp_path, 16)
        bpy.context.view_layer.objects.active = obj
        obj.select_set(True)
        operators.export_splats(filepath=str(tmp_path / f"out{suffix}"), axes="Z")
        bpy.data.objects.remove(obj)
        operators.import_splats(filepath=str(tmp_path / f"out{suffix}"), representation="gaussians")
        assert pictures.decibels(pictures.rendered(tmp_path, 16), was) > (40 if suffix == ".spz" else 50)

    @pytest.mark.parametrize(
        ("name", "chosen", "becomes"),
        [("a", "AUTO", "a.ply"), ("a.spz", "PLY", "a.ply"), ("a.ply", "COMPRESSED_PLY", "a.compressed.ply"),
         ("a.compressed.ply", "GLB", "a.glb"), ("a.b", "SOG", "a.b.sog"), ("a.splat", "AUTO", "a.splat")],
    )  # fmt: skip
    def test_the_chosen_format_gives_the_name_its_suffix(self, operators, tmp_path, name, chosen, becomes):
        _, path = written(tmp_path)
        operators.import_splats(filepath=path)
        assert operators.export_splats(filepath=str(tmp_path / name), file_format=chosen) == {"FINISHED"}
        assert (tmp_path / becomes).is_file()

    def test_a_ply_says_which_axis_points_up(self, operators, tmp_path, capfd):
        _, path = written(tmp_path)
        for axes, up in (("MINUS_Y", "-Y"), ("Y", "Y"), ("Z", "Z")):
            bpy.ops.wm.read_factory_settings(use_empty=True)
            operators.import_splats(filepath=path, representation="gaussians")
            was = world_points(bpy.context.view_layer.objects.active)
            operators.export_splats(filepath=str(tmp_path / "out.ply"), axes=axes)
            assert formats.read(tmp_path / "out.ply").up == up
            operators.import_splats(filepath=str(tmp_path / "out.ply"), representation="gaussians")
            assert np.allclose(world_points(bpy.context.view_layer.objects.active), was, atol=1e-5)

    def test_a_folder_that_is_missing_is_named(self, operators, tmp_path):
        _, path = written(tmp_path)
        operators.import_splats(filepath=path)
        with pytest.raises(RuntimeError, match="gone"):
            operators.export_splats(filepath=str(tmp_path / "gone" / "out.spz"))

    def test_nothing_selected_is_refused(self, operators, tmp_path):
        with pytest.raises(RuntimeError, match="poll"):
            operators.export_splats(filepath=str(tmp_path / "out.ply"))

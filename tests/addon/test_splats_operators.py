"""Import and export through menus and dropping."""

from __future__ import annotations

import sys
from math import pi
from pathlib import Path

import bpy
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import splat_pictures as pictures


@pytest.fixture
def operators(registered):
    return bpy.ops.dreamzoom


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

    @pytest.mark.parametrize("content", [b"", b"ply\n", b"NGSP", b"\x1f\x8b12", b"solid"])
    def test_a_bad_file_leaves_nothing_and_says_why(self, operators, tmp_path, content):
        (tmp_path / "bad.ply").write_bytes(content)
        with pytest.raises(RuntimeError, match="bad.ply"):
            operators.import_splats(filepath=str(tmp_path / "bad.ply"))
        assert not bpy.data.objects

    def test_blenders_own_splats_are_refused_where_it_has_none(self, operators, tmp_path):
        _, path = written(tmp_path)
        if bpy.app.version < (5, 3):
            with pytest.raises(RuntimeError, match="5.3"):
                operators.import_splats(filepath=path, representation="native")
            assert not bpy.data.objects


class TestExport:
    def test_what_was_imported_is_exported_as_it_was(self, operators, tmp_path):
        values, path = written(tmp_path)
        operators.import_splats(filepath=path)
        assert operators.export_splats(filepath=str(tmp_path / "out.ply")) == {"FINISHED"}
        bpy.ops.wm.read_factory_settings(use_empty=True)
        from addon import splats

        back = splats.read_splats(tmp_path / "out.ply")
        assert np.allclose(back.means, values.means, atol=1e-5)
        assert np.allclose(back.sh, values.sh, atol=1e-4)

    def test_nothing_selected_is_refused(self, operators, tmp_path):
        with pytest.raises(RuntimeError, match="poll"):
            operators.export_splats(filepath=str(tmp_path / "out.ply"))

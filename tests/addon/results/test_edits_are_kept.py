"""An import replaces what the artist has not touched, and nothing else."""

import json
import os
from pathlib import Path

import bpy
import numpy as np
import pytest

from addon import rig
from addon.results import importer, render_settings

from .. import splat_pictures as pictures


def write_level(folder, index, seed):
    base = folder / f"levels/{index:03d}"
    base.mkdir(parents=True, exist_ok=True)
    marked = np.arange(40, dtype=np.uint8) % 2
    pictures.write_3dgs(
        base / "splats.ply", pictures.random_splats(40, seed, 0, flat=True), extra={"superseded": marked}
    )
    os.utime(base / "splats.ply", ns=(seed, seed))
    kinds = [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("footprint", "<f4"),
    ]
    names = {"<f4": "float", "u1": "uchar"}
    lines = "".join(f"property {names[kind]} {name}\n" for name, kind in kinds)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex 5\n{lines}end_header\n"
    (base / "cloud.ply").write_bytes(header.encode() + np.ones(5, np.dtype(kinds)).tobytes())
    os.utime(base / "cloud.ply", ns=(seed, seed))


def dream(folder, seed=0):
    """Write the result of a job of four levels."""
    levels = []
    for index in range(4):
        write_level(folder, index, seed + index)
        names = {kind: f"levels/{index:03d}/{kind}.ply" for kind in ("cloud", "splats")}
        levels.append({"index": index} | names)
    (folder / "result.json").write_text(json.dumps({"version": 1, "zoom_factor": 2.0, "levels": levels}))


@pytest.fixture
def dreamed(root, tmp_path):
    """A rig with an imported result."""
    dream(tmp_path / "job")
    importer.import_job(root, tmp_path / "job")
    return root


def of_level(root, level, kind="splats"):
    return next(obj for obj in rig.contents(rig.level_empties(root)[level]) if importer.kind_of(obj) == kind)


def rename(obj):
    obj.name = "my crown"


def move(obj):
    obj.location.x += 1


def turn_parent(obj):
    obj.matrix_parent_inverse[0][3] = 2


def rematerial(obj):
    obj.material_slots[0].material = bpy.data.materials.new("mine")


def new_nodes(obj):
    tree = obj.material_slots[0].material.node_tree
    tree.nodes.new("ShaderNodeBsdfDiffuse")


def sculpt(obj):
    obj.data.vertices[3].co.x += 0.25


def paint(obj):
    attribute = next(one for one in obj.data.attributes if one.data_type == "FLOAT_COLOR")
    attribute.data[0].color = (1, 0, 0, 1)


def modify(obj):
    obj.modifiers.new("mine", "WAVE")


def sort_away(obj):
    mine = bpy.data.collections.new("mine")
    bpy.context.scene.collection.children.link(mine)
    mine.objects.link(obj)


def move_away(obj):
    """As the key M does: into another collection, and out of the rig's."""
    sort_away(obj)
    for collection in obj.users_collection:
        if collection.name != "mine":
            collection.objects.unlink(obj)


def group(obj):
    obj.vertex_groups.new(name="mine")


def shape_key(obj):
    obj.shape_key_add(name="Basis")


EDITS = [
    rename,
    move,
    turn_parent,
    rematerial,
    new_nodes,
    sculpt,
    paint,
    modify,
    sort_away,
    move_away,
    group,
    shape_key,
]


class TestImportingAgain:
    @pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
    def test_what_was_changed_by_hand_is_kept_beside(self, dreamed, tmp_path, edit):
        obj = of_level(dreamed, 1)
        if edit is new_nodes:
            obj.material_slots[0].material = obj.material_slots[0].material.copy()
            rig.mark_as_made(obj)
        edit(obj)
        name, data = obj.name, obj.data
        dream(tmp_path / "job", seed=10)
        kept = []
        for _ in importer.import_levels(dreamed, tmp_path / "job", kept):
            pass
        assert kept == [name]
        old = bpy.data.objects[name]
        assert old.data == data and old.parent == rig.level_empties(dreamed)[1]
        assert old.name in dreamed.dreamzoom.kept_collection.objects
        assert dreamed.dreamzoom.kept_collection.hide_render
        assert len(rig.contents(rig.level_empties(dreamed)[1])) == 3 and of_level(dreamed, 1) != old

    def test_it_is_no_object_for_the_next_dream_and_outlives_the_rig(self, dreamed, tmp_path):
        from addon.scene import assets

        of_level(dreamed, 1).location.x = 1
        dream(tmp_path / "job", seed=10)
        importer.import_job(dreamed, tmp_path / "job")
        assert assets.of_level(dreamed, 1) == []
        name = dreamed.dreamzoom.kept_collection.objects[0].name
        bpy.ops.dreamzoom.delete_rig()
        assert bpy.data.objects[name].name in bpy.context.scene.objects

    @pytest.mark.parametrize("level", [0, 1, 3])
    def test_the_empty_of_a_level_that_was_deleted_is_made_anew(self, dreamed, tmp_path, level):
        for obj in rig.contents(rig.level_empty(dreamed, level)):
            bpy.data.objects.remove(obj)
        bpy.data.objects.remove(rig.level_empty(dreamed, level))
        assert rig.lacks_levels(dreamed)
        dream(tmp_path / "job", seed=10)
        importer.import_one(dreamed, tmp_path / "job", level, level)
        assert not rig.lacks_levels(dreamed)
        assert len(rig.contents(rig.level_empty(dreamed, level))) == 3
        importer.import_job(dreamed, tmp_path / "job")
        assert all(len(rig.contents(empty)) == 3 for empty in rig.level_empties(dreamed))

    @pytest.mark.parametrize("change", ["removed", "moved", "added"])
    def test_levels_that_are_changed_while_they_are_imported(self, root, tmp_path, change):
        """The levels know their keys: what is imported follows them."""
        rig.give_keys(root.dreamzoom)
        keys = [item.key for item in root.dreamzoom.levels]
        dream(tmp_path / "job")
        told = json.loads((tmp_path / "job/result.json").read_text())
        for entry, key in zip(told["levels"], keys):
            entry["key"] = key
        (tmp_path / "job/result.json").write_text(json.dumps(told))
        steps = importer.import_levels(root, tmp_path / "job")
        assert next(steps) == (1, 4)
        root.dreamzoom.active_level = 2
        if change == "removed":
            bpy.ops.dreamzoom.level_remove()
        elif change == "moved":
            bpy.ops.dreamzoom.level_move(direction="DOWN")
        else:
            bpy.ops.dreamzoom.level_add()
        assert list(steps) == [(2, 4), (3, 4), (4, 4)]
        for level, item in enumerate(root.dreamzoom.levels):
            sources = {obj["dreamzoom_source"] for obj in rig.contents(rig.level_empty(root, level))}
            home = tmp_path / f"job/levels/{keys.index(item.key) if item.key in keys else 9:03d}"
            assert sources == {importer._stamp(path) for path in home.glob("*.ply")}

    def test_the_same_files_leave_everything_as_it_is(self, dreamed, tmp_path):
        of_level(dreamed, 2).location.x = 1
        before = {obj.session_uid for obj in bpy.data.objects}
        importer.import_job(dreamed, tmp_path / "job")
        assert {obj.session_uid for obj in bpy.data.objects} == before
        assert of_level(dreamed, 2).location.x == 1

    def test_untouched_objects_are_replaced_under_their_names(self, dreamed, tmp_path):
        names = sorted(obj.name for obj in rig.contents(rig.level_empties(dreamed)[0]))
        dream(tmp_path / "job", seed=10)
        importer.import_job(dreamed, tmp_path / "job")
        assert sorted(obj.name for obj in rig.contents(rig.level_empties(dreamed)[0])) == names
        assert dreamed.dreamzoom.kept_collection is None

    def test_a_saved_file_knows_what_was_touched(self, dreamed, tmp_path):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flight.blend"))
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "flight.blend"))
        root = rig.active_rig(bpy.context)
        contents = [obj for empty in rig.level_empties(root) for obj in rig.contents(empty)]
        assert len(contents) == 12 and not any(rig.is_edited(obj) for obj in contents)
        bpy.context.scene.frame_set(20)
        assert not any(rig.is_edited(obj) for obj in contents)

    def test_a_damaged_file_leaves_the_level_as_it_was(self, dreamed, tmp_path):
        before = [obj.session_uid for obj in rig.contents(rig.level_empties(dreamed)[0])]
        (tmp_path / "job/levels/000/splats.ply").write_bytes(b"ply")
        with pytest.raises(importer.DreamzoomError, match="Level 0"):
            importer.import_job(dreamed, tmp_path / "job")
        assert [obj.session_uid for obj in rig.contents(rig.level_empties(dreamed)[0])] == before

    def test_a_locked_level_is_left_alone(self, dreamed, tmp_path):
        dreamed.dreamzoom.levels[1].lock = True
        before = of_level(dreamed, 1)
        dream(tmp_path / "job", seed=10)
        importer.import_job(dreamed, tmp_path / "job")
        assert of_level(dreamed, 1) == before

    def test_after_a_failed_job_the_earlier_result_can_be_imported(self, root, tmp_path):
        dream(tmp_path / "job/versions/0002")
        (tmp_path / "job/request.json").write_text("{}")
        root.dreamzoom.job_folder = str(tmp_path / "job")
        assert bpy.ops.dreamzoom.import_job.poll()
        importer.import_job(root, tmp_path / "job")
        assert of_level(root, 3)


class TestLevelsAndTheirObjects:
    def test_what_is_imported_and_what_is_mine_follow_the_list(self, dreamed):
        mine = bpy.data.objects.new("mine", None)
        bpy.context.scene.collection.objects.link(mine)
        mine.parent = rig.level_empties(dreamed)[2]
        third = of_level(dreamed, 2)
        dreamed.dreamzoom.active_level = 1
        bpy.ops.dreamzoom.level_add()
        assert third.parent == mine.parent == rig.level_empties(dreamed)[3]
        assert rig.contents(rig.level_empties(dreamed)[2]) == [] and third.name == "Dreamzoom 3 splats"
        dreamed.dreamzoom.active_level = 3
        bpy.ops.dreamzoom.level_move(direction="UP")
        assert third.parent == mine.parent == rig.level_empties(dreamed)[2] and third.pass_index == 3
        assert not rig.is_edited(third)

    def test_mine_keeps_its_place_when_its_level_is_removed(self, dreamed):
        mine = bpy.data.objects.new("mine", None)
        bpy.context.scene.collection.objects.link(mine)
        mine.parent, mine.location = rig.level_empties(dreamed)[1], (1, 2, 3)
        bpy.context.view_layer.update()
        place = mine.matrix_world.copy()
        dreamed.dreamzoom.active_level = 1
        bpy.ops.dreamzoom.level_remove()
        bpy.context.view_layer.update()
        assert mine.parent is None and np.allclose(mine.matrix_world, place)

    def test_the_eye_hides_a_level(self, dreamed):
        bpy.context.scene.frame_set(13)
        dreamed.dreamzoom.levels[0].hide = True
        bpy.context.view_layer.update()
        assert of_level(dreamed, 0).hide_render and not of_level(dreamed, 1).hide_render
        dreamed.dreamzoom.levels[0].hide = False
        bpy.context.view_layer.update()
        assert not of_level(dreamed, 0).hide_render


class TestDuplicate:
    def test_own_objects_are_copies_beside_the_first(self, dreamed):
        own = bpy.data.objects.new("own", bpy.data.meshes.new("own"))
        bpy.context.scene.collection.objects.link(own)
        own.parent = rig.level_empties(dreamed)[1]
        bpy.ops.dreamzoom.duplicate_rig(offset=(5, 0, 0))
        copy = rig.active_rig(bpy.context)
        bpy.context.view_layer.update()
        (made,) = (obj for obj in rig.level_empties(copy)[1].children if obj.name.startswith("own"))
        assert made.data != own.data
        assert made.matrix_world.translation.x - own.matrix_world.translation.x == pytest.approx(5)

    def test_own_objects_can_be_left_out(self, dreamed):
        own = bpy.data.objects.new("own", None)
        bpy.context.scene.collection.objects.link(own)
        own.parent = rig.level_empties(dreamed)[1]
        bpy.ops.dreamzoom.duplicate_rig(own_objects=False)
        assert len([obj for obj in bpy.data.objects if obj.name.startswith("own")]) == 1


class TestOutput:
    def test_an_unsaved_file_never_writes_into_the_working_folder(self, root, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for output in ("PNG", "VIDEO", "LAYERS"):
            render_settings.set_up(bpy.context.scene, output=output)
            path = bpy.path.abspath(bpy.context.scene.render.filepath)
            assert Path(path).is_absolute() and not path.startswith(str(tmp_path)), path
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        render_settings.set_up(bpy.context.scene, output="PNG")
        assert bpy.context.scene.render.filepath == "//render/flight_"

    def test_an_import_leads_frames_out_of_temporary_folders(self, root, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        scene = bpy.context.scene
        for chosen_by_nobody in ("/tmp/", "//", ""):
            scene.pop(render_settings.READY, None)
            scene.render.filepath = chosen_by_nobody
            told = render_settings.make_ready(scene, root)
            path = scene.render.filepath
            assert Path(path).is_relative_to(Path.home()) and "Dreamzoom" in path, path
            assert any(path in text for text in told)
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        assert render_settings.make_ready(scene, root) == ["frames go to “//render/flight_”"]
        scene.render.filepath = "/tmp/"
        assert render_settings.make_ready(scene, root) == [] and scene.render.filepath == "/tmp/"

    @pytest.mark.parametrize("mine", ["//", "//mine/", "/somewhere/shot_"])
    def test_an_import_leaves_the_path_of_a_saved_file(self, root, tmp_path, mine):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        bpy.context.scene.render.filepath = mine
        render_settings.make_ready(bpy.context.scene, root)
        assert bpy.context.scene.render.filepath == mine


class TestEye:
    """What is hidden for the artist is hidden by its eye, which an Outliner shows."""

    def test_points_and_what_is_kept(self, dreamed, tmp_path):
        settings = dreamed.dreamzoom
        rename(of_level(dreamed, 0))
        dream(tmp_path / "job", seed=10)
        importer.import_job(dreamed, tmp_path / "job")
        for home in (settings.points_collection, settings.kept_collection):
            (entry,) = rig.layer_collections(home)
            assert entry.hide_viewport and not home.hide_viewport
            assert not any(obj.visible_get() for obj in home.objects)
            entry.hide_viewport = False
            bpy.context.view_layer.update()
            assert any(obj.visible_get() for obj in home.objects)

    def test_of_a_copied_rig(self, dreamed):
        bpy.ops.dreamzoom.duplicate_rig()
        copy = bpy.context.view_layer.objects.active
        (points,) = rig.layer_collections(copy.dreamzoom.points_collection)
        (splats,) = rig.layer_collections(copy.dreamzoom.splats_collection)
        assert copy != dreamed and points.hide_viewport and not splats.hide_viewport

"""Whatever comes in can be undone: all is as it was, to the last data-block, and redo brings all of it back."""

import hashlib
import json

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import rig, splats
from addon.backend import current_job, main_loop
from addon.core import formats
from addon.results import importer

from .. import splat_pictures as pictures
from ..results.test_zoom_stack_import import make_stack
from ..scene.test_assets import SQUARE, place

KINDS = (
    *("objects", "meshes", "pointclouds", "cameras", "collections", "materials", "node_groups", "images", "textures"),
    *("actions", "texts", "curves"),
)


def whole():
    """All that an import can change, without references, by what is of it and what it holds."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    found = {kind: sorted((block.name, block.users > 0) for block in getattr(bpy.data, kind)) for kind in KINDS}
    found["scene"] = (scene.frame_start, scene.frame_end, scene.frame_current, scene.view_settings.view_transform)
    found["scene"] += (scene.camera and scene.camera.name,)
    active = bpy.context.view_layer.objects.active
    found["active"] = active and active.name
    found["selected"] = sorted(obj.name for obj in bpy.context.selected_objects)
    found["each"] = {obj.name: described(obj) for obj in bpy.data.objects}
    found["materials"] = {material.name: tree_of(material.node_tree) for material in bpy.data.materials}
    found["groups"] = {group.name: tree_of(group) for group in bpy.data.node_groups}
    return found


def described(obj):
    drivers = obj.animation_data.drivers if obj.animation_data else ()
    told = {
        "parent": obj.parent and obj.parent.name,
        "homes": sorted(collection.name for collection in obj.users_collection),
        "place": np.array(obj.matrix_world).round(5).tolist(),
        "drivers": sorted((curve.data_path, curve.array_index, curve.driver.expression) for curve in drivers),
        "modifiers": [(modifier.name, modifier.type) for modifier in obj.modifiers],
        "properties": {key: str(value) for key, value in obj.items() if not hasattr(value, "to_dict")},
        "slots": [slot.material and slot.material.name for slot in obj.material_slots],
    }
    if rig.is_rig(obj):
        settings = obj.dreamzoom
        homes = settings.points_collection, settings.splats_collection
        told["levels"] = [item.prompt for item in settings.levels], [home and home.name for home in homes]
    if obj.type in ("MESH", "POINTCLOUD"):
        told["data"] = {
            attribute.name: digest(attribute) for attribute in obj.data.attributes if attribute.data_type in FIELDS
        }
    return told


FIELDS = {"FLOAT_VECTOR": ("vector", 3), "FLOAT_COLOR": ("color", 4), "FLOAT": ("value", 1), "INT": ("value", 1)}


def digest(attribute):
    field, width = FIELDS[attribute.data_type]
    values = np.empty(len(attribute.data) * width, np.int32 if attribute.data_type == "INT" else np.float32)
    attribute.data.foreach_get(field, values)
    return len(attribute.data), hashlib.sha256(values.tobytes()).hexdigest()


def tree_of(tree):
    links = sorted((link.from_node.name, link.from_socket.name, link.to_node.name) for link in tree.links)
    return sorted(node.bl_idname for node in tree.nodes), links


def undone_and_redone(act):
    """What `act` did, there and back and there again; and once more after that."""
    bpy.ops.ed.undo_push(message="before")
    before = whole()
    act()
    bpy.ops.ed.undo_push(message="after")
    after = whole()
    assert after != before
    bpy.ops.ed.undo()
    assert whole() == before
    bpy.ops.ed.redo()
    assert whole() == after
    bpy.ops.ed.undo()
    act()
    assert whole() == after


@pytest.fixture
def capture(tmp_path):
    values = pictures.random_splats(40, 1, 1, flat=False)
    for name in ("a.ply", "b.ply"):
        pictures.write_3dgs(tmp_path / name, values)
    return tmp_path


class TestSplats:
    @pytest.mark.parametrize("representation", ["surfels", "flat", "gaussians", "viewers"])
    @pytest.mark.parametrize("beside", [False, True])
    def test_import(self, dreamzoom, capture, representation, beside):
        place_camera()
        if beside:
            bpy.ops.dreamzoom.import_splats(filepath=str(capture / "b.ply"), representation=representation)
        options = {"filepath": str(capture / "a.ply"), "representation": representation}
        undone_and_redone(lambda: bpy.ops.dreamzoom.import_splats(**options))

    def test_what_is_brought_back_shows_the_same_splats(self, dreamzoom, capture):
        bpy.ops.ed.undo_push(message="before")
        bpy.ops.dreamzoom.import_splats(filepath=str(capture / "a.ply"))
        bpy.ops.ed.undo_push(message="after")
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
        (obj,) = (obj for obj in bpy.data.objects if splats.holds_splats(obj))
        obj.select_set(True)
        bpy.ops.dreamzoom.export_splats(filepath=str(capture / "out.ply"), axes="MINUS_Y")
        back, truth = (formats.read(capture / name).splats for name in ("out.ply", "a.ply"))
        assert np.allclose(back.means, truth.means, atol=1e-5) and np.allclose(back.sh, truth.sh, atol=1e-4)

    def test_dropping_several_files_is_one_step(self, dreamzoom, capture):
        handler = bpy.types.DREAMZOOM_FH_splats
        operator = getattr(bpy.ops.dreamzoom, handler.bl_import_operator.partition(".")[2])
        files = [{"name": "a.ply"}, {"name": "b.ply"}]
        undone_and_redone(lambda: operator(directory=str(capture), files=files))
        assert {"a", "b"} <= {obj.name for obj in bpy.data.objects}

    def test_export_changes_nothing(self, dreamzoom, capture):
        bpy.ops.dreamzoom.import_splats(filepath=str(capture / "a.ply"))
        bpy.ops.ed.undo_push(message="imported")
        bpy.context.object.location.x = 1
        bpy.ops.ed.undo_push(message="moved")
        before = whole()
        bpy.ops.dreamzoom.export_splats(filepath=str(capture / "out.ply"))
        assert whole() == before
        bpy.ops.ed.undo()
        assert bpy.data.objects["a"].location.x == 0
        bpy.ops.ed.redo()
        assert whole() == before


def place_camera():
    camera = bpy.data.objects.new("view", bpy.data.cameras.new("view"))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    camera.matrix_world = Matrix.Translation((0, 0, 5))


class TestStack:
    @pytest.mark.parametrize("under", ["a new rig", "a rig that fits", "the same rig again"])
    def test_import(self, dreamzoom, tmp_path, under):
        folder = make_stack(tmp_path / "stack", 3)
        if under == "a rig that fits":
            bpy.ops.dreamzoom.create_rig(levels=3)
        elif under == "the same rig again":
            bpy.ops.dreamzoom.import_stack(filepath=str(folder / "zoomstack.json"))
            folder = make_stack(tmp_path / "other", 3, (50.0, 24.0))
            place(rig.active_rig(bpy.context), 1, *SQUARE)
        undone_and_redone(lambda: bpy.ops.dreamzoom.import_stack(filepath=str(folder / "zoomstack.json")))


@pytest.fixture
def result(root, tmp_path):
    """A rig whose job is done: points and splats of four levels, some of them superseded."""
    folder = tmp_path / "job"
    levels = []
    for index in range(4):
        base = folder / f"levels/{index:03d}"
        base.mkdir(parents=True)
        values = pictures.random_splats(60, index, 0, flat=True)
        marked = np.arange(60, dtype=np.uint8) % 2
        pictures.write_3dgs(base / "splats.ply", values, extra={"superseded": marked} if index < 3 else {})
        write_cloud(base / "cloud.ply", values.means)
        names = {"cloud": f"levels/{index:03d}/cloud.ply", "splats": f"levels/{index:03d}/splats.ply"}
        levels.append({"index": index} | names)
    (folder / "result.json").write_text(json.dumps({"version": 1, "zoom_factor": 2.0, "levels": levels}))
    root.dreamzoom.job_folder = str(folder)
    return root


def write_cloud(path, positions):
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    kinds += [("footprint", "<f4"), ("superseded", "u1")]
    table = np.zeros(len(positions), np.dtype(kinds))
    table["x"], table["y"], table["z"] = positions.T
    table["footprint"] = 0.01
    names = {"<f4": "float", "u1": "uchar"}
    lines = "".join(f"property {names[kind]} {name}\n" for name, kind in kinds)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{lines}end_header\n"
    path.write_bytes(header.encode() + table.tobytes())


def import_all():
    assert bpy.ops.dreamzoom.import_job() == {"FINISHED"}
    while current_job.is_busy():
        main_loop.pump()
    assert current_job.get().status == "done", current_job.get().error


class TestJob:
    def test_import(self, result):
        undone_and_redone(import_all)
        assert all(rig.contents(empty) for empty in rig.level_empties(rig.active_rig(bpy.context)))

    def test_import_in_place_of_an_earlier_one(self, result, tmp_path):
        import_all()
        pictures.write_3dgs(tmp_path / "job/levels/001/splats.ply", pictures.random_splats(9, 7, 0, flat=True))
        undone_and_redone(import_all)

    def test_the_rig_flies_on_after_undo_and_redo(self, result):
        bpy.ops.ed.undo_push(message="before")
        import_all()
        bpy.ops.ed.undo_push(message="after")
        bpy.context.scene.frame_set(14)  # a level is opening
        seen = fades()
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
        bpy.context.scene.frame_set(14)  # a level is opening
        assert fades() == seen and len({value for _, value, _ in seen}) > 2

    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_undo_in_the_midst_of_it_stops_it_with_a_word(self, result, after):
        bpy.ops.ed.undo_push(message="before")
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("other", None))
        bpy.ops.ed.undo_push(message="other")
        before = whole()
        bpy.ops.dreamzoom.import_job()
        root = rig.active_rig(bpy.context)
        while sum(bool(rig.contents(empty)) for empty in rig.level_empties(root)) < after:
            main_loop.pump()
        bpy.ops.ed.undo_push(message="something else meanwhile")
        bpy.ops.ed.undo()
        assert whole() == before
        while current_job.is_busy():
            main_loop.pump()
        assert current_job.get().status == "failed"
        assert "undone" in str(current_job.get().error) and "Import" in current_job.get().error.remedy
        import_all()
        root = rig.active_rig(bpy.context)
        assert all(len(rig.contents(empty)) >= 2 for empty in rig.level_empties(root))

    def test_the_job_finds_its_rig_again_after_undo(self, result):
        bpy.ops.ed.undo_push(message="before")
        result.location.x = 1
        bpy.ops.ed.undo_push(message="moved")
        bpy.ops.ed.undo()
        import_all()
        assert importer.read_result(current_job.get().folder)["levels"]


def fades():
    """How each of the imported objects shows now."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for obj in bpy.data.objects:
        if splats.holds_splats(obj):
            seen = obj.evaluated_get(graph)
            found.append((obj.name, round(seen.color[3], 5), seen.hide_render))
    return sorted(found)

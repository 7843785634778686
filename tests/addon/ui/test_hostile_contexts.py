"""Every operator, in every state of a scene: it works, can not be pressed, or reports what to do; no traceback."""

import bpy
import numpy as np
import pytest

from addon import rig, splats
from addon.ui import operators

from .. import splat_pictures as pictures

OPERATORS = [cls for module in operators.MODULES for cls in module.CLASSES if issubclass(cls, bpy.types.Operator)]
NAMES = [cls.bl_idname.partition(".")[2] for cls in OPERATORS]
ABROAD = {cls.bl_idname.partition(".")[2] for module in (operators.setup, operators.models) for cls in module.CLASSES}
ABROAD = ABROAD - {"lora_add", "lora_remove"} | {"open_job_folder"}
"""Operators that leave Blender: a process, a window, the network. Their polls are asked, they are not called."""


@pytest.fixture
def scene(dreamzoom, tmp_path):
    """A rig of two levels, an object of splats (selected), an empty, and a file of splats."""
    bpy.ops.dreamzoom.create_rig(levels=2, frames_per_level=3)
    scene = bpy.context.scene
    scene.dreamzoom.rig.dreamzoom.job_folder = str(tmp_path / "job")
    add_splats("splats")
    splats.export_splats([bpy.data.objects["splats"]], tmp_path / "in.ply")
    extra = bpy.data.objects.new("extra", None)
    scene.collection.objects.link(extra)
    select("splats", "extra")
    return scene


def add_splats(name):
    (obj,) = splats.show_splats(pictures.random_splats(30, 1), name, bpy.context.scene.collection, "surfels")
    return obj


def select(*names):
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj.name in names)
    bpy.context.view_layer.objects.active = bpy.data.objects.get(names[0]) if names else None
    bpy.context.view_layer.update()


def library(tmp_path):
    """A file that holds a collection with a camera and splats, and a scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    held = bpy.data.collections.new("held")
    bpy.context.scene.collection.children.link(held)
    camera = bpy.data.objects.new("library camera", bpy.data.cameras.new("camera"))
    held.objects.link(camera)
    (obj,) = splats.show_splats(pictures.random_splats(30, 1), "library splats", held, "surfels")
    bpy.context.scene.name = "library scene"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)


def link(tmp_path, **kinds):
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        for kind, names in kinds.items():
            setattr(wanted, kind, names)


def edit_mode(tmp_path):
    bpy.ops.object.mode_set(mode="EDIT")


def nothing_active(tmp_path):
    select()


def linked_active_collection(tmp_path):
    link(tmp_path, collections=["held"])
    bpy.context.scene.collection.children.link(bpy.data.collections["held"])
    layer = bpy.context.view_layer
    layer.active_layer_collection = layer.layer_collection.children["held"]
    select("library splats")


def linked_scene(tmp_path):
    link(tmp_path, scenes=["library scene"])
    bpy.context.window_manager.windows[0].scene = bpy.data.scenes["library scene"]


def excluded_collection(tmp_path):
    held = bpy.data.collections.new("off")
    bpy.context.scene.collection.children.link(held)
    layer = bpy.context.view_layer
    layer.active_layer_collection = layer.layer_collection.children["off"]
    layer.layer_collection.children["off"].exclude = True


def parts_deleted(tmp_path):
    root = bpy.context.scene.dreamzoom.rig
    for empty in rig.level_empties(root):
        bpy.data.objects.remove(empty)
    bpy.data.objects.remove(root.dreamzoom.camera)
    bpy.data.collections.remove(root.dreamzoom.collection)
    bpy.context.scene.collection.objects.link(root)


def other_scene(tmp_path):
    bpy.context.window_manager.windows[0].scene = bpy.data.scenes.new("other")


def rig_removed_from_scene(tmp_path):
    root = bpy.context.scene.dreamzoom.rig
    bpy.context.scene.collection.children.unlink(root.dreamzoom.collection)


def no_camera(tmp_path):
    bpy.context.scene.camera = None
    bpy.data.cameras.remove(bpy.context.scene.dreamzoom.rig.dreamzoom.camera.data)


def orthographic_camera(tmp_path):
    camera = bpy.context.scene.dreamzoom.rig.dreamzoom.camera
    camera.data.type = "ORTHO"
    select(camera.name)


def only_faces_deleted(tmp_path):
    edit_mode(tmp_path)
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.delete(type="ONLY_FACE")
    bpy.ops.object.mode_set(mode="OBJECT")


STATES = [
    edit_mode,
    nothing_active,
    linked_active_collection,
    linked_scene,
    excluded_collection,
    parts_deleted,
    other_scene,
    rig_removed_from_scene,
    no_camera,
    orthographic_camera,
    only_faces_deleted,
]


def arguments(name, tmp_path):
    return {
        "import_splats": {"filepath": str(tmp_path / "in.ply")},
        "export_splats": {"filepath": str(tmp_path / "missing" / "out.ply")},
        "import_stack": {"filepath": str(tmp_path / "none.json")},
        "import_cameras": {"filepath": str(tmp_path / "none.json")},
        "export_cameras": {"filepath": str(tmp_path / "missing" / "out.json"), "kind": "transforms"},
    }.get(name, {})


def outcome(name, tmp_path):
    """What an operator did: "unavailable", the text of its report, or its result."""
    operator = getattr(bpy.ops.dreamzoom, name)
    if not operator.poll() or name in ABROAD:
        return "unavailable"
    try:
        return str(operator(**arguments(name, tmp_path)))
    except RuntimeError as error:
        assert "Traceback" not in str(error), f"{name}: {error}"
        return str(error)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_no_operator_ends_in_a_traceback(registered, tmp_path, monkeypatch, request, state):
    library(tmp_path)
    request.getfixturevalue("scene")
    state(tmp_path)
    told = {}
    for name in sorted(NAMES, key=lambda name: name == "delete_rig"):
        told[name] = outcome(name, tmp_path)
    assert all(told.values())


class TestImport:
    @pytest.mark.parametrize("state", [linked_active_collection, excluded_collection, nothing_active])
    def test_goes_into_a_collection_that_takes_it(self, registered, tmp_path, request, state):
        library(tmp_path)
        scene = request.getfixturevalue("scene")
        state(tmp_path)
        before = set(scene.objects)
        assert bpy.ops.dreamzoom.import_splats(filepath=str(tmp_path / "in.ply")) == {"FINISHED"}
        (new,) = set(scene.objects) - before
        assert new.name in bpy.context.view_layer.objects and new.library is None

    def test_a_linked_scene_takes_nothing(self, registered, tmp_path, request):
        library(tmp_path)
        request.getfixturevalue("scene")
        linked_scene(tmp_path)
        assert not bpy.ops.dreamzoom.import_splats.poll()
        assert not bpy.ops.dreamzoom.create_rig.poll()


class TestExport:
    def test_of_nothing_that_is_left_says_so(self, scene, tmp_path):
        only_faces_deleted(tmp_path)
        with pytest.raises(RuntimeError, match="any more"):
            bpy.ops.dreamzoom.export_splats(filepath=str(tmp_path / "out.ply"))
        assert not (tmp_path / "out.ply").exists()

    def test_linked_splats_are_exported(self, registered, tmp_path, request):
        library(tmp_path)
        request.getfixturevalue("scene")
        linked_active_collection(tmp_path)
        assert bpy.ops.dreamzoom.export_splats(filepath=str(tmp_path / "out.ply")) == {"FINISHED"}

    def test_to_a_folder_that_is_missing_says_what_to_do(self, scene, tmp_path):
        with pytest.raises(RuntimeError, match="missing"):
            bpy.ops.dreamzoom.export_splats(filepath=str(tmp_path / "missing" / "out.ply"))


def test_linked_objects_are_not_parented_to_levels(registered, tmp_path, request):
    library(tmp_path)
    request.getfixturevalue("scene")
    linked_active_collection(tmp_path)
    assert not bpy.ops.dreamzoom.level_place.poll()
    assert np.isfinite(bpy.data.objects["library splats"].matrix_world).all()

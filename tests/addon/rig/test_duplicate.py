"""A rig is moved, copied, deleted, linked and appended; every operator can be undone."""

import os
import subprocess
import sys

import bpy
import numpy as np
import pytest

from addon import rig, splats
from addon.results import importer
from addon.rig import duplicate

from ..splat_pictures import random_splats

RENDER_WITHOUT_ADDON = """
import bpy, os, sys
bpy.ops.wm.open_mainfile(filepath=sys.argv[1], use_scripts=False)
assert not hasattr(bpy.types.Object, "dreamzoom")
for frame in map(int, sys.argv[3:]):
    bpy.context.scene.frame_set(frame)
    bpy.context.scene.render.filepath = os.path.join(sys.argv[2], f"bare{frame}.exr")
    bpy.ops.render.render(write_still=True)
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def filled(root):
    """A rig with splats under each level, and an object of the artist's own."""
    importer._collection(root, "points_collection", "Points")
    home = importer._collection(root, "splats_collection", "Splats")
    for level in range(4):
        some = random_splats(60, level)
        some.extra["superseded"] = (np.arange(60) < 30).astype(np.uint8)
        for obj in splats.show_splats(some, f"splats {level}", home):
            rig.attach(root, obj, level, bool(obj.get(splats.SUPERSEDED)))
    own = bpy.data.objects.new("own", bpy.data.meshes.new("own"))
    bpy.context.scene.collection.objects.link(own)
    own.parent, own.location = rig.level_empties(root)[1], (0.5, 0, 0)
    follow = root.dreamzoom.camera.constraints.new("DAMPED_TRACK")
    follow.target, follow.track_axis, follow.influence = own, "TRACK_NEGATIVE_Z", 0.1
    bpy.context.view_layer.update()
    return root


def state(root):
    """What the rig shows now: every object by the name that follows the rig's own, where it is, whether it shows."""
    graph = bpy.context.evaluated_depsgraph_get()
    found = {}
    for obj in [root, *root.children_recursive]:
        seen = obj.evaluated_get(graph)
        shown = [*seen.color, obj.hide_render]
        found[obj.name.partition(".0")[0]] = [*np.array(seen.matrix_world).ravel(), *shown]
    return found


def film(root, frames=(1, 7, 9, 20, 37)):
    found = {}
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        found[frame] = state(root)
    return found


def assert_same(one, other):
    for frame in one:
        assert one[frame].keys() == other[frame].keys()
        for name, values in one[frame].items():
            assert np.allclose(values, other[frame][name], atol=1e-5), (frame, name)


def referred(objects):
    """All objects that drivers, constraints and parents of `objects` point to."""
    found = set()
    for obj in objects:
        found |= {obj.parent} | {getattr(constraint, "target", None) for constraint in obj.constraints}
        for curve in obj.animation_data.drivers if obj.animation_data else ():
            found |= {target.id for variable in curve.driver.variables for target in variable.targets}
    return found - {None}


class TestMoving:
    def test_the_pictures_stay_as_they_are(self, filled):
        from bpy_extras.object_utils import world_to_camera_view as to_view

        scene, camera = bpy.context.scene, filled.dreamzoom.camera
        corners = [obj for obj in filled.children_recursive if obj.name.startswith("splats") or obj.name == "own"]

        def seen():
            found = []
            for frame in (3, 18, 30):
                scene.frame_set(frame)
                found += [tuple(to_view(scene, camera, obj.matrix_world.translation))[:2] for obj in corners]
            return np.array(found)

        before = seen()
        filled.location, filled.rotation_euler, filled.scale = (5, -3, 2), (0.3, 0.8, -0.4), (3, 3, 3)
        assert np.allclose(seen(), before, atol=1e-4)


class TestDuplicate:
    def test_shows_the_same_and_refers_to_nothing_of_the_first(self, filled):
        before = film(filled)
        bpy.ops.dreamzoom.duplicate_rig()
        made = rig.active_rig(bpy.context)
        assert made != filled
        assert_same(before, film(made))
        assert_same(before, film(filled))
        originals, copies = {filled, *filled.children_recursive}, {made, *made.children_recursive}
        assert not referred(copies) & originals and not referred(originals) & copies
        assert made.dreamzoom.camera in copies
        assert made.dreamzoom.camera.data != filled.dreamzoom.camera.data

    def test_is_independent(self, filled):
        bpy.ops.dreamzoom.duplicate_rig()
        made = rig.active_rig(bpy.context)
        before = film(filled)
        made.location = (9, 0, 0)
        rig.key_flight(made, 20)
        made.dreamzoom.zoom_factor = 3.0
        bpy.ops.dreamzoom.level_add()
        rig.remove_content(rig.level_empties(made)[0])
        assert_same(before, film(filled))
        assert len(filled.dreamzoom.levels) == 4 and len(made.dreamzoom.levels) == 5

    def test_has_collections_of_its_own_hidden_likewise_and_shares_meshes(self, filled):
        meshes = len(bpy.data.meshes)
        made = duplicate.duplicate(bpy.context.scene, filled)
        one, other = filled.dreamzoom, made.dreamzoom
        for name in ("collection", "points_collection", "splats_collection"):
            assert getattr(one, name) != getattr(other, name) is not None
        assert other.points_collection.hide_render and not other.splats_collection.hide_render
        assert len(other.splats_collection.objects) == len(one.splats_collection.objects) == 8
        assert len(bpy.data.meshes) == meshes

    def test_refers_to_its_own_in_armature_constraints_and_geometry_nodes(self, filled):
        own = bpy.data.objects["own"]
        other = bpy.data.objects.new("other", bpy.data.meshes.new("other"))
        bpy.context.scene.collection.objects.link(other)
        other.parent = rig.level_empties(filled)[2]
        bones = bpy.data.objects.new("bones", bpy.data.armatures.new("bones"))
        bpy.context.scene.collection.objects.link(bones)
        bones.parent = rig.level_empties(filled)[2]
        other.constraints.new("ARMATURE").targets.new().target = bones
        tree = bpy.data.node_groups.new("tree", "GeometryNodeTree")
        tree.interface.new_socket("Thing", in_out="INPUT", socket_type="NodeSocketObject")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        modifier = other.modifiers.new("nodes", "NODES")
        modifier.node_group = tree
        splats.node_builder.set_group_input(modifier, "Thing", own)
        bpy.ops.dreamzoom.duplicate_rig()
        made = rig.active_rig(bpy.context)
        copy = next(child for child in rig.level_empties(made)[2].children if child.name.startswith("other"))
        key = tree.interface.items_tree["Thing"].identifier
        nodes = copy.modifiers[0]
        given = getattr(nodes.properties.inputs, key).value if hasattr(nodes, "properties") else nodes[key]
        for target in (copy.constraints[0].targets[0].target, given):
            assert target not in (own, bones) and target in made.children_recursive

    def test_shift_d_of_the_hierarchy_leaves_the_first_alone(self, filled):
        before = film(filled)
        for obj in [filled, *filled.children_recursive]:
            obj.select_set(True)
        bpy.ops.object.duplicate()
        made = bpy.context.view_layer.objects.active
        assert made != filled and rig.is_rig(made)
        made.location.x += 3
        made.dreamzoom.zoom_factor = 4.0
        bpy.ops.dreamzoom.level_remove()
        assert_same(before, film(filled))

    def test_shift_d_of_the_root_alone_becomes_a_rig_again(self, filled):
        before = film(filled)
        for obj in bpy.context.selected_objects:
            obj.select_set(False)
        filled.select_set(True)
        bpy.context.view_layer.objects.active = filled
        bpy.ops.object.duplicate()
        made = bpy.context.view_layer.objects.active
        rig.sync_levels(made)
        assert len(rig.level_empties(made)) == 4
        assert_same(before, film(filled))


class TestDelete:
    def test_leaves_nothing_but_the_artist_s_own(self, dreamzoom, request):
        keys = ("objects", "meshes", "cameras", "actions", "collections")
        before = {key: len(getattr(bpy.data, key)) for key in keys}
        filled = request.getfixturevalue("filled")
        bpy.context.scene.frame_set(9)
        place = bpy.data.objects["own"].matrix_world.copy()
        bpy.ops.dreamzoom.delete_rig()
        after = {key: len(getattr(bpy.data, key)) for key in keys}
        own = bpy.data.objects["own"]
        assert after == before | {"objects": before["objects"] + 1, "meshes": before["meshes"] + 1}
        assert np.allclose(own.matrix_world, place, atol=1e-6) and own.name in bpy.context.scene.objects
        assert rig.active_rig(bpy.context) is None
        with pytest.raises(ReferenceError):
            filled.name  # noqa: B018

    def test_what_lay_in_its_collection_stays_in_the_scene(self, filled):
        own = bpy.data.objects["own"]
        bpy.context.scene.collection.objects.unlink(own)
        filled.dreamzoom.collection.objects.link(own)
        bpy.ops.dreamzoom.delete_rig()
        assert bpy.data.objects["own"].name in bpy.context.scene.objects

    def test_the_other_rig_keeps_what_they_shared(self, filled):
        made = duplicate.duplicate(bpy.context.scene, filled)
        before = film(made)
        bpy.context.view_layer.objects.active = filled
        bpy.ops.dreamzoom.delete_rig()
        assert_same(before, film(made))


class TestUndo:
    """Undo brings back exactly what was, redo what had been made."""

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("create_rig", {"levels": 3}),
            ("key_flight", {}),
            ("duplicate_rig", {}),
            ("delete_rig", {}),
            ("level_add", {}),
            ("level_remove", {}),
            ("level_move", {"direction": "DOWN"}),
            ("render_settings", {"engine": "CYCLES", "samples": 7}),
            ("to_camera", {}),
            ("from_camera", {"camera": "plain", "target": "own"}),
            ("level_place", {}),
            ("zoom_here", {"point": (0.2, 0.1, 0.0)}),
            ("branch", {"offset": (4, 0, 0)}),
        ],
    )
    def test_every_operator(self, filled, name, options):
        plain = bpy.data.objects.new("plain", bpy.data.cameras.new("plain"))
        bpy.context.scene.collection.objects.link(plain)
        plain.location = (0, 0, 9)
        loose = bpy.data.objects.new("loose", bpy.data.meshes.new("loose"))
        bpy.context.scene.collection.objects.link(loose)
        loose.select_set(True)
        root = filled.name
        filled.dreamzoom.active_level = 1
        bpy.context.scene.camera = plain if name == "from_camera" else filled.dreamzoom.camera
        filled["zoom"] = 0.5
        rig.stretch_flight(filled)
        bpy.ops.ed.undo_push(message="before")
        before = self.whole()
        assert getattr(bpy.ops.dreamzoom, name)(**options) == {"FINISHED"}
        bpy.ops.ed.undo_push(message="after")
        after = self.whole()
        bpy.ops.ed.undo()
        assert self.whole() == before
        assert rig.is_rig(bpy.data.objects[root])
        bpy.ops.ed.redo()
        assert self.whole() == after

    def whole(self):
        """A description of all that operators change, without references."""
        scene = bpy.context.scene
        found = {
            "scene": (scene.frame_start, scene.frame_end, scene.camera and scene.camera.name, scene.cycles.samples)
        }
        for obj in scene.objects:
            drivers = obj.animation_data.drivers if obj.animation_data else ()
            told = sorted((curve.data_path, curve.array_index, curve.driver.expression) for curve in drivers)
            parent = obj.parent and obj.parent.name
            found[obj.name] = (parent, told, sorted(collection.name for collection in obj.users_collection))
            if rig.is_rig(obj):
                curve = rig.zoom_curve(obj)
                keys = [tuple(point.co) for point in curve.keyframe_points] if curve else []
                found[obj.name] += (keys, [level.prompt for level in obj.dreamzoom.levels], obj.dreamzoom.camera.name)
        return found


class TestFiles:
    def test_renders_the_same_without_the_addon(self, filled, tmp_path):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.render_settings(samples=4)
        scene.render.resolution_x = scene.render.resolution_y = 32
        scene.render.image_settings.file_format = "OPEN_EXR"
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flight.blend"))
        command = [
            sys.executable,
            "-c",
            RENDER_WITHOUT_ADDON,
            str(tmp_path / "flight.blend"),
            str(tmp_path),
            "2",
            "25",
        ]
        bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        for frame in (25, 2):
            scene.frame_set(frame)
            with_addon, without = rendered(tmp_path / "with.exr"), pixels(tmp_path / f"bare{frame}.exr")
            assert with_addon.std() > 0.05
            assert np.array_equal(with_addon, without)
        opening = [obj for obj in bpy.data.objects if rig.CONTENT in obj and 0 < obj.color[3] < 1]
        assert opening, "at this frame a level is opening or closing"
        for obj in opening:
            obj.driver_remove("color", 3)
            obj.color[3] = 0.0
        assert not np.allclose(rendered(tmp_path / "open.exr"), without, atol=0.05)

    @pytest.fixture
    def library(self, filled, tmp_path):
        """A file with the rig, and what it shows at some frames; the scene is empty again."""
        path, shown = tmp_path / "library.blend", film(filled)
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        return path, shown

    def bring(self, path, link):
        with bpy.data.libraries.load(str(path), link=link) as (there, here):
            here.collections = ["Dreamzoom"]
        return here.collections[0]

    def test_appended_it_is_a_rig_like_any(self, library):
        path, shown = library
        bpy.context.scene.collection.children.link(self.bring(path, link=False))
        root = rig.active_rig(bpy.context)
        bpy.context.scene.collection.objects.link(bpy.data.objects["own"])
        assert_same(shown, film(root))
        assert bpy.ops.dreamzoom.level_add.poll()
        bpy.ops.dreamzoom.level_add()
        assert len(rig.level_empties(root)) == 5

    def test_linked_and_instanced_it_flies_on(self, library):
        path, _ = library
        instance = bpy.data.objects.new("instance", None)
        instance.instance_type, instance.instance_collection = "COLLECTION", self.bring(path, link=True)
        instance.location = (0, 0, 2)
        bpy.context.scene.collection.objects.link(instance)
        for frame, zoom in ((1, 0), (25, 2)):
            bpy.context.scene.frame_set(frame)
            graph = bpy.context.evaluated_depsgraph_get()
            empties = {i.object.name: np.array(i.matrix_world) for i in graph.object_instances if i.is_instance}
            assert empties["Dreamzoom Level 1"][0, 0] == pytest.approx(2.0 ** (zoom - 1))
            assert np.allclose(empties["Dreamzoom Level 1"][:3, 3], (0, 0, 2))

    def test_linked_it_can_t_be_changed_and_says_so(self, library):
        path, _ = library
        bpy.context.scene.collection.children.link(self.bring(path, link=True))
        root = rig.active_rig(bpy.context)
        assert "library.blend" in rig.why_locked(root)
        for name in (
            "level_add",
            "level_remove",
            "generate",
            "import_job",
            "duplicate_rig",
            "delete_rig",
            "key_flight",
        ):
            assert not getattr(bpy.ops.dreamzoom, name).poll(), name

    def test_overridden_its_zoom_is_the_artist_s(self, library):
        path, _ = library
        scene = bpy.context.scene
        linked = self.bring(path, link=True)
        scene.collection.children.link(linked)
        home = linked.override_hierarchy_create(scene, bpy.context.view_layer, do_fully_editable=True)
        root = next(obj for obj in home.objects if rig.is_rig(obj))
        assert root.library is None and "override" in rig.why_locked(root)
        bpy.context.view_layer.objects.active = root
        bpy.ops.dreamzoom.key_flight()
        for frame, zoom in ((1, 3.0), (20, 1.0)):
            root["zoom"] = zoom
            root.keyframe_insert(rig.ZOOM, frame=frame)
        for frame, zoom in ((1, 3.0), (20, 1.0)):
            scene.frame_set(frame)
            assert rig.level_empties(root)[0].matrix_world[0][0] == pytest.approx(2**zoom, rel=1e-4)
        bpy.ops.wm.save_as_mainfile(filepath=str(path.with_name("shot.blend")))
        bpy.ops.wm.open_mainfile(filepath=str(path.with_name("shot.blend")))
        root = next(obj for obj in bpy.data.objects if rig.is_rig(obj) and obj.library is None)
        bpy.context.scene.frame_set(1)
        assert rig.level_empties(root)[0].matrix_world[0][0] == pytest.approx(8, rel=1e-4)


def rendered(path):
    """The pixels of a render of the current frame."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return pixels(path)


def pixels(path):
    image = bpy.data.images.load(str(path))
    found = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(found)
    bpy.data.images.remove(image)
    return found

"""A zoom stack as planes: each picture fills the camera at its zoom, finer ones in front, bad folders leave nothing."""

import json

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from addon import rig
from addon.results import render_settings, zoom_stack_import
from addon.ui.operators import zoom_stack as stack_operators

WIDTH, HEIGHT, WIDE, HIGH = 64, 36, 96, 54


def write_picture(path, level, size=(WIDE, HIGH)):
    """A smooth picture, a shade of its own for each level."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([0.2 + 0.5 * x, 0.2 + 0.5 * y, np.full_like(x, 0.1 + 0.2 * (level % 4)), np.ones_like(x)], -1)
    image = bpy.data.images.new("made", *size)
    image.pixels.foreach_set(rgb[::-1].astype(np.float32).ravel())
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return np.round(rgb[..., :3] * 255) / 255


@pytest.fixture
def folder(tmp_path, dreamzoom):
    return make_stack(tmp_path / "stack", 3)


def make_stack(folder, count, centre=(WIDE / 2, HIGH / 2), **changes):
    """As `dreamzoom zoomstack` writes it."""
    (folder / "levels").mkdir(parents=True)
    names = [f"levels/{level:03d}.png" for level in range(min(count, 4))]
    for level, name in enumerate(names):
        write_picture(folder / name, level)
    rows = [{"image": names[k % 4], "prompt": f"prompt {k}", "centre": list(centre)} for k in range(count)]
    rows[-1]["centre"] = None
    described = {"zoom_factor": 2.0, "width": WIDTH, "height": HEIGHT, "picture_width": WIDE, "picture_height": HIGH}
    (folder / "zoomstack.json").write_text(json.dumps(described | {"levels": rows} | changes))
    return folder


def use(folder, **options):
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    return bpy.ops.dreamzoom.import_stack(filepath=str(folder / "zoomstack.json"), **options)


def planes(root):
    return [next(c for c in empty.children if zoom_stack_import.STACK in c) for empty in rig.level_empties(root)]


def at(root, zoom):
    root["zoom"] = zoom
    root.animation_data.action = None
    root.update_tag()
    bpy.context.view_layer.update()


def seen(root, obj, uv):
    """Where a point of a plane lies in the camera's picture, in pixels from the upper left, and its distance."""
    graph = bpy.context.evaluated_depsgraph_get()
    there = obj.evaluated_get(graph)
    low, high = there.data.vertices[0].co, there.data.vertices[2].co
    right, up = there.data.vertices[1].co - low, there.data.vertices[3].co - low
    point = there.matrix_world @ (low + right * uv[0] + up * uv[1])
    view = world_to_camera_view(bpy.context.scene, root.dreamzoom.camera.evaluated_get(graph), point)
    assert high is not None
    return np.array([view.x * WIDTH, (1 - view.y) * HEIGHT]), view.z


def shot(root, tmp_path):
    scene = bpy.context.scene
    render_settings.set_up(scene, "CYCLES", samples=4)
    scene.camera = root.dreamzoom.camera
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 0.01
    scene.render.filepath, scene.render.image_settings.file_format = str(tmp_path / "shot.png"), "PNG"
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(tmp_path / "shot.png"))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(WIDTH * HEIGHT * 4, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(HEIGHT, WIDTH, 4)[::-1, :, :3]


class TestImport:
    def test_a_new_rig_with_a_plane_a_level(self, folder):
        assert use(folder) == {"FINISHED"}
        root = rig.active_rig(bpy.context)
        assert len(planes(root)) == len(root.dreamzoom.levels) == 3
        assert [item.prompt for item in root.dreamzoom.levels] == ["prompt 0", "prompt 1", "prompt 2"]
        image = planes(root)[1].data.materials[0].node_tree.nodes["Image Texture"].image
        assert image.source == "FILE" and image.colorspace_settings.name == "sRGB"
        assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == rig.flight_range(root)

    def test_a_fitting_rig_takes_it_and_keeps_its_words(self, folder, dreamzoom):
        bpy.ops.dreamzoom.create_rig(levels=3)
        root = rig.active_rig(bpy.context)
        root.dreamzoom.levels[1].prompt = "my own"
        use(folder)
        assert rig.active_rig(bpy.context) == root
        assert [item.prompt for item in root.dreamzoom.levels] == ["prompt 0", "my own", "prompt 2"]
        assert root["orbit"] == 0

    def test_again_takes_the_place_of_the_first(self, folder):
        use(folder)
        before = len(bpy.data.objects), len(bpy.data.meshes), len(bpy.data.materials), len(bpy.data.images)
        use(folder)
        assert (len(bpy.data.objects), len(bpy.data.meshes), len(bpy.data.materials), len(bpy.data.images)) == before

    def test_undo_takes_it_back(self, folder):
        bpy.ops.ed.undo_push(message="before")
        count = len(bpy.data.objects)
        use(folder)
        bpy.ops.ed.undo_push(message="after")
        bpy.ops.ed.undo()
        assert len(bpy.data.objects) == count

    def test_it_is_in_the_menu(self, dreamzoom):
        assert stack_operators.draw_import in bpy.types.TOPBAR_MT_file_import.draw._draw_funcs


class TestPlaces:
    @pytest.mark.parametrize("centre", [(WIDE / 2, HIGH / 2), (55.0, 20.0)])
    def test_each_picture_fills_the_camera_at_its_zoom_and_the_next_lies_at_its_centre(
        self, tmp_path, dreamzoom, centre
    ):
        use(make_stack(tmp_path / "stack", 3, centre))
        root = rig.active_rig(bpy.context)
        for level, obj in enumerate(planes(root)):
            at(root, float(level))
            left, _ = seen(root, obj, ((WIDE - WIDTH) / 2 / WIDE, 1 - (HIGH - HEIGHT) / 2 / HIGH))
            right, _ = seen(root, obj, (1 - (WIDE - WIDTH) / 2 / WIDE, (HIGH - HEIGHT) / 2 / HIGH))
            assert np.allclose(left, (0, 0), atol=0.02) and np.allclose(right, (WIDTH, HEIGHT), atol=0.02)
        at(root, 0.0)
        middle, _ = seen(root, planes(root)[1], (0.5, 0.5))
        assert np.allclose(middle, np.array(centre) - ((WIDE - WIDTH) / 2, (HIGH - HEIGHT) / 2), atol=0.02)

    @pytest.mark.parametrize("zoom", [0.0, 0.6, 1.0, 1.5, 2.0])
    def test_the_finer_is_in_front(self, folder, zoom):
        use(folder)
        root = rig.active_rig(bpy.context)
        at(root, zoom)
        depths = [seen(root, obj, (0.5, 0.5))[1] for obj in planes(root)]
        assert all(coarse > fine for coarse, fine in zip(depths, depths[1:]))

    def test_scale_grows_evenly_with_the_zoom(self, folder):
        use(folder)
        root = rig.active_rig(bpy.context)
        widths = []
        for zoom in (0.5, 1.0, 1.5, 2.0):
            at(root, zoom)
            widths.append(seen(root, planes(root)[1], (0.6, 0.5))[0][0] - seen(root, planes(root)[1], (0.4, 0.5))[0][0])
        assert np.allclose(np.diff(np.log2(widths)), 0.5, atol=1e-3)

    def test_a_loop_flies_on_into_the_first(self, tmp_path, dreamzoom):
        folder = make_stack(tmp_path / "stack", 4, loop=True)
        described = json.loads((folder / "zoomstack.json").read_text())
        described["levels"][-1]["centre"] = [WIDE / 2, HIGH / 2]
        (folder / "zoomstack.json").write_text(json.dumps(described))
        use(folder)
        assert rig.active_rig(bpy.context).dreamzoom.loop


class TestPicture:
    def test_a_render_shows_the_pictures_colours(self, folder, tmp_path):
        truth = write_picture(tmp_path / "again.png", 1)[(HIGH - HEIGHT) // 2 :, (WIDE - WIDTH) // 2 :][:HEIGHT, :WIDTH]
        use(folder)
        root = rig.active_rig(bpy.context)
        root.dreamzoom.levels.remove(2)
        rig.sync_levels(root)
        at(root, 1.0)
        assert np.abs(shot(root, tmp_path) - truth).max() < 2.5 / 255

    def test_at_zoom_40_level_40_is_seen(self, tmp_path, dreamzoom):
        use(make_stack(tmp_path / "stack", 42, (50.0, 26.0)))
        root = rig.active_rig(bpy.context)
        at(root, 40.0)
        obj = planes(root)[40]
        left, _ = seen(root, obj, ((WIDE - WIDTH) / 2 / WIDE, 1 - (HIGH - HEIGHT) / 2 / HIGH))
        assert np.allclose(left, (0, 0), atol=0.02)
        truth = write_picture(tmp_path / "again.png", 0)[(HIGH - HEIGHT) // 2 :, (WIDE - WIDTH) // 2 :][:HEIGHT, :WIDTH]
        assert np.abs(shot(root, tmp_path) - truth).max() < 2.5 / 255
        hidden = [one.evaluated_get(bpy.context.evaluated_depsgraph_get()).hide_render for one in planes(root)]
        assert hidden[0] and hidden[41] and not hidden[40] and not hidden[39]


class TestBadFolders:
    def refused(self, folder, match):
        counts = [len(getattr(bpy.data, kind)) for kind in ("objects", "images", "materials", "meshes", "collections")]
        with pytest.raises(RuntimeError, match=match):
            use(folder)
        kinds = ("objects", "images", "materials", "meshes", "collections")
        assert [len(getattr(bpy.data, kind)) for kind in kinds] == counts

    def test_without_a_description(self, tmp_path, dreamzoom):
        self.refused(tmp_path, "There is no zoomstack.json")

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"zoom_factor": 2, "levels": []}', '"\\ud800"'])
    def test_a_damaged_description(self, folder, text):
        (folder / "zoomstack.json").write_text(text)
        self.refused(folder, "not a valid zoom stack|can't be read")

    @pytest.mark.parametrize(
        "change", [{"zoom_factor": 1.0}, {"zoom_factor": "x"}, {"width": 0}, {"picture_width": 10}, {"levels": [1]}]
    )
    def test_numbers_that_can_not_be(self, tmp_path, dreamzoom, change):
        self.refused(make_stack(tmp_path / "stack", 2, **change), "not a valid zoom stack")

    def test_a_missing_picture(self, folder):
        (folder / "levels/001.png").unlink()
        self.refused(folder, "001.png is missing")

    def test_a_damaged_picture(self, folder):
        (folder / "levels/001.png").write_bytes(b"no picture")
        self.refused(folder, "can't be shown")

    def test_a_picture_of_another_size(self, folder):
        write_picture(folder / "levels/002.png", 2, (20, 10))
        self.refused(folder, "another size")

    def test_a_picture_outside_the_folder(self, folder):
        described = json.loads((folder / "zoomstack.json").read_text())
        described["levels"][0]["image"] = "../other.png"
        (folder / "zoomstack.json").write_text(json.dumps(described))
        self.refused(folder, "outside its folder")

    def test_a_camera_that_looks_away(self, folder):
        bpy.ops.dreamzoom.create_rig(levels=3)
        root = rig.active_rig(bpy.context)
        root.dreamzoom.camera.rotation_euler = (3.14, 0, 0)
        assert Vector(root.location).length < 1e-6
        self.refused(folder, "does not look towards")

"""What can be said of the interface without a window: names are told, buttons know when they can not be pressed."""

import bpy
import pytest

from addon.backend import error_messages, launch
from addon.backend.client import Ended
from addon.core.protocol import messages
from addon.ui import labels, operators, panels, preferences, properties

OPERATORS = [cls for module in operators.MODULES for cls in module.CLASSES if issubclass(cls, bpy.types.Operator)]
SETTINGS = [*properties.CLASSES, *preferences.CLASSES, *OPERATORS]


@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
def test_every_property_is_described(dreamzoom, cls):
    known = cls.bl_rna.base.properties.keys() if cls.bl_rna.base else ()
    for prop in cls.bl_rna.properties:
        if prop.identifier not in known and not prop.identifier.startswith("bl_"):
            assert prop.description and not prop.description.endswith("."), prop.identifier


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.__name__)
def test_every_operator_has_a_tooltip(dreamzoom, cls):
    category, name = cls.bl_idname.split(".")
    told = getattr(getattr(bpy.ops, category), name).get_rna_type().description
    assert told and not told.endswith(".") and "\n" not in told


def test_operators_that_change_the_scene_can_be_undone():
    changing = (
        "create_rig",
        "from_camera",
        "to_camera",
        "key_flight",
        "render_settings",
        "level_add",
        "level_remove",
        "level_move",
        "level_place",
    )
    for cls in OPERATORS:
        if cls.bl_idname.partition(".")[2] in changing:
            assert "UNDO" in cls.bl_options


def test_search_finds_every_operator():
    """F3 searches the menus; what acts on a row of a list is left out, since it must be told which."""
    named = {name for group in panels.menu.GROUPS for name in group} | {"level_move"}
    rows = {"remove_kept", "lora_remove", "level_version", "flight_preset"}
    assert {cls.bl_idname.partition(".")[2] for cls in OPERATORS} <= named | rows


@pytest.mark.parametrize("state", ["empty", "a rig"])
def test_what_can_not_be_pressed_says_why(dreamzoom, state):
    if state == "a rig":
        bpy.ops.dreamzoom.create_rig(levels=1)
    silent = []
    for name in [name for group in panels.menu.GROUPS for name in group]:
        operator = getattr(bpy.ops.dreamzoom, name)
        if not operator.poll():
            with pytest.raises(RuntimeError) as raised:
                operator()
            silent += [name] if "context is incorrect" in str(raised.value) else []
    assert not silent
    nothing_to_do = "cancel", "dismiss", "forget_test", "forget_kept", "cancel_models", "hide_in_the_way", "lora_add"
    assert not any(getattr(bpy.ops.dreamzoom, name).poll() for name in nothing_to_do)


def test_nothing_that_needs_a_rig_can_be_pressed_without_one(dreamzoom):
    for name in ("generate", "import_job", "open_job_folder", "key_flight", "render_settings", "level_add", "cancel"):
        assert not getattr(bpy.ops.dreamzoom, name).poll(), name
    assert bpy.ops.dreamzoom.create_rig.poll()


def test_installing_waits_for_online_access(dreamzoom):
    assert bpy.ops.dreamzoom.install_server.poll() == bpy.app.online_access


def test_registers_twice(dreamzoom):
    dreamzoom.unregister()
    assert not hasattr(bpy.types.Object, "dreamzoom")
    dreamzoom.register()
    assert bpy.types.Object.bl_rna.properties.get("dreamzoom") is not None
    assert hasattr(bpy.types, panels.dream.DREAMZOOM_PT_dream.__name__)


class TestRenderSettings:
    def test_lets_rays_pass_all_splats_and_colours_stay(self, root):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.render_settings(engine="CYCLES", samples=9)
        assert scene.render.engine == "CYCLES" and scene.cycles.samples == 9
        assert scene.view_settings.view_transform == "Standard"
        assert scene.cycles.transparent_max_bounces >= 128
        assert scene.cycles.min_transparent_bounces >= 16
        assert scene.camera == root.dreamzoom.camera
        assert (scene.frame_start, scene.frame_end) == (1, 37)

    def test_chooses_eevee_by_its_name_in_this_blender(self, root):
        bpy.ops.dreamzoom.render_settings(engine="EEVEE", samples=64)
        assert "EEVEE" in bpy.context.scene.render.engine
        assert bpy.context.scene.eevee.taa_render_samples == 64

    def test_samples_are_enough_by_themselves(self, root):
        bpy.ops.dreamzoom.render_settings(engine="EEVEE")
        bpy.ops.dreamzoom.render_settings(engine="CYCLES")
        scene = bpy.context.scene
        assert (scene.cycles.samples, scene.eevee.taa_render_samples) == (16, 64)
        assert scene.render.use_persistent_data and not scene.render.film_transparent

    @pytest.mark.parametrize(
        ("output", "format", "movie"), [("PNG", "PNG", False), ("EXR", "OPEN_EXR", False), ("VIDEO", "FFMPEG", True)]
    )
    def test_what_is_written_can_be_chosen(self, root, output, format, movie, tmp_path):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        render = bpy.context.scene.render
        bpy.ops.dreamzoom.render_settings(output="VIDEO")  # whatever it was before
        bpy.ops.dreamzoom.render_settings(output=output, transparent=True)
        assert render.image_settings.file_format == format and render.is_movie_format == movie
        assert render.image_settings.color_mode == ("RGB" if movie else "RGBA") and render.film_transparent
        assert render.filepath == ("//render/flight.mp4" if movie else "//render/flight_")

    def test_a_place_that_the_artist_chose_stays(self, root):
        render = bpy.context.scene.render
        render.filepath = "//shots/010_"
        bpy.ops.dreamzoom.render_settings(output="PNG")
        assert render.filepath == "//shots/010_"
        render.image_settings.file_format = "TIFF"
        bpy.ops.dreamzoom.render_settings()
        assert render.image_settings.file_format == "TIFF"

    def test_a_film_is_written(self, root, tmp_path):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.render_settings(samples=1, output="VIDEO")
        scene.render.resolution_x, scene.render.resolution_y, scene.frame_end = 64, 48, 3
        scene.render.filepath = str(tmp_path / "flight.mp4")
        bpy.ops.render.render(animation=True)
        assert (tmp_path / "flight.mp4").read_bytes()[4:8] == b"ftyp"

    def test_a_world_of_the_artist_s_own_stays(self, root):
        world = bpy.data.worlds.new("sky")
        bpy.context.scene.world = world
        world.color = (0.3, 0.5, 0.9)
        if world.node_tree:
            world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.3, 0.5, 0.9, 1)
        bpy.ops.dreamzoom.render_settings()
        assert bpy.context.scene.world == world


class TestWords:
    def test_a_field_is_called_as_the_panel_calls_it(self):
        error = {"code": -32602, "message": "", "data": {"field": "levels[3].prompt", "message": "must be short"}}
        assert str(error_messages.of_error(error)) == "Level 3: the prompt must be short"

    def test_a_remedy_is_kept(self):
        error = {"code": -32001, "message": "no weights.", "data": {"remedy": "download them"}}
        told = error_messages.of_error(error)
        assert (str(told), told.remedy) == ("No weights", "Download them")

    def test_a_missing_package_is_installed_by_a_button(self, tmp_path):
        ended = Ended(1, "the server ended with code 1", ("ModuleNotFoundError: No module named 'msgspec'",))
        assert error_messages.of_end(ended, tmp_path).operator == "dreamzoom.install_server"

    @pytest.mark.parametrize(
        ("seconds", "expected"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (95, "1 min 35 s"), (7300, "2 h 1 min")]
    )
    def test_durations(self, seconds, expected):
        assert labels.of_seconds(seconds) == expected

    def test_every_stage_has_a_label(self):
        assert set(labels.STAGES) == {*messages.STAGES, "import", messages.REFIT}


class TestLaunch:
    def test_blender_s_own_python_does_not_bend_the_server_s(self, dreamzoom, monkeypatch):
        monkeypatch.setenv("PYTHONHOME", "/somewhere")
        variables = launch.environment()
        assert "PYTHONHOME" not in variables
        assert variables["PYTHONPATH"] == str(launch.code_folder())
        assert (launch.code_folder() / "dreamzoom").is_dir()

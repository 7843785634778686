"""What the level list offers: words that are understood, versions, redo, the next level's place, branches."""

import json

import bpy
import numpy as np
import pytest

from addon import rig
from addon.backend import current_job, job_folders, main_loop
from addon.core import prompt_words
from addon.jobs import generation
from addon.results import importer, versions
from addon.scene import prompt_changes
from addon.ui import properties
from addon.ui.operators import flight_check, level_dreams

from ..results.test_edits_are_kept import dream, of_level


class Layout:
    """Takes what a panel draws: its labels, and its buttons with their texts."""

    def __init__(self):
        self.texts, self.buttons, self.alignment, self.active, self.scale_y = [], [], "EXPAND", True, 1.0

    def box(self, **options):
        return self

    row = column = split = box

    def label(self, text="", **options):
        self.texts.append(text)

    def operator(self, name, text="", **options):
        self.buttons.append((name, text))


@pytest.fixture
def dreamed(root, tmp_path):
    """A rig with an imported result."""
    dream(tmp_path / "job")
    root.dreamzoom.job_folder = str(tmp_path / "job")
    importer.import_job(root, tmp_path / "job")
    versions.forget()
    return root


class TestWords:
    def test_what_a_prompt_becomes(self):
        found = prompt_words.understood("the crown of an old Tree, snowy and red, over ferns")
        assert [(one.word, one.meaning) for one in found] == [
            ("crown", ""),
            ("old", ""),
            ("tree", "forest"),
            ("snowy", "snow"),
            ("red", "red"),
            ("ferns", "moss"),
        ]

    def test_only_so_many_places_count(self):
        found = prompt_words.understood("a forest, a city, a desert, an ocean, a city street")
        assert [one.meaning for one in found] == ["forest", "city", "desert", "city", "city"]

    def test_the_last_word_is_completed(self, root):
        level = root.dreamzoom.levels[0]
        found = properties._completions(level, bpy.context, "a misty moun")
        assert ("a misty mountain", "mountains") in found and ("a misty mountains", "mountains") in found
        assert not properties._completions(level, bpy.context, "a misty m")
        root.dreamzoom.engine = "spectral"
        assert not properties._completions(level, bpy.context, "a misty moun")

    @pytest.mark.parametrize("text", ["", " ", "\n", "葉っ", "a-", "x" * 4000])
    def test_any_text_can_be_completed(self, text):
        assert prompt_words.completions(text) == []


class TestVersions:
    def test_an_earlier_one_is_shown_and_locked_and_the_newest_again(self, dreamed, tmp_path):
        folder = tmp_path / "job"
        dream(folder / "versions/0001", seed=50)
        dream(folder, seed=90)
        importer.import_job(dreamed, folder)
        versions.forget()
        assert [version.name for version in versions.of_rig(dreamed)] == ["", "0001"]
        newest = of_level(dreamed, 2)["dreamzoom_source"]
        assert bpy.ops.dreamzoom.level_version(version="0001", level=2) == {"FINISHED"}
        assert of_level(dreamed, 2)["dreamzoom_source"] != newest and dreamed.dreamzoom.levels[2].lock
        importer.import_job(dreamed, folder)
        assert of_level(dreamed, 2)["dreamzoom_source"] != newest
        assert bpy.ops.dreamzoom.level_version(version="", level=2) == {"FINISHED"}
        assert of_level(dreamed, 2)["dreamzoom_source"] == newest and not dreamed.dreamzoom.levels[2].lock

    def test_one_that_is_gone_is_refused(self, dreamed):
        assert bpy.ops.dreamzoom.level_version(version="0009", level=0) == {"CANCELLED"}


class TestFollowing:
    def test_an_import_puts_every_level_where_its_row_is_now(self, dreamed, tmp_path):
        settings = dreamed.dreamzoom
        for level, item in enumerate(settings.levels):
            item.dreamed_as = level
        settings.active_level = 0
        bpy.ops.dreamzoom.level_move(direction="DOWN")
        bpy.ops.dreamzoom.level_add()
        assert [item.dreamed_as for item in settings.levels] == [1, 0, -1, 2, 3]
        dream(tmp_path / "job", seed=10)
        importer.import_job(dreamed, tmp_path / "job")
        stamp = (tmp_path / "job/levels/001/splats.ply").stat()
        assert of_level(dreamed, 0)["dreamzoom_source"] == f"{stamp.st_size} {stamp.st_mtime_ns}"
        assert not rig.contents(rig.level_empties(dreamed)[2]) and of_level(dreamed, 4)

    def test_an_added_level_is_missing_and_those_that_moved_are_out_of_date(self, dreamed):
        settings = dreamed.dreamzoom
        settings.zoom_factor, settings.size = 16.0, 64
        settings.dreamed = prompt_changes.prompts_of(settings)
        for level, item in enumerate(settings.levels):
            item.dreamed_as = level
        assert prompt_changes.states(settings, None) == ["dreamed"] * 4
        settings.active_level = 2
        bpy.ops.dreamzoom.level_add()
        assert prompt_changes.states(settings, None)[3:] == ["missing", "stale"]

    @pytest.mark.parametrize("change", ["quality", "size", "zoom_factor", "loop", "seed"])
    def test_settings_of_the_whole_rig_redo_all(self, dreamed, change):
        settings = dreamed.dreamzoom
        settings.dreamed = prompt_changes.prompts_of(settings)
        values = {"quality": "final", "size": 128, "zoom_factor": 3.0, "loop": True, "seed": 5}
        setattr(settings, change, values[change])
        assert "all levels" in prompt_changes.notice(settings)

    def test_what_was_stored_by_earlier_versions_is_understood(self, dreamed):
        settings = dreamed.dreamzoom
        levels = [[item.prompt, "", None] for item in settings.levels]
        settings.dreamed = json.dumps([settings.seed, levels])
        assert prompt_changes.notice(settings) == ""
        settings.levels[3].prompt = "other"
        assert "level 3" in prompt_changes.notice(settings)


class TestRedo:
    def test_gives_new_seeds_to_what_is_not_locked(self, dreamed, server_python, monkeypatch):
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
        settings = dreamed.dreamzoom
        settings.active_level, settings.levels[2].lock = 1, True
        bpy.ops.dreamzoom.level_redo(following=True)
        assert [item.use_seed for item in settings.levels] == [False, True, False, True]
        assert current_job.of_rig(dreamed.session_uid).status == "starting"
        current_job.clear()
        settings.active_level = 2
        assert bpy.ops.dreamzoom.level_redo(following=False) == {"CANCELLED"}


class TestZoomHere:
    def test_the_next_level_lies_where_one_clicks(self, root):
        bpy.context.scene.frame_set(13)
        bpy.context.view_layer.update()
        empty = rig.level_empties(root)[1]
        point = empty.matrix_world @ level_dreams.Vector((0.3, -0.2, 0.0))
        assert bpy.ops.dreamzoom.zoom_here(point=point) == {"FINISHED"}
        assert np.allclose(root.dreamzoom.levels[1].focus, (0.3, -0.2, 0), atol=1e-5)
        assert root.dreamzoom.active_level == 1
        assert bpy.ops.dreamzoom.zoom_here(point=(50, 0, 0)) == {"CANCELLED"}

    def test_a_ray_meets_the_ground_of_the_level_in_view(self, root):
        from mathutils import Vector

        root.location, root.scale = (1, 2, 3), (2, 2, 2)
        bpy.context.view_layer.update()
        hit = level_dreams.on_ground(root, Vector((1.4, 2.2, 9)), Vector((0, 0, -1)))
        assert np.allclose(hit, (1.4, 2.2, 3), atol=1e-5)
        assert level_dreams.on_ground(root, Vector((0, 0, 9)), Vector((0, 0, 1))) is None
        assert level_dreams.on_ground(root, Vector((0, 0, 9)), Vector((1, 0, 0))) is None


class TestBranch:
    def test_shares_the_levels_above_and_begins_anew_below(self, dreamed, tmp_path):
        (tmp_path / "job/request.json").write_text("{}")
        dreamed.dreamzoom.active_level = 1
        assert bpy.ops.dreamzoom.branch(offset=(4, 0, 0)) == {"FINISHED"}
        made = rig.active_rig(bpy.context)
        assert made != dreamed and made.location.x == 4
        assert [item.prompt for item in made.dreamzoom.levels] == ["prompt 0", "prompt 1", "", ""]
        assert [bool(rig.contents(empty)) for empty in rig.level_empties(made)] == [True, True, False, False]
        assert all(rig.contents(empty) for empty in rig.level_empties(dreamed))
        own = job_folders.of_rig(made)
        assert own != tmp_path / "job" and (own / "levels/001/splats.ply").is_file()
        (own / "levels/001/splats.ply").unlink()
        assert (tmp_path / "job/levels/001/splats.ply").is_file()

    def test_without_a_job_it_begins_without_one(self, root):
        assert bpy.ops.dreamzoom.branch() == {"FINISHED"}
        assert job_folders.of_rig(rig.active_rig(bpy.context)) is None
        root.dreamzoom.active_level = 3
        bpy.context.view_layer.objects.active = root
        assert not bpy.ops.dreamzoom.branch.poll()


class TestCoverage:
    @pytest.fixture
    def flown(self, root):
        """A rig whose levels were dreamed along its flight."""
        from addon.rig import coverage
        from addon.scene import request

        sent = request.build_request(root, bpy.context.scene, bpy.context.view_layer)
        coverage.remember(root, sent["cameras"])
        return root

    def test_the_flight_itself_is_covered(self, flown):
        scene, layer = bpy.context.scene, bpy.context.view_layer
        assert flight_check.views_outside(scene, layer, flown) == []
        assert bpy.ops.dreamzoom.check_flight() == {"FINISHED"} and flown.dreamzoom.outside == ""

    @pytest.mark.parametrize(("degrees", "covered"), [(5, True), (12, True), (20, False), (60, False)])
    def test_an_orbit_leaves_it_at_the_limit(self, flown, degrees, covered):
        from mathutils import Matrix

        from addon.rig import coverage

        camera = flown.dreamzoom.camera
        across = Matrix.Rotation(np.radians(degrees), 4, camera.matrix_world.to_3x3().col[1])
        camera.matrix_basis = camera.parent.matrix_world.inverted() @ across @ camera.matrix_world
        bpy.context.view_layer.update()
        found = coverage.deviation(flown, camera)
        assert np.degrees(found.angle) == pytest.approx(degrees, abs=0.1) and found.is_covered == covered
        bpy.ops.dreamzoom.check_flight()
        assert bool(flown.dreamzoom.outside) != covered

    def test_from_60_degrees_the_panel_warns_and_offers_to_dream_what_is_missing(self, flown):
        """The warning is drawn by the panel itself; Generate then takes the new views, and all are covered."""
        from addon.rig import coverage
        from addon.scene import request
        from addon.ui.panels import rig as panel

        for frame, degrees in ((1, 0), (37, 60)):
            flown["orbit"] = np.radians(degrees) / 3 + 0.17453
            flown.keyframe_insert(rig.ORBIT, frame=frame)
        scene, layer = bpy.context.scene, bpy.context.view_layer
        scene.frame_set(37)
        found = coverage.deviation(flown, flown.dreamzoom.camera)
        assert not found.is_covered
        layout = Layout()
        panel.draw_coverage(layout, flown, bpy.context.scene)
        assert "fromwhatwasdreamed;upto15°" in "".join(layout.texts).replace(" ", "")
        assert ("dreamzoom.generate", "Dream What Is Missing") in layout.buttons
        sent = request.build_request(flown, scene, layer)
        coverage.remember(flown, sent["cameras"])
        assert flight_check.views_outside(scene, layer, flown) == []
        layout = Layout()
        panel.draw_coverage(layout, flown, bpy.context.scene)
        assert not layout.texts and not layout.buttons

    @pytest.mark.parametrize("change", ["dream", "orbit", "camera", "keys", "range", "nothing"])
    def test_what_a_check_found_is_told_until_the_flight_is_another(self, flown, change):
        from addon.rig import coverage
        from addon.scene import request
        from addon.ui.panels import rig as panel

        scene, layer = bpy.context.scene, bpy.context.view_layer
        flown["orbit"] = 0.6
        flown.update_tag()
        bpy.ops.dreamzoom.check_flight()
        scene.frame_set(1)
        assert "leave what was dreamed" in flown.dreamzoom.outside

        def told():
            layout = Layout()
            panel.draw_coverage(layout, flown, scene)
            return "leavewhatwasdreamed" in "".join(layout.texts).replace(" ", "")

        assert told()
        if change == "dream":
            coverage.remember(flown, request.build_request(flown, scene, layer)["cameras"])
        elif change == "orbit":
            flown["orbit"] = 0.5
        elif change == "camera":
            flown.dreamzoom.camera.location.x += 0.1
        elif change == "keys":
            rig.zoom_curve(flown).keyframe_points[0].co.y += 0.5
        elif change == "range":
            scene.frame_end -= 1
        else:
            scene.frame_set(20)
            scene.frame_set(1)
        assert told() == (change == "nothing")

    def test_going_closer_leaves_it_too(self, flown):
        from addon.rig import coverage

        camera = flown.dreamzoom.camera
        camera.location *= 0.5
        bpy.context.view_layer.update()
        assert not coverage.deviation(flown, camera).is_covered
        assert coverage.deviation(flown, camera).closer == pytest.approx(2, rel=1e-3)

    @pytest.mark.parametrize("stored", ["", "[]", "{", "[[1, 2]]", "null", '"x"'])
    def test_a_damaged_path_counts_as_none(self, root, stored):
        from addon.rig import coverage

        root[coverage.DREAMED_PATH] = stored
        assert coverage.deviation(root, root.dreamzoom.camera) is None

    def test_the_guide_is_a_ring_about_the_camera(self, flown):
        from addon.ui import guide

        path, ring = guide.lines(flown)
        camera = flown.dreamzoom.camera.matrix_world.translation
        assert len(path) == 37 and np.allclose(
            ring.mean(0) / np.linalg.norm(ring.mean(0)), camera.normalized(), atol=0.01
        )


class TestWhileRunning:
    def running(self, root, folder):
        """A job whose levels 0 and 2 are finished."""
        prompt_changes.note_sent(root.dreamzoom)
        job = current_job.Job(root.session_uid, folder, True, status="running", levels=4)
        current_job.add(job)
        for level in (0, 2):
            params = {"kind": "splats", "level": level, "path": f"levels/{level:03d}/splats.ply"}
            generation._take_artifact(job, params)
        while main_loop.pump() and job.imported_levels != {0, 2}:
            pass
        return job

    def test_each_level_appears_as_soon_as_it_is_done(self, root, tmp_path):
        dream(tmp_path / "job")
        job = self.running(root, tmp_path / "job")
        shown = [bool(rig.contents(empty)) for empty in rig.level_empties(root)]
        assert shown == [True, False, True, False] and job.imported_levels == {0, 2}
        assert prompt_changes.states(root.dreamzoom, job) == ["dreamed", "waiting", "dreamed", "waiting"]
        assert bpy.context.scene.view_settings.view_transform == "Standard"

    def test_an_earlier_result_stays_until_the_new_one_is_whole(self, dreamed, tmp_path):
        before = {obj.session_uid for obj in bpy.data.objects}
        dream(tmp_path / "job", seed=30)
        self.running(dreamed, tmp_path / "job")
        assert {obj.session_uid for obj in bpy.data.objects} == before

    def test_a_damaged_file_is_left_to_the_whole_import(self, root, tmp_path):
        dream(tmp_path / "job")
        (tmp_path / "job/levels/002/splats.ply").write_bytes(b"ply")
        job = self.running(root, tmp_path / "job")
        assert job.is_active and "Level 2" in job.warning and rig.contents(rig.level_empties(root)[0])


class TestExample:
    @pytest.fixture(autouse=True)
    def label(self):
        """Blender's operator for presets makes the last one the menu's label."""
        menu = bpy.types.DREAMZOOM_MT_flights
        before = menu.bl_label
        yield
        menu.bl_label = before

    def test_makes_the_rig_hides_the_cube_and_presses_generate(self, dreamzoom, monkeypatch):
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", "/nowhere/python")
        bpy.ops.mesh.primitive_cube_add()
        cube = bpy.context.object
        assert bpy.ops.dreamzoom.example_flight() == {"FINISHED"}
        root = rig.active_rig(bpy.context)
        settings = root.dreamzoom
        assert len(settings.levels) == 6 and all(item.prompt for item in settings.levels)
        assert (settings.quality, settings.engine, settings.import_when_done) == ("draft", "procedural", True)
        assert cube.hide_render and current_job.of_rig(root.session_uid) is not None
        assert bpy.context.scene.frame_end == 121

    @pytest.mark.parametrize(("width", "percent"), [(1920, 25), (2048, 100)])
    def test_renders_of_a_new_file_are_as_small_as_a_draft_and_others_stay(
        self, dreamzoom, monkeypatch, width, percent
    ):
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", "/nowhere/python")
        bpy.context.scene.render.resolution_x = width
        bpy.ops.dreamzoom.example_flight()
        assert bpy.context.scene.render.resolution_percentage == percent

    def test_the_four_ready_flights_are_presets_whose_words_are_understood(self, dreamzoom):
        from pathlib import Path

        folders = [Path(folder) for folder in bpy.utils.preset_paths("dreamzoom/flights")]
        files = sorted(file for folder in folders for file in folder.glob("*.py"))
        assert len(files) == 4
        loops = 0
        for file in files:
            bpy.ops.script.execute_preset(filepath=str(file), menu_idname="DREAMZOOM_MT_flights")
            recipe = bpy.context.scene.dreamzoom.flight
            prompts = recipe.prompts.splitlines()
            loops += recipe.loop
            assert len(prompts) == 6
            for prompt in prompts:
                assert any(one.kind == "place" for one in prompt_words.understood(prompt)), prompt
        assert loops == 1

    def test_own_ones_can_be_saved(self, root, tmp_path, monkeypatch):
        monkeypatch.setattr(bpy.utils, "user_resource", lambda *names, **options: str(tmp_path))
        root.dreamzoom.levels[0].prompt = "a “quoted”\nprompt"
        bpy.ops.dreamzoom.flight_preset(name="Mine")
        (written,) = tmp_path.glob("*.py")
        bpy.context.scene.dreamzoom.flight.prompts = ""
        bpy.ops.script.execute_preset(filepath=str(written), menu_idname="DREAMZOOM_MT_flights")
        assert bpy.context.scene.dreamzoom.flight.prompts.splitlines()[:2] == ["a “quoted” prompt", "prompt 1"]


class TestReadyToRender:
    def test_an_import_makes_the_file_ready_once_and_leaves_what_was_chosen(self, dreamed):
        from addon.results import render_settings

        scene = bpy.context.scene
        told = render_settings.make_ready(scene, dreamed)
        assert told and scene.view_settings.view_transform == "Standard"
        assert scene.cycles.transparent_max_bounces >= 128 and scene.camera == dreamed.dreamzoom.camera
        scene.view_settings.view_transform = "AgX"
        assert render_settings.make_ready(scene, dreamed) == [] and scene.view_settings.view_transform == "AgX"

    def test_samples_and_resolution_follow_quality_and_size_until_they_are_changed(self, dreamed):
        from addon.results import render_settings

        scene, settings = bpy.context.scene, dreamed.dreamzoom
        settings.quality, settings.size = "draft", 240
        render_settings.fit_resolution(scene, dreamed)
        render_settings.make_ready(scene, dreamed)
        assert (scene.cycles.samples, scene.render.resolution_percentage) == (4, 25)
        settings.quality, settings.size = "final", 720
        told = render_settings.make_ready(scene, dreamed)
        assert (scene.cycles.samples, scene.render.resolution_percentage) == (16, 75) and len(told) == 2
        scene.cycles.samples, scene.render.resolution_percentage = 7, 50
        settings.quality, settings.size = "draft", 240
        assert render_settings.make_ready(scene, dreamed) == []
        assert (scene.cycles.samples, scene.render.resolution_percentage) == (7, 50)

    def test_samples_of_set_up_render_follow_too_unless_they_were_chosen(self, dreamed):
        from addon.results import render_settings

        scene, settings = bpy.context.scene, dreamed.dreamzoom
        for chosen, after in ((0, 16), (4, 4)):
            settings.quality = "draft"
            bpy.ops.dreamzoom.render_settings(samples=chosen)
            assert scene.cycles.samples == 4
            settings.quality = "final"
            render_settings.make_ready(scene, dreamed)
            assert scene.cycles.samples == after

    def test_a_draft_of_lit_objects_gets_the_samples_that_they_need(self, dreamed):
        from addon.results import render_settings

        dreamed.dreamzoom.quality = "draft"
        assert render_settings.samples_for(bpy.context.scene, dreamed, "CYCLES") == 4
        bpy.ops.mesh.primitive_cube_add()
        assert render_settings.samples_for(bpy.context.scene, dreamed, "CYCLES") == 16
        assert render_settings.samples_for(bpy.context.scene, dreamed, "EEVEE") == 64

    def test_it_is_denoised_only_where_something_is_lit(self, dreamed):
        from addon.results import render_settings

        scene = bpy.context.scene
        render_settings.set_up(scene)
        assert not scene.cycles.use_denoising
        bpy.ops.mesh.primitive_cube_add()
        render_settings.set_up(scene)
        assert scene.cycles.use_denoising and scene.cycles.denoising_input_passes == "RGB"
        bpy.context.object.hide_render = True
        render_settings.set_up(scene)
        assert not scene.cycles.use_denoising

    def test_a_blender_without_denoiser_is_no_error(self):
        from addon.results import render_settings

        class Cycles:
            """The settings of a Blender that was built without Open Image Denoise refuse its name."""

            __slots__ = ("denoising_input_passes",)

            def __setattr__(self, name, value):
                raise TypeError(f'enum "{value}" not found in ()')

        assert render_settings._choose_denoiser(Cycles()) is False

    def test_settings_of_the_artist_are_not_touched(self, dreamed):
        from addon.results import render_settings

        scene = bpy.context.scene
        scene.view_settings.view_transform, scene.view_settings.exposure = "AgX", 0.5
        scene.cycles.samples = 77
        camera = bpy.data.objects.new("mine", bpy.data.cameras.new("mine"))
        scene.collection.objects.link(camera)
        scene.camera = camera
        render_settings.make_ready(scene, dreamed)
        assert (scene.view_settings.view_transform, scene.cycles.samples, scene.camera) == ("AgX", 77, camera)

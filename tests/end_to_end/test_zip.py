"""The built zip, installed into Blender: from prompts to a rendered frame, as an artist would."""

import json
import re
import time
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest

WIDTH, HEIGHT = 64, 48


def pixels_of(path):
    """(H, W, 3) float32 sRGB of a picture file."""
    picture = bpy.data.images.load(str(path))
    values = np.empty(len(picture.pixels), np.float32)
    picture.pixels.foreach_get(values)
    width, height = picture.size
    bpy.data.images.remove(picture)
    return values.reshape(height, width, 4)[..., :3]


def finish(installed, seconds):
    """Pump until the job has ended, and return it."""
    current_job, main_loop = installed.part("backend.current_job"), installed.part("backend.main_loop")
    end = time.monotonic() + seconds
    while current_job.is_busy():
        assert time.monotonic() < end, f"the job still is {current_job.get()}"
        main_loop.pump()
        installed.part("backend.connection").connection.wait(0.2)
    return current_job.get()


@pytest.fixture(scope="session")
def flight(installed, tmp_path_factory):
    """A rig whose two levels were generated and imported, and its job folder."""
    folder = tmp_path_factory.mktemp("job")
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    bpy.ops.dreamzoom.create_rig(levels=2, frames_per_level=4)
    root = bpy.context.view_layer.objects.active
    for level, prompt in zip(root.dreamzoom.levels, ("snowy mountains", "a forest")):
        level.prompt = prompt
    root.dreamzoom.quality, root.dreamzoom.size = "draft", WIDTH
    root.dreamzoom.job_folder = str(folder)
    root.dreamzoom.import_when_done = False
    bpy.ops.dreamzoom.generate()
    generated = finish(installed, 240)
    assert generated.status == "done", generated.error
    bpy.ops.dreamzoom.import_job()
    imported = finish(installed, 60)
    assert imported.status == "done", imported.error
    return root, folder


class TestZip:
    def test_holds_what_runs_and_nothing_else(self, zip_file):
        names = zipfile.ZipFile(zip_file).namelist()
        for name in ("__init__.py", "blender_manifest.toml", "LICENSE", "server/dreamzoom/__main__.py"):
            assert name in names
        assert {name.rpartition(".")[2] for name in names} <= {"py", "toml", "txt", "LICENSE", "json", "ptx", "sha256"}
        assert not [name for name in names if "__pycache__" in name or "test" in name.split("/")[0]]

    def test_is_the_same_each_time(self, zip_file, tmp_path):
        import build_extension

        assert build_extension.build(tmp_path / "again.zip").read_bytes() == zip_file.read_bytes()


class TestFlight:
    def test_the_job_holds_both_levels(self, flight):
        result = json.loads((flight[1] / "result.json").read_text())
        assert [level["prompt"] for level in result["levels"]] == ["snowy mountains", "a forest"]
        assert all((flight[1] / name).is_file() for name in result["files"])

    def test_the_server_ran_from_the_installed_folder(self, flight, installed):
        assert installed.part("backend.connection").launch.environment()["PYTHONPATH"] == str(
            installed.folder / "server"
        )

    def test_every_level_has_points_and_splats(self, flight, installed):
        rig = installed.part("rig")
        for empty in rig.level_empties(flight[0]):
            kinds = {obj.type for obj in rig.contents(empty)}
            assert kinds == {"POINTCLOUD", "MESH"}

    @pytest.mark.parametrize("frame", [1, 5, 7])
    def test_a_rendered_frame_shows_the_scene(self, flight, tmp_path, frame):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.render_settings(engine="CYCLES", samples=4)
        scene.render.image_settings.file_format = "PNG"
        scene.render.filepath = str(tmp_path / "frame.png")
        scene.frame_set(frame)
        bpy.ops.render.render(write_still=True)
        picture = pixels_of(tmp_path / "frame.png")
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.mean() > 0.1
        assert picture.std() > 0.03
        assert (picture.max(-1) < 0.02).mean() < 0.02

    def test_frame_one_is_level_zero_as_dreamed(self, flight, tmp_path):
        scene = bpy.context.scene
        bpy.ops.dreamzoom.render_settings(engine="CYCLES", samples=16)
        scene.render.image_settings.file_format = "PNG"
        scene.render.filepath = str(tmp_path / "frame.png")
        scene.frame_set(1)
        bpy.ops.render.render(write_still=True)
        rendered, dreamed = pixels_of(tmp_path / "frame.png"), pixels_of(flight[1] / "levels/000/image.png")
        rows, columns = ((dreamed.shape[axis] - rendered.shape[axis]) // 2 for axis in (0, 1))
        wanted = dreamed[rows : rows + HEIGHT, columns : columns + WIDTH]
        assert 10 * np.log10(1 / np.mean((rendered - wanted) ** 2)) > 18


@pytest.mark.skipif(bpy.app.version[:2] != (5, 2), reason="once is enough: with Blender 5.2")
def test_the_readme_s_script_dreams_and_renders_a_film(installed, tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    script = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert len([line for line in script.splitlines() if line]) <= 10
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.filepath = "//"  # tests before this one chose a path of theirs
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "script.blend"))
    small = {"levels=3": "levels=2", "frames_per_level=24": "frames_per_level=2", "320": str(WIDTH)}
    for word, other in small.items():
        assert word in script
        script = script.replace(word, other)
    exec(compile(script, "README.md", "exec"), {})
    films = list(tmp_path.rglob("*.mp4"))
    assert films and films[0].stat().st_size > 500


class TestLifecycle:
    def test_disabling_leaves_nothing_and_enabling_brings_it_back(self, installed):
        client = installed.part("backend.connection").connection.client
        bpy.ops.preferences.addon_disable(module=installed.name)
        assert not hasattr(bpy.types.Object, "dreamzoom")
        assert not hasattr(bpy.types.Scene, "dreamzoom")
        assert not [name for name in dir(bpy.types) if name.upper().startswith("DREAMZOOM_")]
        assert not hasattr(bpy.types, "DREAMZOOM_OT_generate")
        assert client is None or not client.is_alive
        bpy.ops.preferences.addon_enable(module=installed.name)
        installed.choose_server(bpy)
        bpy.ops.dreamzoom.create_rig(levels=1)

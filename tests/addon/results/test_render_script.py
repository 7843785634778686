"""`scripts/render.py` renders a saved flight without the add-on, and goes on where it was stopped."""

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

import addon

SCRIPT = Path(addon.__file__).resolve().parents[1] / "scripts/render.py"


@pytest.fixture
def saved(root, tmp_path):
    """A small flight in a file; a triangle under level 0 grows over it."""
    from addon import rig

    scene = bpy.context.scene
    mesh = bpy.data.meshes.new("triangle")
    mesh.from_pydata([(0, 0, 0), (0.4, 0, 0), (0, 0.4, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new("triangle", mesh)
    scene.collection.objects.link(obj)
    obj.parent = rig.level_empties(root)[0]
    bpy.ops.dreamzoom.render_settings(samples=1, output="PNG")
    light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    scene.collection.objects.link(light)
    scene.render.resolution_x, scene.render.resolution_y = 48, 32
    scene.frame_end = 2
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "flight.blend"))
    return tmp_path / "flight.blend"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--blender", sys.executable]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def pixels(path):
    image = bpy.data.images.load(str(path))
    found = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(found)
    bpy.data.images.remove(image)
    return found


class TestRender:
    def test_two_frames_then_only_what_is_missing(self, saved, tmp_path):
        out = tmp_path / "frames"
        done = run(saved, "--out", out)
        assert done.returncode == 0, done.stderr
        names = sorted(path.name for path in out.iterdir())
        assert len(names) == 2 and all(name.endswith(".png") for name in names), names
        assert "2 frames rendered" in done.stderr and "frame 2" in done.stderr
        first, second = (out / name for name in names)
        kept = first.stat().st_mtime_ns
        whole = pixels(second)
        second.write_bytes(b"")  # as a full disk leaves it
        done = run(saved, "--out", out, "--frames", "1-2")
        assert done.returncode == 0 and "1 of 2 frames already exist" in done.stderr
        assert first.stat().st_mtime_ns == kept
        assert np.array_equal(pixels(second), whole)
        scene = bpy.context.scene
        scene.frame_set(2)
        scene.render.filepath = str(tmp_path / "here.png")
        bpy.ops.render.render(write_still=True)
        assert np.array_equal(pixels(tmp_path / "here.png"), pixels(second))
        assert pixels(second).std() > 0.05

    def test_frame_step_percentage_border_and_the_markers_cameras_count(self, saved, tmp_path):
        scene = bpy.context.scene
        scene.frame_end, scene.frame_step = 6, 2
        scene.render.resolution_percentage = 50
        scene.render.use_border = scene.render.use_crop_to_border = True
        scene.render.border_min_x, scene.render.border_max_x = 0.0, 0.5
        other = bpy.data.objects.new("other", scene.camera.data.copy())
        scene.collection.objects.link(other)
        other.matrix_world = scene.camera.matrix_world.copy()
        other.data.shift_x = 0.2
        scene.camera = None
        scene.timeline_markers.new("shot", frame=4).camera = other
        bpy.ops.wm.save_mainfile()
        done = run(saved, "--out", tmp_path / "frames")
        assert done.returncode == 0, done.stderr
        assert [path.stem[-4:] for path in sorted((tmp_path / "frames").iterdir())] == ["0001", "0003", "0005"]
        image = bpy.data.images.load(str(sorted((tmp_path / "frames").iterdir())[0]))
        assert tuple(image.size) == (12, 16)
        assert run(saved, "--step", "0").returncode != 0
        done = run(saved, "--out", tmp_path / "few", "--step", "5")
        assert len(list((tmp_path / "few").iterdir())) == 2, done.stderr

    def test_a_scene_that_makes_a_film_gives_its_frames_beside_it(self, saved, tmp_path):
        bpy.ops.dreamzoom.render_settings(samples=1, output="VIDEO")
        bpy.context.scene.frame_end = 1
        bpy.ops.wm.save_mainfile()
        done = run(saved, "--frames", "1", "--samples", "2")
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (tmp_path / "render").iterdir()] == ["flight_0001.png"]

    def test_what_is_wrong_is_said(self, saved, tmp_path):
        assert "there is no file" in run(tmp_path / "none.blend").stderr
        assert "--frames must be" in run(saved, "--frames", "x").stderr
        (tmp_path / "broken.blend").write_bytes(b"nothing")
        done = run(tmp_path / "broken.blend")
        assert done.returncode == 1 and "can't be opened" in done.stderr
        bpy.context.scene.camera = None
        bpy.ops.wm.save_mainfile()
        done = run(saved)
        assert done.returncode == 1 and "has no camera" in done.stderr

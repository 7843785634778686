"""At zoom 40 a flight is as exact as at 0."""

import importlib.util
from pathlib import Path

import bpy
import numpy as np
import pytest

import addon

PLACE = Path(addon.__file__).resolve().parents[1] / "scripts/benchmarks/blender/deep.py"


@pytest.fixture(scope="module")
def deep():
    spec = importlib.util.spec_from_file_location("deep", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_points_lie_where_they_must_on_every_frame(dreamzoom, deep):
    found = deep.measure(40.0)
    assert found["points"] > 3000
    assert found["deep_px"] <= 0.05 and found["jitter_px"] <= 0.05
    assert found["shallow_px"] <= 0.05 and found["shallow_jitter_px"] <= 0.05


def test_the_measure_sees_a_misplaced_level(dreamzoom, deep, monkeypatch):
    from addon.rig import zoom_path

    exact = zoom_path.origin_keys
    monkeypatch.setattr(
        zoom_path, "origin_keys", lambda *a, **k: [(s, [x + 1e-3 * s for x in at]) for s, at in exact(*a, **k)]
    )
    assert deep.flight_errors(40.0)[0] > 0.05


def test_cycles_renders_a_dot_there(dreamzoom, deep, tmp_path):
    """The middle of a small bright quad in the render, against the true place."""
    scene = bpy.context.scene
    root, points = deep._scene(scene, 40.0, deep.ORBIT)
    frame, level, size = 31, 41, 0.02
    zoom = 40.0 + (frame - 1) / deep.FRAMES
    place = np.array([0.35, 0.2, 0.1], np.float32)
    content = next(obj for obj in bpy.data.objects if obj.name == f"points {level}")
    content.data.clear_geometry()
    corners = [place + np.array(c, np.float32) * size for c in ((-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0))]
    content.data.from_pydata([tuple(map(float, c)) for c in corners], [], [(0, 1, 2, 3)])
    material = bpy.data.materials.new("bright")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Emission Strength"].default_value = 1.0
    shader.inputs["Base Color"].default_value = (0, 0, 0, 1)
    content.data.materials.append(material)
    scene.camera = root.dreamzoom.camera
    scene.frame_set(frame)
    picture = render(scene, tmp_path)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]] + 0.5
    seen = np.array([(picture * columns).sum(), (picture * rows).sum()]) / picture.sum() * 4
    camera = root.dreamzoom.camera
    true_view = np.linalg.inv(deep._true_camera(zoom, frame, deep.ORBIT, np.array(camera.rotation_euler, np.float64)))
    focal = camera.data.lens / camera.data.sensor_width * deep.WIDTH
    outline = deep._pixels(deep._true_level(root, zoom, level), true_view, np.array(corners, np.float64), focal)
    assert np.abs(seen - middle(outline)).max() < 0.15


def middle(outline):
    """The centroid of a polygon (N, 2)."""
    x, y = outline.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.array([((x + np.roll(x, -1)) * cross).sum(), ((y + np.roll(y, -1)) * cross).sum()]) / (3 * cross.sum())


def render(scene, folder):
    """(270, 480) brightness, linear."""
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 64
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.resolution_percentage = 25
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.filepath = str(folder / "dot.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(270, 480, 4)[::-1, :, 0].astype(np.float64)

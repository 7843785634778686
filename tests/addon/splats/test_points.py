"""Points show in every view."""

from __future__ import annotations

import threading
from pathlib import Path

import bpy
import numpy as np
import pytest

from addon import splats
from addon.splats.points import new_pointcloud

from .. import splat_pictures as pictures

ROW = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
ROW += [(name, "u1") for name in ("red", "green", "blue")]
ROW += [("footprint", "<f4"), ("confidence", "<f4"), ("view", "<i4"), ("superseded", "u1")]
KINDS = {"<f4": "float", "u1": "uchar", "<i4": "int"}


def cloud_file(path: Path, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = np.zeros(count, ROW)
    for name in ("x", "y", "z"):
        rows[name] = rng.uniform(-0.5, 0.5, count)
    for name in ("red", "green", "blue"):
        rows[name] = rng.integers(0, 256, count)
    rows["footprint"] = rng.uniform(0.02, 0.2, count)
    rows["superseded"] = rng.integers(0, 2, count)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property {KINDS[kind]} {name}" for name, kind in ROW] + ["end_header\n"]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())
    return rows


def values_of(cloud, name, field, width):
    values = np.empty(len(cloud.points) * width, np.float32)
    cloud.attributes[name].data.foreach_get(field, values)
    return values.reshape(-1, width)


class TestImportCloud:
    def test_points_colours_and_sizes_are_those_of_the_file(self, tmp_path):
        rows = cloud_file(tmp_path / "cloud.ply", 100)
        obj = splats.import_cloud(tmp_path / "cloud.ply", "cloud", bpy.context.scene.collection)
        assert obj.type == "POINTCLOUD"
        places = values_of(obj.data, "position", "vector", 3)
        assert np.array_equal(places, np.stack([rows["x"], rows["y"], rows["z"]], -1))
        assert np.allclose(values_of(obj.data, "disc", "value", 1)[:, 0], 0.71 * rows["footprint"])
        colour = values_of(obj.data, "rgba", "color", 4)
        bytes_again = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055) * 255
        assert np.allclose(bytes_again[:, 0], rows["red"], atol=0.01)
        assert np.allclose(bytes_again[:, 3], 255, atol=0.01)

    @pytest.mark.parametrize("mode", ["OBJECT", "EDIT"])
    def test_nothing_is_left_beside_the_object_and_the_artist_is_not_disturbed(self, tmp_path, mode):
        cloud_file(tmp_path / "cloud.ply", 10)
        cube = bpy.data.objects.new("cube", bpy.data.meshes.new("cube"))
        bpy.context.scene.collection.objects.link(cube)
        bpy.context.view_layer.objects.active = cube
        cube.select_set(True)
        bpy.ops.object.mode_set(mode=mode)
        splats.import_cloud(tmp_path / "cloud.ply", "cloud", bpy.context.scene.collection)
        assert {obj.name for obj in bpy.data.objects} == {"cube", "cloud"}
        assert [mesh.name for mesh in bpy.data.meshes] == ["cube"]
        assert bpy.context.view_layer.objects.active == cube
        assert cube.select_get()
        assert cube.mode == mode

    def test_cycles_shows_their_colour(self, tmp_path):
        rows = cloud_file(tmp_path / "cloud.ply", 1)
        obj = splats.import_cloud(tmp_path / "cloud.ply", "cloud", bpy.context.scene.collection)
        obj.location = [-rows[axis][0] for axis in "xyz"]
        obj.data.attributes["radius"].data[0].value = obj.data.attributes["disc"].data[0].value = 2
        pictures.camera_at((0, -4, 0), 8)
        middle = pictures.rendered(tmp_path, 4)[4, 4]
        srgb = np.where(middle <= 0.0031308, 12.92 * middle, 1.055 * middle ** (1 / 2.4) - 0.055)
        assert np.allclose(srgb[:3] * 255, [rows[name][0] for name in ("red", "green", "blue")], atol=0.6)

    def test_a_point_is_a_disc_as_large_as_its_footprint(self, tmp_path):
        rows = cloud_file(tmp_path / "cloud.ply", 1)
        obj = splats.import_cloud(tmp_path / "cloud.ply", "cloud", bpy.context.scene.collection)
        size = 2 * 0.71 * rows["footprint"][0]
        obj.location = [-rows[axis][0] / size for axis in "xyz"]
        obj.scale = (1 / size,) * 3  # so that the disc is one unit wide
        camera = pictures.camera_at((0, -4, 0))
        alpha = pictures.rendered(tmp_path, 64)[..., 3]
        width = 32 / 4 * camera.data.lens / camera.data.sensor_width  # of a unit, in pixels
        assert alpha.sum() == pytest.approx(np.pi / 4 * width**2, rel=0.03)
        assert alpha[16, 16] == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize("count", [0, 1])
    def test_few_points_are_no_trouble(self, tmp_path, count):
        cloud_file(tmp_path / "cloud.ply", count)
        obj = splats.import_cloud(tmp_path / "cloud.ply", "cloud", bpy.context.scene.collection)
        assert len(obj.data.points) == count


def test_blender_knows_where_a_cloud_ends():
    positions = np.array([(-3, 0, 0), (4, 2, 1)], np.float32)
    obj = bpy.data.objects.new("cloud", new_pointcloud("cloud", positions))
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.update()
    assert np.allclose(obj.dimensions, (7, 2, 1), atol=0.1)


def test_another_thread_that_runs_python_meanwhile():
    """Blender 4.5 and 5.0 crashed: the operator that converts a mesh needed an override of the context."""
    end = threading.Event()

    def work():
        while not end.is_set():
            {str(number): [number] for number in range(200)}

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            cloud = new_pointcloud("cloud", np.ones((5, 3), np.float32))
            assert len(cloud.attributes["position"].data) == 5
            bpy.data.pointclouds.remove(cloud)
    finally:
        end.set()
        for thread in threads:
            thread.join()

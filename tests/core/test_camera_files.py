"""Camera files project points as their formats define it, and come back as they were."""

import json
import struct

import numpy as np
import pytest

from core import camera_files
from core.camera import Camera, look_at
from core.errors import CameraFileError, DreamzoomError

POINTS = np.random.default_rng(2).uniform(-0.5, 0.5, (20, 3))


def path_of(count=4):
    cameras = []
    for n in range(count):
        pose = look_at((np.cos(n), np.sin(n) - 2, 1.5 + 0.2 * n), (0.1, 0, 0.05 * n))
        lens = (300 + n // 2, 310, 150.5, 121)
        cameras.append(camera_files.NamedCamera(f"frame_{n + 8:05d}.png", Camera(320, 240, *lens, pose)))
    return cameras


def pixels(camera):
    return camera.project(POINTS)[0]


def colmap_matrix(w, x, y, z):
    """The rotation of a unit quaternion, written out as in COLMAP's documentation."""
    return np.array([
        [1 - 2 * y * y - 2 * z * z, 2 * x * y - 2 * z * w, 2 * x * z + 2 * y * w],
        [2 * x * y + 2 * z * w, 1 - 2 * x * x - 2 * z * z, 2 * y * z - 2 * x * w],
        [2 * x * z - 2 * y * w, 2 * y * z + 2 * x * w, 1 - 2 * x * x - 2 * y * y],
    ])  # fmt: skip


class TestWrite:
    def test_colmap_s_text_projects_by_colmap_s_definition(self, tmp_path):
        cameras = path_of()
        camera_files.write(tmp_path / "model", "colmap", cameras, POINTS, np.full((20, 3), 0.2))
        lenses = {}
        for line in (tmp_path / "model/cameras.txt").read_text().splitlines()[1:]:
            number, model, width, height, *lens = line.split()
            assert (model, width, height) == ("PINHOLE", "320", "240")
            lenses[number] = [float(value) for value in lens]
        assert len(lenses) == 2
        lines = (tmp_path / "model/images.txt").read_text().splitlines()[1:]
        assert lines[1::2] == [""] * 4
        for line, item in zip(lines[::2], cameras):
            _, *numbers, lens, name = line.split()
            values = [float(value) for value in numbers]
            seen = POINTS @ colmap_matrix(*values[:4]).T + values[4:]
            fx, fy, cx, cy = lenses[lens]
            found = seen[:, :2] / seen[:, 2:] * (fx, fy) + (cx, cy)
            assert name == item.name and np.abs(found - pixels(item.camera)).max() < 1e-6
        rows = [line.split() for line in (tmp_path / "model/points3D.txt").read_text().splitlines()[1:]]
        assert np.allclose(np.array(rows)[:, 1:4].astype(float), POINTS) and rows[0][4:7] == ["51"] * 3

    def test_transforms_json_shoots_rays_by_nerfstudio_s_definition(self, tmp_path):
        cameras = path_of()
        camera_files.write(tmp_path / "transforms.json", "transforms", cameras)
        found = json.loads((tmp_path / "transforms.json").read_text())
        for frame, item in zip(found["frames"], cameras):
            to_world = np.array(frame["transform_matrix"])
            i, j = 40.0, 60.0
            ray = np.array([(i - frame["cx"]) / frame["fl_x"], -(j - frame["cy"]) / frame["fl_y"], -1])
            point = to_world[:3, 3] + 1.7 * to_world[:3, :3] @ ray
            assert np.allclose(item.camera.project(point)[0], (i, j), atol=1e-6)
            assert frame["file_path"] == f"images/{item.name}"

    def test_cameras_json_is_camera_to_world(self, tmp_path):
        cameras = path_of()
        camera_files.write(tmp_path / "cameras.json", "cameras", cameras)
        for entry, item in zip(json.loads((tmp_path / "cameras.json").read_text()), cameras):
            seen = (POINTS - entry["position"]) @ np.array(entry["rotation"])
            found = seen[:, :2] / seen[:, 2:] * (entry["fx"], entry["fy"]) + (entry["cx"], entry["cy"])
            assert np.abs(found - pixels(item.camera)).max() < 1e-6

    def test_a_folder_that_cannot_be_made_leaves_nothing(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(OSError):
            camera_files.write(tmp_path / "file" / "model", "colmap", path_of())


class TestRead:
    @pytest.mark.parametrize("kind", camera_files.KINDS)
    def test_what_was_written_comes_back(self, tmp_path, kind):
        place = tmp_path / ("model" if kind == "colmap" else "path.json")
        camera_files.write(place, kind, path_of())
        found = camera_files.read(place)
        assert found.kind == kind and list(found.frames) == [8, 9, 10, 11] and not found.notes
        for before, after in zip(path_of(), found.cameras):
            assert before.name == after.name
            assert np.abs(pixels(before.camera) - pixels(after.camera)).max() < 1e-4

    def test_colmap_s_binary_files(self, tmp_path):
        cameras = path_of()
        lens = cameras[0].camera
        data = struct.pack("<Q", 2) + struct.pack("<iiQQ4d", 7, 1, 320, 240, lens.fx, lens.fy, lens.cx, lens.cy)
        data += struct.pack("<iiQQ4d", 9, 2, 320, 240, 305.0, 160.0, 120.0, 0.01)
        (tmp_path / "cameras.bin").write_bytes(data)
        data = struct.pack("<Q", 2)
        for number, item in enumerate(cameras[:2]):
            camera_files.write(tmp_path / "text", "colmap", [item])
            line = (tmp_path / "text/images.txt").read_text().splitlines()[1].split()
            values = [float(value) for value in line[1:8]]
            data += struct.pack("<i7di", number, *values, (7, 9)[number]) + item.name.encode() + b"\0"
            data += struct.pack("<Q", number) + struct.pack("<ddq", 1, 2, 3) * number
        (tmp_path / "images.bin").write_bytes(data)
        found = camera_files.read(tmp_path / "images.bin")
        assert np.abs(pixels(found.cameras[0].camera) - pixels(lens)).max() < 1e-6
        assert (found.cameras[1].camera.fx, found.cameras[1].camera.fy) == (305, 305)
        assert found.notes == ("lens distortion is left out",)
        (tmp_path / "images.bin").write_bytes(data[:-30])
        with pytest.raises(CameraFileError, match="damaged"):
            camera_files.read(tmp_path)

    def test_a_nerf_scene_without_sizes(self, tmp_path):
        frame = {"file_path": "./train/r_0", "transform_matrix": np.eye(4).tolist()}
        (tmp_path / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": [frame]}))
        (found,) = camera_files.read(tmp_path / "transforms.json").cameras
        assert found.camera.fx == found.camera.fy == pytest.approx(400 / np.tan(0.35))
        assert np.allclose(found.camera.camera_to_frame, np.diag([1, -1, -1, 1]))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("{}", "no cameras"),
            ("[]", "no cameras"),
            ("3", "no cameras"),
            ("{", "JSON"),
            ('[{"position": [0,0,0], "rotation": [[1,0,0],[0,1,0],[0,0,-1]], "width": 9, "height": 9}]', "mirrored"),
            ('[{"position": [0,0,0], "rotation": [[1,0,0],[0,1,0],[0,0,1]], "width": 9, "height": 9}]', "damaged"),
            ('[{"position": [0,0,0], "rotation": 1, "width": 9, "height": 9, "fx": 1, "fy": 1}]', "damaged"),
            ('[{"position": [0,0,1e99], "rotation": [[1,0,0],[0,1,0],[0,0,1]], "width": 9, "height": 9}]', "absurd"),
            ("[7]", "damaged"),
            ('{"frames": [{"transform_matrix": [[1,0],[0,1]], "fl_x": 3, "w": 9, "h": 9}]}', "4×4"),
            ('{"camera_model": "OPENCV_FISHEYE", "frames": []}', "pinhole"),
            ('{"frames": [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0]], "w": 9, "h": 9}]}', "focal"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, content, told):
        (tmp_path / "path.json").write_text(content)
        with pytest.raises(DreamzoomError, match=told):
            camera_files.read(tmp_path / "path.json")

    def test_a_colmap_folder_that_is_none_or_damaged(self, tmp_path):
        with pytest.raises(CameraFileError, match="holds no"):
            camera_files.read(tmp_path)
        camera_files.write(tmp_path, "colmap", path_of())
        for name, text in (
            ("cameras.txt", "1 PINHOLE 320 240 1 2 3\n"),
            ("cameras.txt", "1 OPENCV_FISHEYE 320 240 1 2 3 4 5 6 7 8\n"),
            ("images.txt", "1 a b\n"),
            ("images.txt", "1 0 0 0 0 0 0 0 1 x.png\n\n"),
            ("images.txt", "1 1 0 0 0 0 0 0 77 x.png\n\n"),
        ):
            before = (tmp_path / name).read_bytes()
            (tmp_path / name).write_text(text)
            with pytest.raises(CameraFileError):
                camera_files.read(tmp_path)
            (tmp_path / name).write_bytes(before)

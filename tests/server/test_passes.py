"""Passes of a frame: depth is z-depth, normals are the surface's, the mask is where something is; cameras go out."""

import json

import numpy as np
import OpenEXR
import pytest

from core import camera_files
from core.camera import Camera, look_at
from core.colour import srgb_to_linear
from core.errors import BadRequest
from core.gaussians import Gaussians, transformed
from core.spherical_harmonics import SH_C0
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.progress import Report
from dreamzoom.render import camera_export, flight, passes
from dreamzoom.request import validation
from dreamzoom.request.example import example
from dreamzoom.splats.rasterize import rasterize

RGB = np.array([0.8, 0.4, 0.2], np.float32)


def plane(spacing=0.02):
    """A square of surfels at z = 0 that faces up, two units wide."""
    x, y = np.meshgrid(*[np.arange(-1, 1, spacing)] * 2)
    means = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1).astype(np.float32)
    count = len(means)
    sigma = np.log(spacing)
    return Gaussians(
        means,
        np.tile(np.float32([sigma, sigma, sigma - 6.9]), (count, 1)),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full(count, 6, np.float32),
        np.tile((RGB - 0.5) / np.float32(SH_C0), (count, 1))[:, None],
    )


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    root = tmp_path_factory.mktemp("jobs") / "job"
    request = example(2, (48, 32)) | {"quality": "draft"}
    generate(validation.decode_request(json.dumps(request).encode()), Folder(root))
    return root


class TestPasses:
    def test_depth_is_along_the_view_axis_and_normals_face_the_camera(self):
        camera = Camera(64, 48, 70, 70, 32, 24, look_at((0.3, -1.5, 2.0), (0, 0, 0)))
        found = passes.passes(plane(), camera, np.ones(len(plane()), np.float32))
        with np.errstate(divide="ignore"):
            true = -camera.centre[2] / camera.rays()[..., 2]
        inner = np.abs(camera.unproject(true)[..., :2]).max(-1) < 0.9
        outer = np.abs(camera.unproject(true)[..., :2]).max(-1) > 1.1
        assert np.abs(found.depth[inner] / true[inner] - 1).max() < 5e-3  # along the ray it would be 12 % at corners
        assert np.abs(found.normal[inner] - (0, 0, 1)).max() < 1e-2
        assert (found.mask[inner] == 1).all() and (found.mask[outer] == 0).all()
        assert (found.depth[outer] == passes.NOTHING).all() and (found.normal[outer] == 0).all()
        assert np.allclose(found.rgba[inner][:, :3], srgb_to_linear(RGB), atol=0.01)
        below = Camera(64, 48, 70, 70, 32, 24, look_at((0.3, -1.5, -2.0), (0, 0, 0)))
        assert np.allclose(passes.passes(plane(), below, np.ones(len(plane()))).normal[24, 32], (0, 0, -1), atol=1e-2)

    def test_are_written_as_layers_of_one_file(self, tmp_path):
        random = np.random.default_rng(1)
        found = passes.Passes(*(random.random(shape, np.float32) for shape in ((5, 7, 4), (5, 7), (5, 7, 3), (5, 7))))
        passes.write_passes(found, tmp_path / "frame.exr")
        with OpenEXR.File(str(tmp_path / "frame.exr"), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
        assert np.array_equal(channels["depth.Z"], found.depth) and np.array_equal(channels["mask.A"], found.mask)
        assert all(np.array_equal(channels[f"normal.{axis}"], found.normal[..., n]) for n, axis in enumerate("XYZ"))
        assert all(np.array_equal(channels[name], found.rgba[..., n]) for n, name in enumerate("RGBA"))

    def test_of_a_flight_lie_beside_its_frames(self, job, tmp_path):
        assert flight.render(job, tmp_path / "out", [1, 5], None, Report(), with_passes=True) == 2
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["frame_00001.exr", "frame_00001.png", "frame_00005.exr", "frame_00005.png"]


class TestSkew:
    def test_a_sheared_camera_is_rendered_as_it_sees(self):
        camera, skew = Camera(80, 60, 90, 95, 40, 30, look_at((0.3, -1.5, 2.0), (0, 0, 0))), 25.0
        one = plane(0.2)
        levels = [Gaussians(*one.parts, {"superseded": np.zeros(len(one), np.uint8)})]
        path = ZoomPath(2.0, np.zeros((1, 3)), (Key(1, 0.0, camera, skew),))
        shown, _ = flight.Flight(None, path, levels).shown(path.keys[0], camera)  # type: ignore[arg-type]
        pixel, depth = camera.project(shown.means)
        local = camera.to_camera(one.means)
        expected = local @ np.array([[90, skew, 40], [0, 95, 30], [0, 0, 1]]).T
        assert np.abs(pixel - expected[:, :2] / expected[:, 2:]).max() < 1e-3
        assert np.allclose(depth, local[:, 2], atol=1e-5)
        assert np.isfinite(rasterize(shown, camera).rgb).all() and transformed(one, np.eye(4)).are_surfels()

    def test_the_request_takes_it(self):
        request = example(1, (64, 48))
        request["cameras"][0]["skew"] = 3.5
        found = validation.decode_request(json.dumps(request).encode())
        assert found.path().keys[0].skew == 3.5 and found.path().keys[1].skew == 0
        assert found.path().at_frame(found.path().keys[0].frame + 0.5).skew == pytest.approx(1.75)
        request["cameras"][0]["skew"] = 1e9
        with pytest.raises(BadRequest, match="skew"):
            validation.decode_request(json.dumps(request).encode())


class TestCameras:
    @pytest.mark.parametrize("kind", camera_files.KINDS)
    def test_project_the_levels_as_the_flight_does(self, job, tmp_path, kind):
        out = tmp_path / ("model" if kind == "colmap" else "path.json")
        count, points = camera_export.write_cameras(job, out, kind, "-Y", None, Report())
        found = camera_files.read(out)
        path = flight.open_flight(job).path
        assert count == len(found.cameras) == len(path.keys) and (points > 100) == (kind == "colmap")
        key = path.keys[-1]
        gauge = np.random.default_rng(1).uniform(-0.5, 0.5, (9, 3))
        world = path.gauge(key.zoom, 0).apply(gauge)
        turned = np.stack([world[:, 0], -world[:, 2], world[:, 1]], 1)
        assert np.abs(found.cameras[-1].camera.project(turned)[0] - key.camera.project(gauge)[0]).max() < 1e-3

    def test_frames_that_are_not_there_are_refused(self, job, tmp_path):
        with pytest.raises(BadRequest, match="frames"):
            camera_export.write_cameras(job, tmp_path / "x.json", "cameras", "Z", [999], Report())
        assert not (tmp_path / "x.json").exists()

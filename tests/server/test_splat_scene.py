"""A scene of splats as level 0: its splats are kept, and finer levels are dreamed into it."""

import json

import numpy as np
import pytest
from scans import scan, surface_height

from core.camera import Camera, Similarity, look_at
from core.errors import BadRequest
from core.formats import About, splat_ply, write
from core.gaussians import moved
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.view import COARSE, KNOWN
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.render.consistency import psnr
from dreamzoom.render.flight import open_flight
from dreamzoom.request import inputs, validation
from dreamzoom.request.inputs import Input
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages.base import layout
from dreamzoom.stages.own.scene import SceneFile

POSE = look_at((0, -1.93, 2.3), (0, 0, 0))
CAMERA = Camera(48, 32, 66, 66, 24, 16, POSE)


def request_of(path, levels=2, size=(48, 32), engine="procedural", **first):
    width, height = size
    lens = {"fx": width * 66 / 48, "fy": width * 66 / 48, "cx": width / 2, "cy": height / 2}
    cameras = [{"frame": 1 + 8 * k, "zoom": k, "camera_to_gauge": POSE.tolist(), **lens} for k in range(levels)]
    prompts = [{"prompt": prompt} for prompt in ("rock", "moss", "leaf")[:levels]]
    prompts[0] |= {"splats": str(path)} | first
    return {
        "version": 1, "seed": 1, "quality": "draft", "engine": {"name": engine}, "zoom_factor": 2.0,
        "width": width, "height": height, "levels": prompts, "cameras": cameras,
    }  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.ply"
    splat_ply.write_splats(path, scan(70), About("Z"))
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory, file):
    root = tmp_path_factory.mktemp("jobs") / "job"
    generate(validation.decode_request(json.dumps(request_of(file)).encode()), Folder(root))
    return root


class TestRequest:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"image": "a.png"}, "without an image"),
            ({"splats": ""}, "splats"),
        ],
    )
    def test_level_0_is_either_a_picture_or_a_scene(self, file, change, told):
        with pytest.raises(BadRequest, match=told):
            validation.convert_request(request_of(file) | {"levels": [request_of(file)["levels"][0] | change]})

    def test_only_level_0_can_be_a_scene_and_in_no_loop(self, file):
        request = request_of(file)
        for change in ({"loop": True}, {"levels": [{"prompt": "a"}, {"prompt": "b", "splats": str(file)}]}):
            with pytest.raises(BadRequest, match="splats"):
                validation.convert_request(request | change)

    def test_what_holds_no_splats_is_refused(self, tmp_path):
        (tmp_path / "x.ply").write_bytes(b"nothing")
        request = validation.convert_request(request_of(tmp_path / "x.ply"))
        with pytest.raises(BadRequest, match=r"levels\[0\].splats"):
            inputs.check(inputs.in_place(request))

    @pytest.mark.parametrize("suffix", [".spz", ".splat", ".ply"])
    def test_any_format_stands_upright(self, tmp_path, suffix):
        made = scan(20)
        path = tmp_path / f"scan{suffix}"
        turns = {
            ".spz": [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]],  # z up to y up
            ".splat": [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]],  # to -y up
            ".ply": np.eye(3),  # says nothing of its axes: the level's
        }
        write(path, _turned(made, np.array(turns[suffix])))
        found = SceneFile(Input(path, suffix), Similarity(1.0, np.zeros(3)), 0).splats()
        assert np.abs(np.sort(found.means[:, 2]) - np.sort(made.means[:, 2])).max() < 0.01


def _turned(splats, turn):
    from core.gaussians import transformed

    matrix = np.eye(4)
    matrix[:3, :3] = turn
    return transformed(splats, matrix)


class TestSceneFile:
    def test_sees_colour_depth_and_the_size_of_its_details(self, file):
        look = SceneFile(Input(file, "a"), Similarity(1.0, np.zeros(3)), 0).look(CAMERA)
        points = CAMERA.unproject(look.depth)[look.solid]
        assert look.solid.mean() > 0.8
        assert np.abs(points[:, 2] - surface_height(points[:, 0], points[:, 1])).max() < 0.03
        pixel = 3 / 66
        assert np.median(look.footprint[look.solid]) == pytest.approx(6 / 70 / pixel, rel=0.4)

    def test_is_taken_where_it_is_finer_than_the_points(self, file):
        scene = SceneFile(Input(file, "a"), Similarity(2.0, np.zeros(3)), 1)
        seen = project(Cloud.empty(), CAMERA)
        over, direct = scene.over(seen, CAMERA)
        assert direct.mean() > 0.8 and set(np.unique(over.mask[direct])) <= {COARSE, KNOWN}
        again, none = scene.over(over, CAMERA)
        assert not none.any() and np.array_equal(again.rgb, over.rgb)


class TestJob:
    def test_the_scene_s_splats_are_kept_as_they_are(self, job):
        first = open_flight(job).levels[0]
        made = scan(70)
        assert np.array_equal(first.means[: len(made)], made.means)
        assert np.array_equal(first.logit_opacities[: len(made)], made.logit_opacities)

    def test_its_own_views_show_it_to_40_db(self, job):
        flight = open_flight(job)
        key = flight.path.key_at(0.0)
        wanted = rasterize(scan(70), key.camera)
        assert psnr(flight.view(key).rgb, wanted.rgb, wanted.alpha > 0.99) >= 40

    def test_finer_levels_follow_its_colours_and_its_surface(self, job):
        flight = open_flight(job)
        made = scan(70)
        for zoom, least in ((0.5, 22), (1.0, 20)):
            key = flight.path.key_at(zoom)
            wanted = rasterize(moved(made, flight.path.gauge(zoom, 0).inverse()), key.camera)
            low = [_reduced(picture) for picture in (flight.view(key).rgb, wanted.rgb)]
            assert psnr(*low) >= least, zoom
        views = Folder(job).load(layout.VIEWS.format, layout.VIEWS.path(1))
        points = views[0].view.camera.unproject(views[0].depth)[4:-4, 4:-4].reshape(-1, 3) / 2
        error = np.abs(points[:, 2] - surface_height(points[:, 0], points[:, 1]))
        assert np.median(error) < 0.03


def _reduced(picture):
    height, width = (side // 4 * 4 for side in picture.shape[:2])
    return picture[:height, :width].reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3))

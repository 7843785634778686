"""The artist's own objects are seen by the dream: known pixels with depth, nothing dreamed over them."""

import json
from pathlib import Path

import numpy as np
import pytest

from core import formats
from core.camera import Similarity
from core.errors import BadRequest
from core.formats.axes import UPRIGHT
from core.formats.splat_ply import read_splats, write_splats
from core.gaussians import Gaussians, transformed
from core.spherical_harmonics import SH_C0
from dreamzoom.geometry.point_rendering import project
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.steps import build
from dreamzoom.progress import Report
from dreamzoom.request.example import example
from dreamzoom.request.inputs import Input, located
from dreamzoom.request.validation import convert_request
from dreamzoom.stages import assets
from dreamzoom.stages.base import files
from dreamzoom.stages.base.digest import digest_of
from dreamzoom.stages.base.quality import settings
from dreamzoom.stages.plan import anchor

pytestmark = pytest.mark.slow

FIELD = Path(__file__).resolve().parents[1] / "data" / "field"
COLOUR = np.array([1.0, 0.1, 0.9])
MIDDLE = np.array([0.25, 0.0, 0.45])
"""Where the square hangs in the frame of level 1, above the ground and beside the focus."""


def square(path, colour=COLOUR, half=0.25, count=60):
    """A level square of surfels, facing up."""
    steps = np.linspace(-half, half, count)
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    means = np.column_stack([x, y, np.zeros_like(x)]).astype(np.float32) + MIDDLE.astype(np.float32)
    sigma = np.log(0.9 * (steps[1] - steps[0]))
    scales = np.tile([sigma, sigma, sigma + np.log(1e-3)], (len(means), 1)).astype(np.float32)
    turn = np.tile([1, 0, 0, 0], (len(means), 1)).astype(np.float32)
    sh = np.tile((colour - 0.5) / SH_C0, (len(means), 1, 1)).astype(np.float32)
    write_splats(path, Gaussians(means, scales, turn, np.full(len(means), 8, np.float32), sh))
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A finished job of two levels with a square under level 1."""
    folder = tmp_path_factory.mktemp("assets")
    raw = example(levels=2, size=(96, 64)) | {"quality": "draft"}
    raw["levels"][1]["assets"] = [str(square(folder / "square.ply"))]
    request = convert_request(raw)
    generate(request, Folder(folder / "job"))
    return request, Folder(folder / "job"), folder


def view(request, level):
    return anchor(request.path(), level, settings(request))


def loaded(request, level, folder, engine):
    """The square, which stands under level 1, in the frame of a level."""
    placed = assets.PlacedFile(Input(folder / "square.ply", ""), request.path().between(1, level))
    return assets.AssetFiles((placed,), engine).load()


def seen(request, level, folder):
    """Where the square is seen in a level's picture, (H, W) bool."""
    return loaded(request, level, folder, "procedural").over(
        project(assets.Cloud.empty(), view(request, level).camera), view(request, level).camera
    )[1]


class TestJob:
    @pytest.mark.parametrize("level", [0, 1])
    def test_its_pixels_are_in_the_picture_exactly(self, job, level):
        request, folder, place = job
        picture = folder.load(files.PICTURES, f"levels/{level:03d}/image.png")
        covered = seen(request, level, place)
        assert covered.sum() > (300 if level else 60)
        assert np.abs(picture[covered] - COLOUR).max() < 1.5 / 255
        assert np.abs(picture[~covered] - COLOUR).max(1).min() > 0.05

    @pytest.mark.parametrize("level", [0, 1])
    def test_nothing_is_dreamed_where_it_is_seen(self, job, level):
        request, folder, place = job
        for item in folder.load(files.VIEWS, f"levels/{level:03d}/parts/views.npz")[:1]:
            covered = seen(request, level, place)
            assert not item.fresh[covered].any() and np.isnan(item.depth[covered]).all()
        cloud = folder.load(files.POINTS, f"levels/{level:03d}/parts/points.npz")
        pixels, _ = view(request, level).camera.project(cloud.position[cloud.view == 0].astype(float))
        column, row = np.floor(pixels + 1e-3).astype(int).T
        assert not covered[row, column].any()

    def test_what_lies_behind_it_is_dreamed_too(self, job):
        """So that a camera that moves on sees no hole around it; but nothing before it."""
        request, folder, place = job
        camera, covered = view(request, 1).camera, seen(request, 1, place)
        cloud = folder.load(files.POINTS, "levels/001/parts/points.npz")
        assert folder.load(files.VIEWS, "levels/001/parts/views.npz")[1].view.name.endswith("behind")
        behind = cloud[cloud.view == 1]
        pixels, depth = camera.project(behind.position.astype(float))
        column, row = np.floor(pixels).astype(int).T
        there = np.zeros(covered.shape, bool)
        there[row.clip(0, 71), column.clip(0, covered.shape[1] - 1)] = True
        assert (there & covered).sum() > 0.8 * covered.sum()
        square_depth = camera.project(MIDDLE)[1]
        assert (depth > square_depth - 0.2).all() and np.median(depth) > square_depth + 0.1

    def test_its_splats_are_not_among_the_level_s(self, job):
        _, folder, _ = job
        for level in range(2):
            splats = read_splats(folder.path(f"levels/{level:03d}/splats.ply"))
            assert (np.abs(splats.rgb - COLOUR).max(1) > 0.2).all()

    def test_a_changed_object_is_dreamed_around_anew(self, job, tmp_path):
        request, _, folder = job
        before = {step.name: digest_of(step.parameters) for step in build(request, engine(request))}
        square(folder / "square.ply", COLOUR[::-1])
        try:
            after = {step.name: digest_of(step.parameters) for step in build(request, engine(request))}
        finally:
            square(folder / "square.ply")
        changed = {name for name in before if before[name] != after[name]}
        steps = ("image", "dream", "align", "export")
        assert changed == {f"levels/00{level}/{step}" for level in range(2) for step in steps} | {"result"}


def engine(request):
    from dreamzoom.engines import registry

    return registry.make(request)


class TestOver:
    def test_what_is_nearer_hides_it_unless_that_is_dreamed_anew(self, job):
        request, folder, place = job
        camera = view(request, 1).camera
        own = loaded(request, 1, place, "diffusion")
        nothing = project(assets.Cloud.empty(), camera)
        _, free = own.over(nothing, camera)
        near = nothing.__class__(**{**nothing.__dict__, "depth": np.ones_like(nothing.depth), "mask": nothing.mask + 2})
        assert free.any() and own.align
        assert not own.over(near, camera)[1].any()
        assert (own.over(near, camera, in_front=True)[1] == free).all()

    def test_it_has_its_true_depth(self, job):
        request, _, place = job
        camera = view(request, 1).camera
        own = loaded(request, 1, place, "diffusion")
        projection, covered = own.over(project(assets.Cloud.empty(), camera), camera)
        inner = covered & np.roll(covered, 2, 0) & np.roll(covered, -2, 0)
        points = camera.unproject(projection.depth)[inner]
        assert np.abs(points[:, 2] - MIDDLE[2]).max() < 0.01

    def test_levels_far_away_see_nothing(self):
        assert assets.in_reach(1, [0, 1, 4, 5, 8]) == [0, 1, 4]


class TestRequest:
    def test_paths_count_from_where_the_request_is(self, tmp_path):
        raw = example(levels=1, size=(96, 64))
        raw["levels"][0]["assets"] = ["a.ply"]
        assert located(convert_request(raw), tmp_path).levels[0].assets == [str(tmp_path / "a.ply")]

    def test_what_is_no_ply_of_splats_is_named(self, tmp_path):
        (tmp_path / "a.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n")
        raw = example(levels=2, size=(96, 64))
        raw["levels"][1]["assets"] = [str(tmp_path / "a.ply")]
        with pytest.raises(BadRequest) as caught:
            generate(convert_request(json.loads(json.dumps(raw))), Folder(tmp_path / "job"))
        assert caught.value.field == "levels[1].assets[0]"


class TestFormats:
    """Files of any format are placed in the level's frame, and the log says what they say of themselves."""

    class Lines(Report):
        def __init__(self):
            self.lines = []

        def log(self, message, *, level="info"):
            self.lines.append(message)

    def load(self, path):
        report = self.Lines()
        one = assets.PlacedFile(Input(path, ""), Similarity(1.0, np.zeros(3)))
        return assets.AssetFiles((one,), "procedural").load(report).splats, report.lines

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("axes_comment_z.ply", "Z up, as the file says"),
            ("axes_rdf.spz", "axes RDF, as the file says"),
            ("v1.spz", "Y up, as is usual for SPZ"),
            ("cut.splat", "its last 12 bytes are no whole splat"),
        ],
    )
    def test_people_s_files_stand_upright_in_the_level(self, name, says):
        splats, lines = self.load(FIELD / name)
        red = splats.rgb.argmax(1) == 0
        assert splats.means[red, 2].max() == pytest.approx(2, abs=0.05)
        assert len(lines) == 1
        assert lines[0].startswith(f"{name}: ")
        assert says in lines[0]

    @pytest.mark.parametrize("suffix", [".glb", ".sog"])
    def test_glb_and_sog_too(self, tmp_path, suffix):
        upright = formats.read(FIELD / "axes_comment_z.ply").splats
        form = formats.format_of(tmp_path / f"a{suffix}")
        matrix = np.eye(4)
        matrix[:3, :3] = UPRIGHT[form.up].T
        form.write(tmp_path / f"a{suffix}", transformed(upright, matrix), formats.About())
        splats, lines = self.load(tmp_path / f"a{suffix}")
        assert splats.means.max(0) == pytest.approx(upright.means.max(0), abs=1e-3)
        assert len(lines) == 1

    def test_a_ply_that_says_nothing_is_in_the_levels_frame_already(self):
        splats, lines = self.load(FIELD / "both.ply")
        assert lines == []
        assert np.array_equal(splats.means, formats.read(FIELD / "both.ply").splats.means)

"""One world: after all pictures are made, the middle of each is the next level's, for every kind of engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import models
import numpy as np
import pytest
import torch
from painting import Painting
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.camera import Camera, Similarity, look_at
from core.errors import Cancelled
from core.formats.splat_ply import read_splats, write_splats
from core.gaussians import Gaussians, moved
from core.spherical_harmonics import SH_C0
from dreamzoom import engines
from dreamzoom.engines.base import COARSE, KNOWN, View
from dreamzoom.engines.diffusion import DiffusionEngine, check, places
from dreamzoom.example import example
from dreamzoom.job.folder import Folder
from dreamzoom.job.generate import generate
from dreamzoom.job.runner import Sink, run
from dreamzoom.job.steps import digests
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import agree, agree_steps, files, graph, plan, zoom
from dreamzoom.stages.dream import Dreamed
from dreamzoom.wire import convert_request
from dreamzoom.zoom.stack import make_nest
from dreamzoom.zoom.warp import cells

torch.set_num_threads(1)
SERVER = Path(__file__).parents[2] / "server"


def content(levels=3, size=(64, 48), *, flat=False, loop=False, **changes):
    """A request; the engine is put in by `painted`. Flat: a still camera that faces the focus straight on."""
    request = example(levels, size) | {"quality": "draft", "loop": loop} | changes
    if flat or loop:
        still = request["cameras"][0]
        if flat:
            still["camera_to_gauge"] = look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)).tolist()
        last = levels - 1 + loop
        request["cameras"] = [still | {"frame": frame, "zoom": frame * last / 12} for frame in range(13)]
    return request


def steps_of(request, relief=0.0):
    made = convert_request(request)
    return graph.build(made, Painting(made.path(), relief))


def painted(folder, request, relief=0.0, sink=None, cancel=None):
    """A finished job of the engine that only paints."""
    made = convert_request(request)
    engine = Painting(made.path(), relief)
    run(graph.build(made, engine), Folder(folder), sink, cancel)
    return engine


def picture(folder, level, name="image.png"):
    return files.read_picture(Folder(folder), f"levels/{level:03d}/{name}")


def anchor(folder, level):
    return files.read_views(Folder(folder), f"levels/{level:03d}/parts/views.npz")[0]


def db(one, other):
    return float(-10 * np.log10(np.mean((one - other) ** 2) + 1e-12))


def flat_db(folder, request, level, after=None, name="image.png"):
    """How well the middle of a level's picture is D of the next one's, for a flat scene: by `make_nest`."""
    made = convert_request(request)
    path, limits = made.path(), plan.settings(made)
    anchors = [plan.anchor(path, k, limits) for k in range(path.levels)]
    after = (level + 1) % path.levels if after is None else after
    coarse, fine = (torch.from_numpy(picture(folder, k, name)).permute(2, 0, 1) for k in (level, after))
    nest = make_nest(tuple(coarse.shape[1:]), path.factor, zoom._child_middle(path, anchors, level))
    return db(nest.window(coarse).numpy(), nest.down(fine).numpy())


def depth_db(folder, request, level, name="image.png"):
    """The same through the levels' depths, and the share of the picture where the finer one shows."""
    path = convert_request(request).path()
    coarse, fine = anchor(folder, level), anchor(folder, (level + 1) % path.levels)
    nothing = np.zeros(coarse.depth.shape, bool)
    middle = agree.middle_of(coarse, fine, path.between(level + 1, level), nothing)
    one, other = picture(folder, level, name), picture(folder, (level + 1) % path.levels, name)
    return db(one[middle.shown], middle.down(other)), middle.shown.mean()


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat") / "job"
    return folder, painted(folder, content(flat=True))


@pytest.fixture(scope="module")
def hilly(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hilly") / "job"
    return folder, painted(folder, content(size=(96, 72)), relief=0.06)


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop") / "job"
    return folder, painted(folder, content(size=(96, 72), flat=True, loop=True))


class TestMiddle:
    @pytest.mark.parametrize("factor", [2.0, 3.0, 2.5])
    def test_of_a_flat_scene_is_the_crop_exactly(self, factor):
        camera = Camera(60, 40, 90, 90, 30, 20, look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)))
        flat = np.full((40, 60), 3.0, np.float32)
        rgb = np.random.default_rng(0).random((40, 60, 3)).astype(np.float32)
        item = Dreamed(View("000/anchor", 0, 0.0, camera), rgb, flat, flat > 0)
        middle = agree.middle_of(item, item, Similarity(1 / factor, np.zeros(3)), flat < 0)
        nest = make_nest((40, 60), factor)
        fine = torch.from_numpy(rgb).permute(2, 0, 1)
        assert nest.window(torch.from_numpy(middle.shown[None])).all()
        shown = nest.window(torch.from_numpy(middle.paste(rgb, rgb)).permute(2, 0, 1))
        assert torch.abs(shown - nest.down(fine)).max() < 1e-5

    def test_noise_of_depth_makes_few_holes(self):
        camera = Camera(360, 240, 540, 540, 180, 120, look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)))
        rng = np.random.default_rng(0)
        noisy = [3 * np.exp(0.01 * rng.standard_normal((240, 360))) for _ in range(2)]
        rgb = np.zeros((240, 360, 3), np.float32)
        items = [Dreamed(View("0", 0, 0.0, camera), rgb, depth, depth > 0) for depth in noisy]
        shown = agree.middle_of(*items, Similarity(0.5, np.zeros(3)), np.zeros((240, 360), bool)).shown
        assert shown[60:180, 90:270].mean() > 0.97

    def test_what_stands_before_it_is_not_pasted_over(self):
        camera = Camera(60, 40, 90, 90, 30, 20, look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)))
        flat = np.full((40, 60), 3.0, np.float32)
        post = flat.copy()
        post[:, 28:33] = 2.0  # between the two cameras
        items = [Dreamed(View("0", 0, 0.0, camera), np.zeros((40, 60, 3)), d, flat > 0) for d in (post, flat)]
        shown = agree.middle_of(*items, Similarity(0.5, np.zeros(3)), flat < 0).shown
        assert not shown[:, 29:32].any()
        assert shown[10:30, 15:27].all()
        assert shown[10:30, 34:45].all()


class TestFlat:
    def test_the_middle_of_a_picture_is_the_next_one(self, flat):
        folder, _ = flat
        for level in (0, 1):
            assert flat_db(folder, content(flat=True), level) > 50
            assert flat_db(folder, content(flat=True), level, name="parts/painted.png") < 35

    def test_what_is_far_from_the_middle_stays_as_it_was(self, flat):
        before, after = picture(flat[0], 0, "parts/painted.png"), picture(flat[0], 0)
        same = (before == after).all(-1)
        edge = round(0.12 * len(same))
        assert same[:edge].all()
        assert same[-edge:].all()
        assert same[:, :edge].all()
        assert not same[len(same) // 2].all()

    def test_each_level_is_looked_at_once_more_and_only_about_its_middle(self, flat):
        again = {name: mask for name, mask in flat[1].painted if "again" in name}
        assert sorted(again) == ["000/again/anchor", "001/again/anchor"]
        for mask in again.values():
            assert set(np.unique(mask)) == {COARSE, KNOWN}
            assert 0.1 < (mask == COARSE).mean() < 0.4


class TestDepth:
    def test_the_middle_of_a_picture_is_the_next_one_through_depth(self, hilly):
        request = content(size=(96, 72))
        for level in (0, 1):
            found, share = depth_db(hilly[0], request, level)
            assert found > 45
            assert share > 0.2
            assert depth_db(hilly[0], request, level, "parts/painted.png")[0] < 35

    def test_a_true_point_has_one_colour_in_both(self, hilly):
        """By the relief in closed form, not by the depths that the stages found."""
        folder, engine = hilly
        coarse, fine = anchor(folder, 0).view.camera, anchor(folder, 1).view.camera
        points = fine.unproject(engine.true_depth(fine, 1))
        pixel, _ = coarse.project(engine.path.between(1, 0).apply(points))
        column, row = np.moveaxis(np.floor(pixel).astype(int), -1, 0)
        found = []
        for name in ("parts/painted.png", "image.png"):
            smooth = gaussian_filter(picture(folder, 1, name), (1, 1, 0))
            found.append(db(gaussian_filter(picture(folder, 0, name), (0.5, 0.5, 0))[row, column], smooth))
        assert found[1] > found[0] + 3

    def test_the_splats_of_both_levels_show_the_same(self, hilly):
        request = convert_request(content(size=(96, 72)))
        for level in (0, 1):
            camera, move = request.path().camera(level + 1.0, level + 1), request.path().between(level, level + 1)
            names = (hilly[0] / f"levels/{k:03d}/parts/fit.ply" for k in (level, level + 1))
            coarse, fine = (read_splats(name) for name in names)
            shown = [rasterize(splats, camera) for splats in (moved(coarse, move), fine)]
            coarse, fine = (gaussian_filter(one.rgb / one.alpha[..., None], (2, 2, 0)) for one in shown)
            assert db(coarse, fine) > 40


class TestLoop:
    def test_the_first_level_is_the_middle_of_the_last(self, loop):
        request = content(size=(96, 72), flat=True, loop=True)
        for level in range(3):
            assert flat_db(loop[0], request, level) > 50
        assert flat_db(loop[0], request, 2, name="parts/painted.png") < 20

    def test_no_border_shows(self, loop):
        """Where contents contradict: no step along the pasted part's border, as there is when it is only pasted."""
        folder, _ = loop
        middle = agree_steps._read_around(Folder(folder), 2)[1]
        border = middle.pasted ^ np.roll(middle.pasted, 1, 1)
        naive = middle.paste(picture(folder, 2, "parts/painted.png"), picture(folder, 0))

        def step(rgb):
            smooth = gaussian_filter(rgb, (2, 1, 0))
            across = np.abs(smooth - np.roll(smooth, 1, 1)).mean(-1)
            return across[border].mean() / across[:, 1:].mean()

        assert step(naive) > 5
        assert step(picture(folder, 2)) < 0.3 * step(naive)


def photo(path, size=(64, 48), seed=0, sizes=(1, 3, 9)):
    """A picture with forms of several sizes, in pixels."""
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.standard_normal((size[1], size[0], 3)), (s, s, 0)) * s for s in sizes]
    rgb = np.clip(0.5 + 0.2 * np.sum(noise, 0), 0.1, 0.9)
    Image.fromarray((255 * rgb).astype(np.uint8)).save(path)
    return str(path)


def given_error(folder, level, file):
    """The largest difference between what the artist gave and the middle of the level's picture, in steps of 8 bits."""
    given = np.asarray(Image.open(file)).astype(int)
    rgb = np.asarray(Image.open(folder / f"levels/{level:03d}/image.png")).astype(int)
    top, left = (rgb.shape[0] - given.shape[0]) // 2, (rgb.shape[1] - given.shape[1]) // 2
    return np.abs(rgb[top : top + given.shape[0], left : left + given.shape[1]] - given).max()


class TestGiven:
    @pytest.mark.parametrize("level", [0, 1])
    def test_a_photo_stays_and_both_sides_agree_with_it(self, tmp_path, level):
        request = content(4, flat=True)
        request["levels"][level]["image"] = photo(tmp_path / "photo.png")
        painted(tmp_path / "job", request)
        assert given_error(tmp_path / "job", level, tmp_path / "photo.png") <= 1
        for coarse in range(3):
            assert flat_db(tmp_path / "job", request, coarse) > 45
        assert flat_db(tmp_path / "job", request, level, name="parts/painted.png") < 35

    def test_through_depth(self, tmp_path):
        request = content(size=(96, 72))
        request["levels"][0]["image"] = photo(tmp_path / "photo.png", (96, 72))
        painted(tmp_path / "job", request, relief=0.06)
        assert given_error(tmp_path / "job", 0, tmp_path / "photo.png") <= 1
        for level in (0, 1):
            assert depth_db(tmp_path / "job", request, level)[0] > 40

    @pytest.mark.parametrize("level", [0, 3])
    def test_a_loop_goes_through_it(self, tmp_path, level):
        request = content(5, flat=True, loop=True)
        request["levels"][level]["image"] = photo(tmp_path / "photo.png", sizes=(3, 9))
        painted(tmp_path / "job", request)
        assert given_error(tmp_path / "job", level, tmp_path / "photo.png") <= 1
        found = [flat_db(tmp_path / "job", request, coarse) for coarse in range(5)]
        assert found[level] > 45, "the photo binds the next level"
        assert min(found) > 25, "the photo does not show itself in its middle: that is spread over the other levels"

    def test_a_photo_within_a_photo_stays_too(self, tmp_path):
        request = content(flat=True)
        for level in (0, 1):
            request["levels"][level]["image"] = photo(tmp_path / f"{level}.png", seed=level)
        painted(tmp_path / "job", request)
        for level in (0, 1):
            assert given_error(tmp_path / "job", level, tmp_path / f"{level}.png") <= 1
        assert flat_db(tmp_path / "job", request, 1) > 45

    def test_an_object_stays_and_stains_nothing(self, tmp_path):
        request = content(size=(96, 72))
        count, half, colour = 60, 0.25, np.array([1.0, 0.0, 0.9])
        x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-half, half, count)] * 2))
        means = np.column_stack([x + 0.25, y, np.full_like(x, 0.45)]).astype(np.float32)
        sizes = np.full((len(x), 3), np.log(1.8 * half / count), np.float32) - [0, 0, 7]
        turn = np.tile([1, 0, 0, 0], (len(x), 1)).astype(np.float32)
        sh = np.tile((colour - 0.5) / SH_C0, (len(x), 1, 1)).astype(np.float32)
        splats = Gaussians(means, sizes.astype(np.float32), turn, np.full(len(x), 8, np.float32), sh)
        write_splats(tmp_path / "square.ply", splats)
        request["levels"][1]["assets"] = [str(tmp_path / "square.ply")]
        painted(tmp_path / "job", request, relief=0.06)
        first = "parts/painted.png"
        for level in range(3):
            rgb, depth = picture(tmp_path / "job", level), anchor(tmp_path / "job", level).depth
            square = np.isnan(depth)
            assert square.sum() > 100
            assert np.abs(rgb[square] - colour).max() < 0.02
            nearest = [np.abs(p[~square] - colour).max(1).min() for p in (rgb, picture(tmp_path / "job", level, first))]
            assert nearest[0] > nearest[1] - 0.03, "nothing else comes nearer to the object's colour"
        for level in (0, 1):
            before, after = (picture(tmp_path / "job", level, name) for name in (first, "image.png"))
            assert np.abs(after - before).max() < 0.3
            assert depth_db(tmp_path / "job", request, level)[0] > 40


class TestSteps:
    def test_a_changed_prompt_redoes_the_levels_that_show_it_and_no_coarser_one(self):
        request = content(9, (16, 16), flat=True)
        first = steps_of(request)
        width = plan.anchor(convert_request(request).path(), 0, plan.QUALITIES["draft"]).camera.width
        assert 16 <= width < 32, "so four finer levels show"
        request["levels"][6]["prompt"] = "a crimson desert"
        before, after = digests(first), digests(steps_of(request))
        changed = {name for name in before if before[name] != after[name]}
        for kind, coarsest in (("image", 6), ("dream", 6), ("surround", 5), ("agree", 2), ("fit", 2), ("export", 2)):
            last = 8 if kind == "surround" else 9
            expected = {f"levels/{level:03d}/{kind}" for level in range(coarsest, last)}
            assert {name for name in changed if name.endswith(kind)} == expected

    def test_what_a_changed_prompt_redoes_is_what_changes(self, tmp_path):
        request = content(3, flat=True)
        painted(tmp_path / "job", request)
        before = {name: (tmp_path / f"job/levels/{name}").read_bytes() for name in ("000/image.png", "000/splats.ply")}
        request["levels"][2]["prompt"] = "a crimson desert"
        made = convert_request(request)
        ran = run(graph.build(made, Painting(made.path())), Folder(tmp_path / "job")).ran
        assert "levels/000/surround" not in ran
        assert {"levels/000/agree", "levels/000/fit", "levels/001/surround", "levels/002/dream"} <= set(ran)
        assert all((tmp_path / f"job/levels/{name}").read_bytes() != data for name, data in before.items())
        for level in (0, 1):
            assert flat_db(tmp_path / "job", request, level) > 50

    @pytest.mark.parametrize("loop", [False, True])
    def test_the_graph_is_valid(self, loop):
        for levels in (2, 3, 12) if loop else (1, 2, 12):
            steps = steps_of(content(levels, (16, 16), loop=loop))
            assert len(digests(steps)) == len(steps)
            surrounds = [step for step in steps if step.name.endswith("surround")]
            assert len(surrounds) == levels - (not loop)

    def test_one_level_is_as_it_was_painted(self, tmp_path):
        painted(tmp_path / "job", content(1))
        assert np.array_equal(picture(tmp_path / "job", 0), picture(tmp_path / "job", 0, "parts/painted.png"))

    def test_engines_of_other_kinds_have_no_such_steps(self):
        for name in ("procedural", "spectral"):
            made = convert_request(content() | {"engine": {"name": name}})
            assert not any(s.name.endswith(("surround", "agree")) for s in graph.build(made, engines.make(made)))


class TestViews:
    def test_points_take_the_final_colours_and_only_where_they_changed(self, flat):
        folder = Folder(flat[0])
        old = files.read_points(folder, "levels/000/parts/points.npz")
        new, views = agree_steps.read_level(folder, 0)
        pixel, _ = views[0].view.camera.project(old.position.astype(np.float64))
        column, row = np.floor(pixel).astype(int).T
        assert np.abs(new.rgb - picture(flat[0], 0)[row, column]).max() < 2e-2
        same = (picture(flat[0], 0) == picture(flat[0], 0, "parts/painted.png")).all(-1)[row, column]
        assert np.array_equal(new.rgb[same], old.rgb[same])

    def test_side_views_follow_the_cloud_and_keep_what_they_added(self, tmp_path):
        request = content(2, (64, 48), preset="lookdown")
        del request["cameras"]
        painted(tmp_path / "job", request, relief=0.1)
        folder = Folder(tmp_path / "job")
        old = files.read_views(folder, "levels/000/parts/views.npz")
        cloud, new = agree_steps.read_level(folder, 0)
        assert len(new) > 1
        for before, after in zip(old[1:], new[1:]):
            assert np.abs(after.rgb - before.rgb)[before.fresh].max() < 3e-3
        shown, changes = np.abs(new[0].rgb - old[0].rgb).max(-1) > 0.03, []
        for before, after in zip(old[1:], new[1:]):
            points = before.view.camera.unproject(before.depth)
            pixel, _ = old[0].view.camera.project(points)
            row, column, inside = cells(pixel, shown.shape)
            there = inside & ~before.fresh & shown[row, column]
            wanted = (new[0].rgb - old[0].rgb)[row, column][there]
            changes.append((wanted.ravel(), (after.rgb - before.rgb)[there].ravel()))
        wanted, found = (np.concatenate(part) for part in zip(*changes))
        assert len(wanted) > 200
        assert np.corrcoef(wanted, found)[0, 1] > 0.7


def networks(folder, model, **options):
    """The engine of a request: a tiny painter with random weights on disk."""
    depth = folder / "depth"
    made = models.PAINTERS[model](folder / model), depth if depth.exists() else models.DEPTHS["depth-anything"](depth)
    return {"name": "diffusion", "steps": 4, "model": str(made[0]), "depth_model": str(made[1])} | options


class StopsWithin(Sink):
    """Cancels as soon as the levels are made to agree."""

    def __init__(self):
        self.cancel = threading.Event()

    def progress(self, progress):
        if progress.stage == "refine":
            self.cancel.set()


class Land(DiffusionEngine):
    """A real painter, without joint sampling, before a relief whose depth is known: random networks know none."""

    def __init__(self, request, relief):
        super().__init__(request, check.picture_model(places.find(request.engine.model)))
        self.depth = Painting(request.path(), relief).depth


class TestNetworks:
    @pytest.mark.parametrize("loop", [False, True])
    @pytest.mark.parametrize("model", ["sd", "sd-inpaint", "z-image", "flux-fill", "qwen-image"])
    def test_that_only_paint_agree_where_all_is_flat(self, tmp_path, model, loop):
        request = content(flat=True, loop=loop)
        request["engine"] = networks(tmp_path, model, joint=False)
        made = convert_request(request)
        run(graph.build(made, Land(made, 0.0)), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            assert flat_db(tmp_path / "job", request, level) > 45

    @pytest.mark.parametrize("model", ["sd", "z-image"])
    def test_that_only_paint_agree_through_depth(self, tmp_path, model):
        request = content(size=(96, 72))
        request["engine"] = networks(tmp_path, model, joint=False)
        made = convert_request(request)
        run(graph.build(made, Land(made, 0.06)), Folder(tmp_path / "job"))
        for level in (0, 1):
            found, share = depth_db(tmp_path / "job", request, level)
            assert found > 45
            assert share > 0.2
            assert depth_db(tmp_path / "job", request, level, "parts/painted.png")[0] < 40

    @pytest.mark.parametrize("model", ["z-image", "flux"])
    def test_families_that_are_not_sampled_jointly_do_it_of_themselves(self, tmp_path, model):
        request = content()
        request["engine"] = networks(tmp_path, model)
        made = convert_request(request)
        ran = generate(made, Folder(tmp_path / "job")).ran
        assert {"levels/000/surround", "levels/001/surround", "levels/002/agree"} <= set(ran)

    def test_a_killed_job_ends_in_the_same_bytes(self, tmp_path):
        request = content(loop=True)
        request["engine"] = networks(tmp_path, "sd", joint=False)
        generate(convert_request(request), Folder(tmp_path / "whole"))
        (tmp_path / "request.json").write_text(json.dumps(request))
        code = (
            "import os, signal, sys; import torch; torch.set_num_threads(1)\n"
            "from dreamzoom.stages import agree\n"
            "look, looked = agree.surroundings, []\n"
            "def stop(*arguments):\n"
            "    looked.append(1)\n"
            "    if len(looked) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return look(*arguments)\n"
            "agree.surroundings = stop\n"
            "from dreamzoom.cli import main; sys.exit(main())"
        )
        command = [sys.executable, "-c", code, "generate", "request.json", "--out", "job"]
        ended = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SERVER)}, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert not (tmp_path / "job/levels/000/image.png").exists()
        summary = generate(convert_request(request), Folder(tmp_path / "job"))
        assert "levels/000/surround" in summary.skipped
        listed = [json.loads((tmp_path / f"{name}/result.json").read_text())["files"] for name in ("job", "whole")]
        assert listed[0] == listed[1]

    def test_a_cancel_is_heard_and_the_job_goes_on_from_there(self, tmp_path):
        request = content()
        request["engine"] = networks(tmp_path, "sd", joint=False)
        sink = StopsWithin()
        with pytest.raises(Cancelled):
            generate(convert_request(request), Folder(tmp_path / "job"), sink, sink.cancel)
        assert not any((tmp_path / "job").glob("levels/*/parts/around.npz"))
        ran = generate(convert_request(request), Folder(tmp_path / "job")).ran
        assert "levels/000/surround" in ran
        assert not any(name.endswith(("image", "dream")) for name in ran)


class TestJoint:
    """Engines whose levels are sampled jointly keep the same contract."""

    @pytest.mark.parametrize("loop", [False, True])
    @pytest.mark.parametrize("model", ["spectral", "sd", "sd3"])
    def test_without_depth_by_the_crop(self, tmp_path, model, loop):
        request = content(loop=loop)
        request["engine"] = {"name": "spectral", "steps": 10} if model == "spectral" else networks(tmp_path, model)
        generate(convert_request(request), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            assert flat_db(tmp_path / "job", request, level) > 45

    @pytest.mark.parametrize("loop", [False, True])
    def test_through_depth_by_the_second_pass(self, tmp_path, loop):
        request = content(size=(96, 72), loop=loop)
        request["engine"] = {"name": "spectral", "steps": 10, "refine": True}
        generate(convert_request(request), Folder(tmp_path / "job"))
        for level in range(3 if loop else 2):
            found, share = depth_db(tmp_path / "job", request, level)
            assert found > 40
            assert share > 0.15

"""One world: after all pictures are made, the middle of each is the next level's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement import (
    anchor,
    content,
    db,
    depth_db,
    final_level,
    flat_db,
    painted,
    picture,
    steps_of,
)
from painting import Painting
from scipy.ndimage import gaussian_filter

from core.camera import Camera, Similarity, look_at
from core.formats.splat_ply import read_splats
from core.gaussians import moved
from dreamzoom.engines import registry
from dreamzoom.geometry.view import COARSE, KNOWN, View
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build, digests
from dreamzoom.request.validation import convert_request
from dreamzoom.sampling.level_resampling import make_nest
from dreamzoom.sampling.warp_areas import cells
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import agree, paste, plan
from dreamzoom.stages.base import files, layout
from dreamzoom.stages.base.quality import QUALITIES
from dreamzoom.stages.base.values import DreamedView

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


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
        item = DreamedView(View("000/anchor", 0, 0.0, camera), rgb, flat, flat > 0)
        middle = paste.middle_of(item, item, Similarity(1 / factor, np.zeros(3)), flat < 0)
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
        items = [DreamedView(View("0", 0, 0.0, camera), rgb, depth, depth > 0) for depth in noisy]
        shown = paste.middle_of(*items, Similarity(0.5, np.zeros(3)), np.zeros((240, 360), bool)).shown
        assert shown[60:180, 90:270].mean() > 0.97

    def test_what_stands_before_it_is_not_pasted_over(self):
        camera = Camera(60, 40, 90, 90, 30, 20, look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)))
        flat = np.full((40, 60), 3.0, np.float32)
        post = flat.copy()
        post[:, 28:33] = 2.0  # between the two cameras
        items = [DreamedView(View("0", 0, 0.0, camera), np.zeros((40, 60, 3)), d, flat > 0) for d in (post, flat)]
        shown = paste.middle_of(*items, Similarity(0.5, np.zeros(3)), flat < 0).shown
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
        middle = agree.read_surroundings(Folder(folder).load(files.ARRAYS, layout.SURROUNDINGS.path(2)))[1]
        border = middle.pasted ^ np.roll(middle.pasted, 1, 1)
        naive = middle.paste(picture(folder, 2, "parts/painted.png"), picture(folder, 0))

        def step(rgb):
            smooth = gaussian_filter(rgb, (2, 1, 0))
            across = np.abs(smooth - np.roll(smooth, 1, 1)).mean(-1)
            return across[border].mean() / across[:, 1:].mean()

        assert step(naive) > 5
        assert step(picture(folder, 2)) < 0.3 * step(naive)


class TestSteps:
    def test_a_changed_prompt_redoes_the_levels_that_show_it_and_no_coarser_one(self):
        request = content(9, (16, 16), flat=True)
        first = steps_of(request)
        width = plan.anchor(convert_request(request).path(), 0, QUALITIES["draft"]).camera.width
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
        ran = run(build(made, Painting(made.path())), Folder(tmp_path / "job")).ran
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
            assert not any(s.name.endswith(("surround", "agree")) for s in build(made, registry.make(made)))


class TestViews:
    def test_points_take_the_final_colours_and_only_where_they_changed(self, flat):
        folder = Folder(flat[0])
        old = folder.load(files.POINTS, "levels/000/parts/points.npz")
        new, views = final_level(folder, 0)
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
        old = folder.load(files.VIEWS, "levels/000/parts/views.npz")
        cloud, new = final_level(folder, 0)
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

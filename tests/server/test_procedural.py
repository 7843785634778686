"""The procedural world is deterministic, finite, and one place at every zoom and from every view."""

from __future__ import annotations

import numpy as np
import pytest

from core import prompt_words
from core.camera import Camera, look_at
from dreamzoom.engines import registry
from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural import vocabulary
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.engines.procedural.engine import ProceduralEngine
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry.view import KNOWN, UNKNOWN, DepthKind, View
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.progress import Report
from dreamzoom.render.consistency import carried
from dreamzoom.render.evaluate import TrueFlight

pytestmark = pytest.mark.slow

CELLS = 192
TABLES = (prompt_words.PLACES, prompt_words.EFFECTS)
KNOWN_WORDS = [word for table in TABLES for words in table.values() for word in words.split()]


def view_from(centre, size=96, target=(0, 0, 0), focal=1.2) -> Camera:
    return Camera(size, size, focal * size, focal * size, size / 2, size / 2, look_at(centre, target))


NEAR = view_from((0.3, -2.2, 2.0))


def world(*prompts, seed=5, factor=2.0, focuses=None, cells=CELLS, **options) -> World:
    count = len(prompts)
    focuses = np.zeros((count, 3)) if focuses is None else focuses
    return World(list(prompts), [seed + k for k in range(count)], factor, focuses, cells=cells, **options)


def contrast(rgb: np.ndarray) -> float:
    """Mean step between neighbouring pixels."""
    grey = rgb.mean(-1)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


class TestWorld:
    def test_same_arguments_give_the_same_bytes(self):
        first, second = (world("forest", "moss").render(NEAR, 1) for _ in range(2))
        assert first[0].tobytes() == second[0].tobytes()
        assert first[1].tobytes() == second[1].tobytes()

    def test_shapes_types_and_ranges(self):
        camera = Camera(80, 48, 90.0, 95.0, 40.0, 24.0, look_at((0, -3, 2), (0, 0, 0)))
        rgb, depth = world("meadow").render(camera, 0)
        assert rgb.shape == (48, 80, 3) and rgb.dtype == np.float32 and rgb.min() >= 0 and rgb.max() <= 1
        assert depth.shape == (48, 80) and depth.dtype == np.float32 and depth.min() > 0

    def test_another_seed_is_another_world(self):
        a, b = (world("continent", seed=seed).render(NEAR, 0)[0] for seed in (1, 2))
        assert np.abs(a - b).mean() > 0.03

    def test_a_finer_level_shows_until_it_is_smaller_than_a_pixel(self):
        names = ["desert", "crystal", "moss", "rock", "leaf", "city", "cell", "meadow"]
        first = world(*names, side=16).render(NEAR, 0)
        for changed in range(1, 8):
            other = world(*[*names[:changed], "ocean", *names[changed + 1 :]], side=16)
            rgb, depth = other.render(NEAR, 0)
            same = first[0].tobytes() == rgb.tobytes() and first[1].tobytes() == depth.tobytes()
            assert (changed in other.seen_from(0)) != same, changed
        assert list(other.seen_from(0)) == [0, 1, 2, 3, 4]

    def test_each_level_changes_the_middle_and_leaves_the_surroundings(self):
        camera = view_from((0, -0.5, 9.0), target=(0, 0, 0))
        before, after = (world(*names).render(camera, 0)[0] for names in (["desert"], ["desert", "crystal"]))
        change = np.abs(before - after).mean(-1)
        assert change[44:52, 44:52].mean() > 0.1
        assert change[:20].mean() < 0.01

    def test_a_camera_may_stand_in_any_level_frame(self):
        pair = world("rock", "moss", focuses=np.array([[0.2, -0.1, 0.05], [0, 0, 0]]))
        outer = view_from((0.4, -2.0, 1.6))
        inner = outer.moved(ZoomPath(2.0, pair.focuses, ()).between(0, 1))
        rgb0, depth0 = pair.render(outer, 0, 0.3)
        rgb1, depth1 = pair.render(inner, 1, 0.3)
        assert np.abs(rgb0 - rgb1).mean() < 0.01
        assert np.median(np.abs(2 * depth0 / depth1 - 1)) < 2e-3

    @pytest.mark.parametrize("factor", [2.0, 3.0])
    def test_the_flight_shows_one_place(self, factor):
        prompts = ["mountains", "forest", "rock"]
        engine = ProceduralEngine(prompts, [1, 2, 3], factor, np.zeros((3, 3)), side=96)
        path = ZoomPath(factor, np.zeros((3, 3)), (Key(1, 0.0, NEAR), Key(9, 2.0, NEAR)))
        truth = TrueFlight(engine, path)
        pairs = [(zoom + 0.5, zoom) for zoom in (0.0, 0.5, 1.0, 1.5)]
        assert min(carried(truth.at(b).rgb, truth.at(a).rgb, truth.warp(b, a)) for b, a in pairs) > 24
        alone = ProceduralEngine(prompts[:1], [1], factor, np.zeros((1, 3)), side=96)  # what the dissolve showed
        before, _ = alone.truth(ZoomPath(factor, np.zeros((1, 3)), path.keys), 0.5, NEAR)
        assert carried(truth.at(1.0).rgb, before, truth.warp(1.0, 0.5)) < 20

    def test_the_horizon_stays_where_it_is(self):
        low = view_from((0.0, -3.0, 1.0), target=(0.0, 5.0, 0.6))
        far = [depth.max() for depth in (world("desert", *finer).depth(low, 0) for finer in ((), ("rock",) * 5))]
        assert far[1] == pytest.approx(far[0], rel=1e-3) and far[0] > 30

    def test_a_loop_shows_the_same_where_it_begins_anew(self):
        looped = world("mountains", "rock", "moss", loop=True)
        one, other = looped.render(NEAR, 0), looped.render(NEAR, 3)
        assert one[0].tobytes() == other[0].tobytes() and one[1].tobytes() == other[1].tobytes()

    def test_a_level_costs_the_same_however_many_there_are(self):
        few, many = (world(*["mountains", "rock"] * (count // 2), side=96) for count in (12, 64))
        used = [set(), set()]
        for each, rings in zip((few, many), used):
            each.render(NEAR, each.levels - 2)
            rings |= {number - each.levels for number in each._reliefs}
        assert used[0] == used[1]
        assert len(many.seen_from(32)) == len(many.seen_from(40)) < 40

    @pytest.mark.parametrize("style", R.STYLES)
    def test_every_style_is_finite_lit_and_has_detail_and_relief(self, style):
        rgb, depth = world(f"snowy glowing night {style}", style).render(NEAR, 1)
        assert np.isfinite(rgb).all() and np.isfinite(depth).all()
        assert rgb.mean() > 0.02 and rgb.std() > 0.02
        heights = NEAR.unproject(depth)[..., 2]
        assert heights.std() > 0.01

    def test_depth_leads_to_the_ground(self):
        ground = world("city")
        _, depth = ground.render(NEAR, 0)
        points = NEAR.unproject(depth).reshape(-1, 3)
        # float32 depth and a march that ends within a hair of the crossing; on walls a hair sideways is a lot upwards
        gap = np.abs(ground.height(points[:, :2], 0) - points[:, 2])
        assert np.quantile(gap, 0.9) < 2e-3 and np.median(gap) < 1e-4

    def test_two_cameras_see_the_same_colour_at_the_same_place(self):
        scene = world("mountains", "meadow", cells=384)
        left, right = view_from((-0.5, -2.2, 2.2), 160), view_from((0.6, -2.1, 2.3), 160)
        (rgb_a, depth_a), (rgb_b, depth_b) = (scene.render(camera, 1) for camera in (left, right))
        at, z = right.project(left.unproject(depth_a))
        column, row = np.floor(at).astype(int).transpose(2, 0, 1)
        inside = (column >= 0) & (column < 160) & (row >= 0) & (row < 160)
        column, row = column.clip(0, 159), row.clip(0, 159)
        seen = inside & (np.abs(depth_b[row, column] / z - 1) < 0.01)
        assert seen.mean() > 0.4
        error = np.abs(rgb_a - rgb_b[row, column]).mean(-1)[seen]
        chance = np.abs(rgb_a - rgb_b[::-1, ::-1]).mean()
        assert np.median(error) < 0.05 and np.median(error) < 0.4 * chance

    def test_level_40_is_as_rich_as_level_0(self):
        deep = world(*["mountains", "rock"] * 20, "mountains", focuses=np.full((41, 3), (0.3, -0.2, 0.05)))
        shallow_rgb, shallow_depth = deep.render(NEAR, 0)
        rgb, depth = deep.render(NEAR, 40)
        assert np.isfinite(rgb).all() and np.isfinite(depth).all()
        assert 0.5 < contrast(rgb) / contrast(shallow_rgb) < 2.5
        assert NEAR.unproject(depth)[..., 2].std() > 0.3 * NEAR.unproject(shallow_depth)[..., 2].std()

    @pytest.mark.parametrize("factor", [1.25, 16.0])
    def test_extreme_zoom_factors(self, factor):
        rgb, depth = world("forest", "rock", "moss", factor=factor).render(NEAR, 2)
        assert np.isfinite(rgb).all() and np.isfinite(depth).all() and rgb.std() > 0.03

    @pytest.mark.parametrize(
        "camera",
        [
            view_from((0, 0.01, -0.8)),
            view_from((0, -2, 0.4), target=(0, -2, 9)),
            view_from((0, -9000, 3000)),
            view_from((0.0, 0.0, 3.0)),
            view_from((0, -60, 0.5), target=(0, -99, 0.5)),
        ],
        ids=["under ground", "looking up", "very far", "straight down", "outside, looking away"],
    )
    def test_odd_cameras_see_something_finite(self, camera):
        rgb, depth = world("city").render(camera, 0)
        assert np.isfinite(rgb).all() and np.isfinite(depth).all() and depth.min() > 0

    def test_shadows_darken(self):
        hills = world("mountains")
        assert hills.render(NEAR, 0)[0].mean() < hills.render(NEAR, 0, shadows=False)[0].mean() - 0.01

    def test_a_level_that_is_not_there_is_refused(self):
        with pytest.raises(ValueError, match="must be from 0 to 0"):
            world("city").render(NEAR, 1)


class TestVocabulary:
    @pytest.mark.parametrize("prompt", ["CITY at NIGHT", "city, at night!", "a Night-city", "  nightly cities "])
    def test_case_punctuation_and_plurals_do_not_matter(self, prompt):
        rows, _ = vocabulary.recipes_of(prompt, 1)
        assert [R.STYLES[int(row[R.STYLE])] for row in rows] == ["city"]
        assert rows[0, R.NIGHT] == 1.0

    def test_a_prompt_may_name_several_styles(self):
        rows, seeds = vocabulary.recipes_of("a forest between mountains by the ocean", 1)
        assert [R.STYLES[int(row[R.STYLE])] for row in rows] == ["forest", "mountains", "ocean"]
        assert len(set(seeds.tolist())) == 3

    @pytest.mark.parametrize(
        "prompt", ["", "🌋🦄", "静かな庭園", "зимний лес", "qwzx " * 500, "\u202e\x00 ﬁ", "______"]
    )
    def test_unknown_words_of_any_language_choose_a_world_for_good(self, prompt):
        (rows, seeds), (again, seeds_again) = (vocabulary.recipes_of(prompt, 3) for _ in range(2))
        assert (
            np.isfinite(rows).all() and rows.tobytes() == again.tobytes() and seeds.tobytes() == seeds_again.tobytes()
        )

    def test_other_unknown_words_choose_other_worlds(self):
        pictures = [world(f"{word} meadow").render(NEAR, 0)[0] for word in ("zorblax", "квант")]
        assert np.abs(pictures[0] - pictures[1]).mean() > 0.02

    @pytest.mark.parametrize("word", [*KNOWN_WORDS, *vocabulary.HUES])
    def test_every_word_makes_a_valid_recipe(self, word):
        rows, _ = vocabulary.recipes_of(word, 9)
        palette = rows[:, R.COLOURS : R.COLOURS + 15]
        assert np.isfinite(rows).all() and palette.min() >= 0 and palette.max() <= 1

    def test_colour_words_colour(self):
        red, blue = (world(f"{hue} rock").render(NEAR, 0)[0].mean((0, 1)) for hue in ("red", "blue"))
        assert red[0] - red[2] > blue[0] - blue[2] + 0.1

    def test_night_is_dark(self):
        assert world("night mountains").render(NEAR, 0)[0].mean() < 0.6 * world("mountains").render(NEAR, 0)[0].mean()


class TestDistort:
    depth = np.linspace(2, 4, 200)[None, :].repeat(160, 0)

    def ratios(self, **kwargs):
        rng = np.random.default_rng(kwargs.pop("seed", 4))
        return distort(self.depth, rng, **kwargs) / self.depth

    def test_the_same_randomness_gives_the_same_bytes(self):
        assert self.ratios(outliers=0.1).tobytes() == self.ratios(outliers=0.1).tobytes()

    def test_factors_fill_their_range(self):
        factors = [np.median(self.ratios(seed=seed, warp=0.0, noise=0.0)) for seed in range(60)]
        assert min(factors) >= 0.5 and max(factors) <= 2 and min(factors) < 0.65 and max(factors) > 1.6

    def test_noise_has_its_strength(self):
        ratios = self.ratios(factor=(1, 1), warp=0.0, noise=0.02)
        assert np.log(ratios).std() == pytest.approx(0.02, rel=0.05)

    def test_the_warp_is_smooth_and_has_its_strength(self):
        logs = np.log(self.ratios(factor=(1, 1), warp=0.1, noise=0.0))
        assert logs.std() == pytest.approx(0.1, rel=0.05)
        assert np.abs(np.diff(logs, axis=1)).max() < 0.02

    def test_outliers_have_their_share(self):
        ratios = self.ratios(factor=(1, 1), warp=0.0, noise=0.0, outliers=0.2)
        assert (np.abs(np.log(ratios)) > 1e-3).mean() == pytest.approx(0.2, abs=0.02)

    def test_shift_moves_by_one_constant(self):
        moved = self.ratios(factor=(1, 1), warp=0.0, noise=0.0, shift=0.2) * self.depth - self.depth
        assert np.ptp(moved) < 1e-4 and 0 < np.abs(moved).mean() < 0.2 * 3

    def test_it_stays_positive(self):
        for seed in range(20):
            assert self.ratios(seed=seed, shift=3.0, outliers=0.2).min() > 0


class TestProceduralEngine:
    view = View("000/anchor", 0, 0.0, NEAR)
    empty = np.zeros((96, 96, 3), np.float32)

    def engine(self, *prompts, **kwargs):
        count = len(prompts)
        return ProceduralEngine(list(prompts), list(range(count)), 2.0, np.zeros((count, 3)), **kwargs)

    def paint(self, engine, view, mask):
        return engine.paint(view, self.empty, mask, "", "", 0, Report())

    def test_it_paints_the_truth_and_keeps_what_is_known(self):
        engine = self.engine("desert")
        mask = np.full((96, 96), UNKNOWN, np.uint8)
        mask[:40] = KNOWN
        painted = self.paint(engine, self.view, mask)
        assert (painted[:40] == 0).all()
        assert np.array_equal(painted[40:], engine.world.render(NEAR, 0)[0][40:])

    def test_pictures_depend_on_the_levels_that_are_seen_and_on_no_others(self):
        count = 24
        one = ProceduralEngine(["rock"] * count, list(range(count)), 2.0, np.zeros((count, 3)), side=16)
        for changed in range(count):
            prompts = ["rock"] * changed + ["cell"] + ["rock"] * (count - changed - 1)
            other = ProceduralEngine(prompts, list(range(count)), 2.0, np.zeros((count, 3)), side=16)
            differ = [k for k in range(count) if one.dependencies(k) != other.dependencies(k)]
            assert differ == [k for k in range(count) if changed in one.world.seen_from(k)]
            assert one.identity() == other.identity()

    def test_a_few_pixels_are_painted_as_in_the_whole_picture(self):
        engine, mask = self.engine("desert"), np.full((96, 96), KNOWN, np.uint8)
        mask[40:44] = UNKNOWN
        painted, whole = self.paint(engine, self.view, mask), engine.world.render(NEAR, 0)[0]
        assert np.abs(painted[40:44] - whole[40:44]).mean() < 0.02
        assert not painted[:40].any() and not painted[44:].any()

    def test_distorted_depth_depends_on_view_and_seed_alone(self):
        engine = self.engine("desert")
        first, again = (engine.depth(self.view, self.empty, 7, Report()) for _ in range(2))
        other = engine.depth(View("000/side-1", 0, 0.0, NEAR), self.empty, 7, Report())
        assert first.kind is DepthKind.SCALE and first.values.tobytes() == again.values.tobytes()
        assert not np.array_equal(first.values, other.values)

    def test_depth_without_distortion_is_the_truth(self):
        engine = self.engine("desert", distortion=False)
        depth = engine.depth(self.view, self.empty, 7, Report())
        assert depth.kind is DepthKind.METRIC and np.array_equal(depth.values, engine.world.render(NEAR, 0)[1])

    def test_the_truth_is_seen_by_the_camera_of_the_path(self):
        engine = self.engine("desert", "crystal")
        path = ZoomPath(2.0, np.zeros((2, 3)), (Key(1, 0.0, NEAR), Key(9, 1.0, NEAR)))
        rgb, depth = engine.truth(path, 1.0, NEAR)
        true, true_depth = engine.world.render(NEAR, 1)
        assert np.array_equal(rgb, true) and np.allclose(depth, true_depth)
        _, between = engine.truth(path, 0.5, NEAR)
        assert np.median(between) == pytest.approx(np.median(depth), rel=0.1)  # in the gauge the camera stays

    def test_it_is_available(self):
        rows = {row["name"]: row for row in registry.available()}
        assert rows["procedural"]["available"] and not rows["procedural"]["reason"]

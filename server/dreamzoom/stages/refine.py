"""Refine: the depth-aware second pass. All views of adjacent levels are sampled again, kept consistent by warping
through their depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dreamzoom.engines.base import Denoises
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report
from dreamzoom.sampling.warp_areas import Seen
from dreamzoom.stages import plan
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import ENGINE, Inputs, Scope, Stage, Write, each
from dreamzoom.stages.base.values import DreamedView, FinalPictures
from dreamzoom.stages.given import GivenPixels, given_pixels

if TYPE_CHECKING:  # elsewhere imported where it is used: it imports torch, which only jobs with this pass need
    from dreamzoom.sampling.denoiser import Prompt
    from dreamzoom.sampling.depth_warp import Link
    from dreamzoom.sampling.second_pass import Again, Shot

STRENGTH = 0.5
"""Noise level at which the second pass starts, as a share of the range of the log noise ratio. The layout is kept;
details are generated again where warping through depth moves them."""

STEPS = 0.3
"""Number of steps of the second pass, as a share of the first pass's."""

LEVELS, PIXELS = 6, 12_000_000
"""Maximum number of levels that are sampled together, and of pixels in all their views. More levels are divided into
groups, which are sampled one after another."""

SAME_SCALE = 1.6
"""Views whose pixel sizes differ by less than this factor are compared at half resolution, because comparing the
finest octave would blur it."""

MIN_OVERLAP = 0.02
"""Two views are linked if they share more than this part of the coarser one's picture."""


@dataclass(frozen=True)
class LevelViews:
    """One level in the second pass.

    Attributes:
        index: Index of the level; in a loop it may run past the last level.
        views: Anchor and side views with pictures and depth.
        prompt, negative, guidance, seed: Of the level.
        held: (H, W) bool, the fixed pixels of the anchor's picture; None if there are none.
        finished: Whether all pictures of the level are fixed.
    """

    index: int
    views: Sequence[DreamedView]
    prompt: Prompt
    negative: Prompt
    guidance: float
    seed: int
    held: np.ndarray | None = None
    finished: bool = False


def groups(count: int, views: int, pixels: int) -> list[range]:
    """The groups of levels that are sampled together.

    Args:
        count: Number of levels.
        views: Views per level.
        pixels: Pixels per view.
    """
    size = min(max(PIXELS // (views * pixels), 1), LEVELS)
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def options(sampling: dict[str, Any]) -> Again:
    """The second pass's settings, from an engine's arguments for joint sampling (`sampling.levels.stream_levels`)."""
    from dreamzoom.sampling.second_pass import Again

    kept = {name: sampling[name] for name in ("batch", "eta", "order") if name in sampling}
    return Again(STRENGTH, max(round(sampling.get("steps", 50) * STEPS), 2), **kept)


@dataclass(frozen=True)
class LevelParameters:
    """The sampling parameters of one level.

    Attributes:
        level: Index of the level; in a loop it may run past the last level.
        prompt, negative, guidance, seed: Of the level.
        given: The pixels of its picture that the artist gives.
    """

    level: int
    prompt: Prompt
    negative: Prompt
    guidance: float
    seed: int
    given: GivenPixels


@dataclass(frozen=True)
class Parameters:
    """What a group's pictures depend on besides the views.

    Attributes:
        group: The levels that are sampled.
        levels: All levels that take part: the group, the level before it, and in a loop the first level after the last.
        path: The zoom factor, the focuses, and whether the path is a loop. Its camera keys are removed.
        strength, steps: `STRENGTH`, and model evaluations per view.
    """

    group: Sequence[int]
    levels: Sequence[LevelParameters]
    path: ZoomPath
    strength: float
    steps: int


def _groups(context: Context) -> list[range]:
    camera = plan.anchor(context.path, 0, context.quality).camera
    return groups(context.path.levels, 1 + context.quality.side_views, camera.width * camera.height)


def _participating(context: Context, scope: Scope) -> range:
    """The levels of a group, the level before it, and in a loop the first level after the last."""
    closing = context.path.loop and scope.levels.stop == context.path.levels and scope.first > 0
    return range(max(scope.first - 1, 0), scope.levels.stop + closing)


def _finished_levels(context: Context, scope: Scope) -> list[int]:
    """The levels that take part but are sampled in other groups."""
    return [level for level in _participating(context, scope) if level not in scope.levels]


def _parameters(context: Context, scope: Scope) -> Parameters:
    from dreamzoom.sampling.levels import complete_prompts

    assert isinstance(context.engine, Denoises)
    sampling = context.engine.sampling()
    prompts = complete_prompts([level.prompt for level in context.request.levels])
    levels = []
    for k in _participating(context, scope):
        level = k % context.path.levels
        negative = ((context.request.levels[level].negative_prompt, 1.0),)
        seed = context.request.level_seed(level)
        given = given_pixels(context, level)
        levels.append(LevelParameters(k, prompts[level], negative, _guidance(sampling, level), seed, given))
    again = options(sampling)
    return Parameters(scope.levels, levels, replace(context.path, keys=()), again.strength, again.steps)


def _guidance(sampling: Mapping[str, Any], level: int) -> float:
    guidance = sampling.get("guidance", 1.0)
    return float(guidance) if isinstance(guidance, (int, float)) else float(guidance[level])


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Iterator[tuple[int, Mapping[str, Any]]]:
    levels = [_level_views(inputs, item, item.level not in parameters.group, report) for item in parameters.levels]
    engine: Denoises = inputs["engine"]
    again = replace(options(engine.sampling()), strength=parameters.strength, steps=parameters.steps)
    found, gain = sample_again(engine, parameters.path, levels, again, report)
    first, last = parameters.group[0], parameters.group[-1]
    for level, pictures in found.items():
        report.preview(pictures[0])
        values = {"pictures": FinalPictures(pictures, by_difference=False), "picture": pictures[0]}
        more = {"agreement": {"first": first, "last": last} | gain} if level == first else {}
        yield level, values | more


def _level_views(inputs: Inputs, item: LevelParameters, finished: bool, report: Report) -> LevelViews:
    views, held = inputs["views"][item.level], None
    if finished:
        pictures = inputs["pictures"][item.level].pictures
        views = [replace(view, rgb=picture) for view, picture in zip(views, pictures)]
    else:
        held = item.given.mask()
    return LevelViews(item.level, views, item.prompt, item.negative, item.guidance, item.seed, held, finished)


REFINE = Stage(
    name="refine",
    version=3,
    reads={
        "engine": ENGINE,
        "views": each(layout.VIEWS, _participating),
        "pictures": each(layout.FINAL_PICTURES, _finished_levels),
    },
    writes={
        "pictures": layout.FINAL_PICTURES,
        "picture": layout.PICTURE,
        "agreement": Write(layout.AGREEMENT, lambda context, scope: scope.levels[:1]),
    },
    parameters=_parameters,
    run=_run,
    shown_as="refine",
    scopes=_groups,
    when=lambda context: context.second_pass,
    level_by_level=lambda context: False,
    weight=lambda context, scope: 3.0 * len(scope.levels),
)


def sample_again(
    engine: Denoises, path: ZoomPath, levels: Sequence[LevelViews], again: Again, report: Report
) -> tuple[dict[int, list[np.ndarray]], dict[str, Any]]:
    """Sample all views of the levels that are not finished.

    Returns:
        By level index, the pictures (H, W, 3) float32 sRGB quantised to 1/255, in the order of the views; and the gain
        in consistency: the number of links, and the mean PSNR in dB between linked views, before and after.
    """
    from dreamzoom.sampling.second_pass import refine_views

    denoiser = engine.denoiser(report)
    flat = [(level, number) for level in levels for number in range(len(level.views))]
    seen = [_seen(level.views[number], denoiser.multiple) for level, number in flat]
    links = _links(path, flat, seen, denoiser.codec.scale, report)
    shots = [_shot(level, number, denoiser.multiple) for level, number in flat]
    pictures = [shot.picture for shot in shots]
    if links:
        pictures = refine_views(denoiser, shots, links, again, report)
    found: dict[int, list[np.ndarray]] = {level.index: [] for level in levels if not level.finished}
    for (level, number), picture in zip(flat, pictures):
        if not level.finished:
            height, width = level.views[number].depth.shape
            found[level.index].append(np.ascontiguousarray(picture[:height, :width]))
    gain = {"links": len(links), "before_db": None, "after_db": None}
    if links:
        gain["before_db"] = _mean_db([shot.picture for shot in shots], links)
        gain["after_db"] = _mean_db(pictures, links)
    return found, gain


def _mean_db(pictures: Sequence[np.ndarray], links: Sequence[Link]) -> float:
    from dreamzoom.sampling.depth_warp import reprojection_db

    return round(float(np.mean(reprojection_db(pictures, links))), 2)


def _padded(values: np.ndarray, multiple: int, mode: Literal["edge", "constant"] = "edge") -> np.ndarray:
    """Pad an array (H, W, ...) at the right and bottom to multiples of `multiple`."""
    more = [(0, -side % multiple) for side in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    return np.pad(values, more, mode) if multiple > 1 else values


def _seen(item: DreamedView, multiple: int) -> Seen:
    depth = _padded(np.nan_to_num(item.depth.astype(np.float64)), multiple, "constant")
    return Seen(replace(item.view.camera, width=depth.shape[1], height=depth.shape[0]), depth)


def _shot(level: LevelViews, number: int, multiple: int) -> Shot:
    from dreamzoom.sampling.second_pass import Shot

    picture = _padded(level.views[number].rgb, multiple)
    held = None
    if level.finished:
        held = np.ones(picture.shape[:2], bool)
    elif level.held is not None and number == 0:
        held = _padded(level.held, multiple, "constant")
    seed = (level.seed + 7919 * number) % 2**32
    return Shot(picture, level.prompt, seed, level.negative, level.guidance, held)


def _links(path: ZoomPath, flat, seen: Sequence[Seen], scale: int, report: Report) -> list[Link]:
    """Link the views that are compared: each anchor with the next level's anchor and with the side views of its own and
    the adjacent levels, and consecutive side views of a level.

    Args:
        path: Gives the similarities between the levels' frames.
        flat: (level, number of the view in the level) for all views.
        seen: The cameras and depths of the same views.
        scale: Pixels per latent pixel.
        report: Receives progress and raises `Cancelled`.
    """
    places = {(level.index, number): i for i, (level, number) in enumerate(flat)}
    pairs = []
    for level in sorted({level.index for level, _ in flat}):
        sides = [i for (k, number), i in places.items() if k == level and number]
        here, after = places[level, 0], places.get((level + 1, 0))
        pairs += [(i, here) for i in sides] + list(pairwise(sides))
        if after is not None:
            pairs += [(after, here)] + [(after, i) for i in sides]
            pairs += [(i, here) for (k, number), i in places.items() if k == level + 1 and number]
    around = [(a, b, flat[a][0].index, flat[b][0].index) for a, b in pairs]
    ends = places.get((0, 0)), places.get((path.levels - 1, 0))
    if path.loop and path.levels > 1 and None not in ends and (path.levels, 0) not in places:
        around.append((*ends, path.levels, path.levels - 1))
    links = []
    for number, (a, b, level, other) in enumerate(around):
        report.progress(0.0, f"comparing views, pair {number + 1} of {len(around)}")
        link = _link(path, (a, level, seen[a]), (b, other, seen[b]), scale)
        if link.warp.covered.mean() > MIN_OVERLAP:
            links.append(link)
    return links


def _link(path: ZoomPath, one: tuple[int, int, Seen], other: tuple[int, int, Seen], scale: int) -> Link:
    """Link two views (index, level, view). The finer one is the source; both are moved to the target's frame."""
    from dreamzoom.sampling.depth_warp import make_link

    size = [_pixel(view) * path.between(level, other[1]).scale for _, level, view in (one, other)]
    (a, level, source), (b, frame, target) = (one, other) if size[0] <= size[1] else (other, one)
    move = path.between(level, frame)
    moved = Seen(source.camera.moved(move), source.depth * move.scale)
    ratio = max(size) / max(min(size), 1e-30)
    return make_link(a, b, (moved, target), 1 if ratio > SAME_SCALE else 2, scale)


def _pixel(view: Seen) -> float:
    """The size of a pixel at the view's median depth, in the view's frame."""
    there = view.depth[view.depth > 0]
    return float(np.median(there)) / view.camera.fx if len(there) else math.inf

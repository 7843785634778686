"""Refine: all views of neighbouring levels sampled again, agreeing through aligned depth. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from dreamzoom.engines.base import Denoises
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.report import Report
from dreamzoom.stages.dream import Dreamed
from dreamzoom.zoom.denoiser import Prompt
from dreamzoom.zoom.second import Again, Shot, refine_views
from dreamzoom.zoom.warp import Link, Seen, make_link, reprojection_db

STRENGTH = 0.5
"""How far back the second pass starts, in log noise ratio: the layout stays, what depth moves is drawn anew."""

STEPS = 0.3
"""Its steps, as a share of the first pass's."""

LEVELS, PIXELS = 6, 12_000_000
"""The most levels sampled at once, and the most pixels of their views: more go one group after another."""

SAME_SCALE = 1.6
"""Views whose pixels differ in size by less than this meet at half resolution: their finest octave can't be compared
without blurring it."""

LEAST_OVERLAP = 0.02
"""Views are linked that share more than this part of the coarser one's picture."""


@dataclass(frozen=True)
class LevelViews:
    """One level as the second pass takes it.

    Attributes:
        index: On the path; in a loop it may count on past the last level.
        views: Anchor and side views with pictures and depth.
        prompt, negative, guidance, seed: Of the level.
        held: (H, W) bool, what stays of the anchor's picture; None for nothing.
        finished: Whether nothing of the level may change.
    """

    index: int
    views: Sequence[Dreamed]
    prompt: Prompt
    negative: Prompt
    guidance: float
    seed: int
    held: np.ndarray | None = None
    finished: bool = False


def groups(count: int, views: int, pixels: int) -> list[range]:
    """The levels that are sampled together, by their count, the views of each and the pixels of a view."""
    size = min(max(PIXELS // (views * pixels), 1), LEVELS)
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def options(sampling: dict[str, Any]) -> Again:
    """The second pass of an engine whose joint sampling runs with these arguments of `zoom.levels.stream_levels`."""
    kept = {name: sampling[name] for name in ("batch", "eta", "order") if name in sampling}
    return Again(STRENGTH, max(round(sampling.get("steps", 50) * STEPS), 2), **kept)


def refined(
    engine: Denoises, path: ZoomPath, levels: Sequence[LevelViews], report: Report
) -> tuple[dict[int, list[np.ndarray]], dict[str, Any]]:
    """The pictures of all views of the levels that are not finished, by the level's index.

    Returns:
        (H, W, 3) float32 sRGB in steps of 1/255, in the views' order; and what it gained: the count of links and the
        PSNR in dB of what linked views show of each other, before and after.
    """
    denoiser = engine.denoiser(report)
    flat = [(level, number) for level in levels for number in range(len(level.views))]
    seen = [_seen(level.views[number], denoiser.multiple) for level, number in flat]
    links = _links(path, flat, seen, denoiser.codec.scale, report)
    shots = [_shot(level, number, denoiser.multiple) for level, number in flat]
    pictures = [shot.picture for shot in shots]
    if links:
        pictures = refine_views(denoiser, shots, links, options(engine.sampling()), report)
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


def repainted(cloud: Cloud, dreamed: Sequence[Dreamed], pictures: Sequence[np.ndarray]) -> tuple[Cloud, list[Dreamed]]:
    """A level's points and views with the colours of refined pictures: each point takes that of the pixel it was
    lifted from.
    """
    rgb = cloud.rgb.copy()
    for number, (item, picture) in enumerate(zip(dreamed, pictures)):
        own = np.flatnonzero(cloud.view == number)
        pixel, _ = item.view.camera.project(cloud.position[own].astype(np.float64))
        height, width = picture.shape[:2]
        column = np.clip(np.floor(pixel[:, 0]).astype(int), 0, width - 1)
        row = np.clip(np.floor(pixel[:, 1]).astype(int), 0, height - 1)
        rgb[own] = picture[row, column]
    return replace(cloud, rgb=rgb), [replace(item, rgb=picture) for item, picture in zip(dreamed, pictures)]


def _mean_db(pictures: Sequence[np.ndarray], links: Sequence[Link]) -> float:
    return round(float(np.mean(reprojection_db(pictures, links))), 2)


def _padded(values: np.ndarray, multiple: int, mode: Literal["edge", "constant"] = "edge") -> np.ndarray:
    """Grown to the right and below to multiples that the model can take."""
    more = [(0, -side % multiple) for side in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    return np.pad(values, more, mode) if multiple > 1 else values


def _seen(item: Dreamed, multiple: int) -> Seen:
    depth = _padded(np.nan_to_num(item.depth.astype(np.float64)), multiple, "constant")
    return Seen(replace(item.view.camera, width=depth.shape[1], height=depth.shape[0]), depth)


def _shot(level: LevelViews, number: int, multiple: int) -> Shot:
    picture = _padded(level.views[number].rgb, multiple)
    held = None
    if level.finished:
        held = np.ones(picture.shape[:2], bool)
    elif level.held is not None and number == 0:
        held = _padded(level.held, multiple, "constant")
    seed = (level.seed + 7919 * number) % 2**32
    return Shot(picture, level.prompt, seed, level.negative, level.guidance, held)


def _links(path: ZoomPath, flat, seen: Sequence[Seen], scale: int, report: Report) -> list[Link]:
    """Which views are compared: anchors with the next and with all side views about them, side views in turn."""
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
        report.progress(0.0, f"linking views {number + 1} of {len(around)}")
        link = _link(path, (a, level, seen[a]), (b, other, seen[b]), scale)
        if link.warp.covered.mean() > LEAST_OVERLAP:
            links.append(link)
    return links


def _link(path: ZoomPath, one: tuple[int, int, Seen], other: tuple[int, int, Seen], scale: int) -> Link:
    """The finer of two views (place, level, view) becomes the source; both are brought to the frame of the target."""
    size = [_pixel(view) * path.between(level, other[1]).scale for _, level, view in (one, other)]
    (a, level, source), (b, frame, target) = (one, other) if size[0] <= size[1] else (other, one)
    move = path.between(level, frame)
    moved = Seen(source.camera.moved(move), source.depth * move.scale)
    ratio = max(size) / max(min(size), 1e-30)
    return make_link(a, b, (moved, target), 1 if ratio > SAME_SCALE else 2, scale)


def _pixel(view: Seen) -> float:
    """The size of a pixel at the middle depth, in the view's frame."""
    there = view.depth[view.depth > 0]
    return float(np.median(there)) / view.camera.fx if len(there) else math.inf

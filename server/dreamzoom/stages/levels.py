"""What a step sees of a level: its points and views in their final colours, and what coarser levels show around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera, Similarity
from core.gaussians import Gaussians, joined, moved
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.stages import plan
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import Inputs, Scope
from dreamzoom.stages.base.values import DreamedView, FinalPictures
from dreamzoom.zoom.warp import cells

FEATHER = 0.08
"""The share of an anchor view's half size, at its border, over which its splats thin out (`export`)."""


@dataclass(frozen=True)
class LevelPrompt:
    """What an engine is asked for in a level: its prompt, negative prompt and seed."""

    text: str
    negative: str
    seed: int


@dataclass(frozen=True)
class CoarserLevel:
    """How a coarser level lies in a level's frame.

    Attributes:
        to_level: From its frame to the level's.
        finer: In its own frame, the anchor camera of the level after it: what that shows more finely is left out.
    """

    to_level: Similarity
    finer: Camera


def parents(context: Context, scope: Scope) -> range:
    """The coarser levels that a level's cameras see."""
    return context.parents(scope.first)


def coarser_levels(context: Context, level: int, others: Sequence[int]) -> dict[int, CoarserLevel]:
    """How these coarser levels lie, coarse to fine."""
    found = {}
    for k in others:
        finer = plan.next_anchor(context, k)
        assert finer is not None
        found[k] = CoarserLevel(context.path.between(k, level), finer)
    return found


def known_points(clouds: Mapping[int, Cloud], coarser: Mapping[int, CoarserLevel]) -> Cloud:
    """The coarser levels' points in the frame of the level; of all but the last only what a finer one does not show."""
    found = [Cloud.empty()]
    for k, own in coarser.items():
        cloud = clouds[k]
        if k != max(coarser):
            cloud = cloud[~shown_finer(cloud.position, own.finer)]
        found.append(cloud.moved(own.to_level))
    return Cloud.joined(found)


def background(splats: Mapping[int, Gaussians], coarser: Mapping[int, CoarserLevel]) -> Gaussians | None:
    """The coarser levels' splats in the frame of the level, but for what a finer level shows; None for none."""
    parts = []
    for k, own in coarser.items():
        found = splats[k]
        parts.append(moved(found[~shown_finer(found.means, own.finer)], own.to_level))
    return joined(parts) if parts else None


def shown_finer(positions: np.ndarray, finer: Camera) -> np.ndarray:
    """Which points (N, 3) lie in the part of the view `finer` that is whole: (N,) bool.

    Those that others hide there are meant too: left behind, they would float before the finer surface.
    """
    pixels, depth = finer.project(positions)
    size = np.array([finer.width, finer.height])
    inside = (np.abs(2 * pixels / size - 1) < 1 - FEATHER).all(-1)
    return inside & (depth > 0)


def finished_level(inputs: Inputs) -> tuple[Cloud, list[DreamedView]]:
    """A level's points and views in their final colours, of "points", "views" and "pictures" (None where the colours
    are final already).
    """
    cloud, views, final = inputs["points"], inputs["views"], inputs["pictures"]
    return (cloud, views) if final is None else repainted(cloud, views, final)


def repainted(cloud: Cloud, views: Sequence[DreamedView], final: FinalPictures) -> tuple[Cloud, list[DreamedView]]:
    """A level's points and views with other pictures: each point changes with the pixel that it was lifted from."""
    rgb = cloud.rgb.copy()
    for number, (item, picture) in enumerate(zip(views, final.pictures)):
        own = np.flatnonzero(cloud.view == number)
        pixel, _ = item.view.camera.project(cloud.position[own].astype(np.float64))
        row, column, _ = cells(pixel, item.depth.shape)
        if final.by_difference:
            rgb[own] = np.clip(rgb[own] + (picture - item.rgb)[row, column], 0, 1)
        else:
            rgb[own] = picture[row, column]
    return replace(cloud, rgb=rgb), [replace(item, rgb=picture) for item, picture in zip(views, final.pictures)]


def level_prompt(context: Context, level: int) -> LevelPrompt:
    """The prompts and the seed of a level."""
    item = context.request.levels[level]
    return LevelPrompt(item.prompt, item.negative_prompt, context.request.level_seed(level))

"""What a step reads of levels: points and views in their final colours, and the coarser levels around a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera, Similarity
from core.gaussians import Gaussians, joined, moved
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.sampling.warp_areas import cells
from dreamzoom.stages import plan
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import Inputs, Scope
from dreamzoom.stages.base.values import DreamedView, FinalPictures

FEATHER = 0.08
"""Width of the border of an anchor view, as a share of its half size, over which its splats fade out (`export`)."""


@dataclass(frozen=True)
class LevelPrompt:
    """The prompt, negative prompt and seed of a level."""

    text: str
    negative: str
    seed: int


@dataclass(frozen=True)
class CoarserLevel:
    """The pose of a coarser level relative to a level.

    Attributes:
        to_level: Similarity from the coarser level's frame to the level's.
        finer: The anchor camera of the level after the coarser one, in the coarser level's frame. What this camera
            shows is superseded and left out.
    """

    to_level: Similarity
    finer: Camera


def parents(context: Context, scope: Scope) -> range:
    """The coarser levels that are visible from a level's cameras."""
    return context.parents(scope.first)


def coarser_levels(context: Context, level: int, others: Sequence[int]) -> dict[int, CoarserLevel]:
    """The poses of the levels `others` relative to `level`, coarse to fine."""
    found = {}
    for k in others:
        finer = plan.next_anchor(context, k)
        assert finer is not None
        found[k] = CoarserLevel(context.path.between(k, level), finer)
    return found


def known_points(clouds: Mapping[int, Cloud], coarser: Mapping[int, CoarserLevel]) -> Cloud:
    """The coarser levels' points in the frame of the level, without superseded points except in the finest of them.

    None counts as given by the artist: a picture of a coarser level is to gain detail in this one.
    """
    found = [Cloud.empty()]
    for k, own in coarser.items():
        cloud = clouds[k]
        if k != max(coarser):
            cloud = cloud[~shown_finer(cloud.position, own.finer)]
        found.append(replace(cloud.moved(own.to_level), given=np.zeros(len(cloud), bool)))
    return Cloud.joined(found)


def background(splats: Mapping[int, Gaussians], coarser: Mapping[int, CoarserLevel]) -> Gaussians | None:
    """The coarser levels' splats in the frame of the level, without superseded ones; None if there are none."""
    parts = []
    for k, own in coarser.items():
        found = splats[k]
        parts.append(moved(found[~shown_finer(found.means, own.finer)], own.to_level))
    return joined(parts) if parts else None


def shown_finer(positions: np.ndarray, finer: Camera, reach: np.ndarray | None = None) -> np.ndarray:
    """Which points (N, 3) lie inside the view `finer`, without its faded border: (N,) bool.

    Occluded points are included; if they were kept, they would float in front of the finer surface.

    Args:
        positions: The points.
        finer: The finer level's anchor camera.
        reach: (N,) radii of the points, which must lie inside too; 0 if None.
    """
    pixels, depth = finer.project(positions)
    size = np.array([finer.width, finer.height])
    room = np.full((len(positions), 1), 1 - FEATHER)
    if reach is not None:
        room = room - 2 * (reach * max(finer.fx, finer.fy) / np.maximum(depth, 1e-6))[:, None] / size
    inside = (np.abs(2 * pixels / size - 1) < room).all(-1)
    return inside & (depth > 0)


def finished_level(inputs: Inputs) -> tuple[Cloud, list[DreamedView]]:
    """A level's points and views in their final colours, from the inputs "points", "views" and "pictures" (None if the
    colours are final already).
    """
    cloud, views, final = inputs["points"], inputs["views"], inputs["pictures"]
    return (cloud, views) if final is None else repainted(cloud, views, final)


def repainted(cloud: Cloud, views: Sequence[DreamedView], final: FinalPictures) -> tuple[Cloud, list[DreamedView]]:
    """A level's points and views with new pictures; each point is recoloured like the pixel it was unprojected from."""
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

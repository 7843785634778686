"""Dream: a level's views one after another, each fitted to the cloud and joined to it. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dreamzoom.engines.base import COARSE, KNOWN, Engine, View
from dreamzoom.errors import DreamzoomError
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import Projection, project
from dreamzoom.report import Report
from dreamzoom.stages.align import align_view, with_given
from dreamzoom.stages.zoom import paint


@dataclass(frozen=True)
class Dreamed:
    """One view with its depth: what the splats will be fitted to.

    Attributes:
        view: The camera, in the level's frame.
        rgb: (H, W, 3) float32 sRGB.
        depth: (H, W) float32 z-depth in the level's frame, NaN where there is none.
        fresh: (H, W) bool, the pixels that gave new points.
    """

    view: View
    rgb: np.ndarray
    depth: np.ndarray
    fresh: np.ndarray


def parents_seen(parents: Cloud, view: View, factor: float) -> Projection:
    """What the levels above show of an anchor view. All of it is to be repainted more finely, so none is KNOWN."""
    seen = project(parents, view.camera, coarse_above=min(1.5, factor**0.5))
    seen.mask[seen.mask == KNOWN] = COARSE
    return seen


def level_cloud(
    engine: Engine,
    view: View,
    rgb: np.ndarray,
    seen: Projection,
    parents: Cloud,
    *,
    seed: int,
    given_depth: np.ndarray | None,
    side_views: Callable[[Cloud], list[View]],
    prompt: str,
    negative_prompt: str,
    report: Report,
) -> tuple[Cloud, list[Dreamed]]:
    """The cloud of one level: its anchor view lifted, then side views for what the flight will see through holes.

    Args:
        engine: What imagines.
        view: The anchor view A_k.
        rgb: (H, W, 3) float32 sRGB, its picture x_k.
        seen: What the levels above show of it.
        parents: Their points in the level's frame; they fill the side views' surroundings.
        seed, prompt, negative_prompt: Of the level.
        given_depth: (H, W) z-depth that the artist gave, NaN where unknown; None to ask the depth model.
        side_views: The views still needed, given the points so far.
        report: Progress and cancel.

    Returns:
        The level's own points (`view` counts the views from 0), and the views, the anchor first.
    """
    report.progress(0.05, "depth")
    depth = engine.depth(view, rgb, seed, report)
    report.progress(0.3, "align")
    if given_depth is None:
        aligned = align_view(depth, seen, view.camera, pin=True)
    else:
        seen = with_given(given_depth, seen, view.camera)
        aligned = align_view(depth, seen, view.camera, pin=False)
        settled = np.where(np.isfinite(given_depth), seen.depth, aligned.depth)
        aligned = replace(aligned, depth=settled.astype(np.float32))
    cloud = lift(view.camera, aligned.depth, rgb, view=0, confidence=aligned.confidence, edges=aligned.edges)
    if not len(cloud):
        raise DreamzoomError(
            f"level {view.level}: the depth model gave no usable depth for {view.name}",
            "change the level's prompt or seed, or choose another depth model",
        )
    dreamed = [Dreamed(view, rgb, aligned.depth, np.ones(rgb.shape[:2], bool))]
    wanted = side_views(cloud)
    for index, side in enumerate(wanted):
        report.progress(0.5 + 0.5 * index / len(wanted), f"side view {index + 1} of {len(wanted)}")
        around = project(Cloud.joined([cloud, parents]), side.camera)
        picture = paint(engine, side, around.rgb, around.mask, prompt, negative_prompt, seed, report)
        fitted = align_view(engine.depth(side, picture, seed, report), around, side.camera, pin=False)
        fresh = around.mask != KNOWN
        points = lift(
            side.camera,
            fitted.depth,
            picture,
            view=index + 1,
            keep=fresh,
            confidence=fitted.confidence,
            edges=fitted.edges,
        )
        cloud = Cloud.joined([cloud, points])
        dreamed.append(Dreamed(side, picture, fitted.depth, fresh))
    return cloud, dreamed

"""Dream: a level's views one after another, each fitted to the cloud and joined to it. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.engines.base import COARSE, KNOWN, Engine, View
from dreamzoom.errors import DreamzoomError
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, refine
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, thin
from dreamzoom.geometry.project import Projection, project
from dreamzoom.geometry.seam import Aligned
from dreamzoom.report import Report
from dreamzoom.stages.align import align_view, settle, with_given
from dreamzoom.stages.assets import NONE, Assets
from dreamzoom.stages.export import shown_finer
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
    most: int,
    report: Report,
    assets: Assets = NONE,
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
        side_views: The views still needed, given all points that will be seen.
        most: Points at the most; beyond that the surest of each cell stay.
        report: Progress and cancel.
        assets: The artist's own objects in the level's frame. Where they are seen no points arise.

    Returns:
        The level's own points (`view` counts the views from 0), and the views, the anchor first; their depth is NaN
        where assets are seen.
    """
    report.progress(0.05, "depth")
    depth = engine.depth(view, rgb, seed, report)
    report.progress(0.3, "align")
    owned, covered = assets.over(seen, view.camera, in_front=True)
    if assets.align:
        seen = owned
    if given_depth is None:
        aligned = align_view(depth, seen, view.camera, pin=not _at_focus(covered, view.camera))
    else:
        seen = with_given(given_depth, seen, view.camera)
        aligned = align_view(depth, seen, view.camera, pin=False)
        settled = np.where(np.isfinite(given_depth), seen.depth, aligned.depth)
        aligned = replace(aligned, depth=settled.astype(np.float32))
    first = Dreamed(view, rgb, np.where(covered, owned.depth, aligned.depth), ~covered)
    cloud = _points(first, aligned, 0)
    if not len(cloud) and not covered.all():
        raise DreamzoomError(
            f"level {view.level}: the depth model gave no usable depth for {view.name}",
            "change the level's prompt or seed, or choose another depth model",
        )
    dreamed = [first]
    fits = [aligned]
    outside = parents[~shown_finer(parents.position, view.camera)]  # what is left of them once this level has come
    wanted = side_views(Cloud.joined([cloud, outside, assets.cloud()]))
    owned_by_assets = [covered]
    for index, side in enumerate(wanted):
        report.progress(0.5 + 0.4 * index / len(wanted), f"side view {index + 1} of {len(wanted)}")
        seen = project(Cloud.joined([cloud, outside]), side.camera)
        around, covered = assets.over(seen, side.camera)
        picture = paint(engine, side, around.rgb, around.mask, prompt, negative_prompt, seed, report)
        known = around if assets.align else seen
        fitted = align_view(engine.depth(side, picture, seed, report), known, side.camera, pin=False)
        depth = np.where(covered, around.depth, fitted.depth)
        dreamed.append(Dreamed(side, picture, depth, around.mask != KNOWN))
        owned_by_assets.append(covered)
        fits.append(fitted)
        cloud = Cloud.joined([cloud, _points(dreamed[-1], fitted, index + 1)])
    if len(dreamed) > 1:
        report.progress(0.9, "fit all views together")
        cloud, dreamed = together(dreamed, fits, outside, assets)
    dreamed = [
        replace(item, depth=np.where(covered, np.float32(np.nan), item.depth))
        for item, covered in zip(dreamed, owned_by_assets, strict=True)
    ]
    return thin(cloud, most), dreamed


def together(
    dreamed: list[Dreamed], fits: list[Aligned], parents: Cloud, assets: Assets = NONE
) -> tuple[Cloud, list[Dreamed]]:
    """Correct all side views' depths at once over all overlaps, and join them anew to one cloud.

    The anchor view holds still: it carries the focus. A view adds points only where nothing as fine is there yet.

    Args:
        dreamed, fits: The views in order, the anchor first, each fitted alone.
        parents: What stays of the levels above, in the level's frame; seen, not returned.
        assets: The artist's own objects; likewise.
    """
    posed = [Posed(dreamed[0].view.camera, dreamed[0].depth, scale_doubt=1e-4, warp=0.0)]
    posed += [Posed(item.view.camera, item.depth) for item in dreamed[1:]]
    cloud, joined = _points(dreamed[0], fits[0], 0), dreamed[:1]
    for number, correction in enumerate(refine(posed)[1:], 1):
        item, fitted = dreamed[number], fits[number]
        seen, _ = assets.over(project(Cloud.joined([cloud, parents]), item.view.camera), item.view.camera)
        depth, edges = settle(glue(item.depth * np.exp(correction), seen, item.view.camera), item.view.camera)
        item = replace(item, depth=depth, fresh=seen.mask != KNOWN)
        cloud = Cloud.joined([cloud, _points(item, replace(fitted, edges=edges), number)])
        joined.append(item)
    return cloud, joined


def _at_focus(covered: np.ndarray, camera: Camera) -> bool:
    """Whether the pixel (H, W) of the focus is marked."""
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    return distance > 0 and 0 <= row < camera.height and 0 <= column < camera.width and bool(covered[row, column])


def _points(item: Dreamed, fitted: Aligned, number: int) -> Cloud:
    """The new points of a view, in the level's frame."""
    return lift(
        item.view.camera,
        item.depth,
        item.rgb,
        view=number,
        keep=item.fresh,
        confidence=fitted.confidence,
        edges=fitted.edges,
    )

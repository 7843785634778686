"""Dream: a level's views one after another, each fitted to the cloud and joined to it. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.engines.base import COARSE, KNOWN, Engine, View
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, refine
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, thin
from dreamzoom.geometry.photometric import Picture
from dreamzoom.geometry.project import Projection, project
from dreamzoom.geometry.seam import Aligned
from dreamzoom.report import Report
from dreamzoom.stages.align import align_by_pictures, align_view, settle, with_given
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


@dataclass(frozen=True)
class _Sight:
    """A view while its level is put together.

    Attributes:
        dreamed: With the true depth where assets are seen.
        fitted: How its own depth was aligned.
        covered: (H, W) bool, where assets are seen.
        beyond: (H, W) z-depth behind which it looks, through the assets; None for a view that sees them.
    """

    dreamed: Dreamed
    fitted: Aligned
    covered: np.ndarray
    beyond: np.ndarray | None = None


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
    others: Sequence[Picture] = (),
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
        assets: The artist's own objects in the level's frame. Where they are seen no points arise but behind them.
        others: Pictures of the same place from other anchors, in the level's frame, that the depth is measured in; none
            where pictures need not agree in 3D.

    Returns:
        The level's own points (`view` counts the views from 0), and the views, the anchor first; their depth is NaN
        where assets are seen.
    """
    report.progress(0.05, "depth")
    first = _anchor_sight(engine, view, rgb, seen, given_depth, assets, others, seed, report)
    sights, cloud = [first], _points(first.dreamed, first.fitted, 0)
    outside = parents[~shown_finer(parents.position, view.camera)]  # what is left of them once this level has come
    words = prompt, negative_prompt, seed, report

    def look(side: View, beyond: np.ndarray | None = None) -> Cloud:
        sight = _side_sight(engine, side, Cloud.joined([cloud, outside]), assets, beyond, *words)
        sights.append(sight)
        return Cloud.joined([cloud, _points(sight.dreamed, sight.fitted, len(sights) - 1)])

    if first.covered.any():
        report.progress(0.4, "what lies behind your objects")
        behind = replace(view, name=view.name.replace("anchor", "behind"))
        cloud = look(behind, np.where(first.covered, first.dreamed.depth, np.inf))
    wanted = side_views(Cloud.joined([cloud, outside, assets.cloud()]))
    for index, side in enumerate(wanted):
        report.progress(0.5 + 0.4 * index / len(wanted), f"side view {index + 1} of {len(wanted)}")
        cloud = look(side)
    if len(sights) > 1:
        report.progress(0.9, "fit all views together")
        cloud, sights = _together(sights, outside, assets, still=given_depth is not None or bool(others))
    return thin(cloud, most), [_without_assets(sight) for sight in sights]


def _anchor_sight(
    engine: Engine,
    view: View,
    rgb: np.ndarray,
    seen: Projection,
    given_depth: np.ndarray | None,
    assets: Assets,
    others: Sequence[Picture],
    seed: int,
    report: Report,
) -> _Sight:
    """The anchor view with its depth; arguments as of `level_cloud`."""
    depth = engine.depth(view, rgb, seed, report)
    report.progress(0.3, "align")
    owned, covered = assets.over(seen, view.camera, in_front=True)
    if assets.align:
        seen = owned
    if given_depth is None and others:
        aligned = align_by_pictures(depth, Picture(view.camera, rgb), others)
    elif given_depth is None:
        aligned = align_view(depth, seen, view.camera, pin=not _at_focus(covered, view.camera))
    else:
        seen = with_given(given_depth, seen, view.camera)
        aligned = align_view(depth, seen, view.camera, pin=False)
        settled = np.where(np.isfinite(given_depth), seen.depth, aligned.depth)
        aligned = replace(aligned, depth=settled.astype(np.float32))
    first = Dreamed(view, rgb, np.where(covered, owned.depth, aligned.depth), ~covered)
    if not len(_points(first, aligned, 0)) and not covered.all():
        raise DreamzoomError(
            f"level {view.level}: the depth model gave no usable depth for {view.name}",
            "change the level's prompt or seed, or choose another depth model",
        )
    return _Sight(first, aligned, covered)


def _side_sight(
    engine: Engine,
    side: View,
    known: Cloud,
    assets: Assets,
    beyond: np.ndarray | None,
    prompt: str,
    negative_prompt: str,
    seed: int,
    report: Report,
) -> _Sight:
    """A further view, painted where `known` shows nothing, with its depth.

    Args:
        beyond: (H, W) z-depth: the view takes no notice of assets, and gives points only behind it.
    """
    seen = project(known, side.camera)
    around, covered = (seen, np.zeros(seen.mask.shape, bool)) if beyond is not None else assets.over(seen, side.camera)
    picture = paint(engine, side, around.rgb, around.mask, prompt, negative_prompt, seed, report)
    to_fit = around if assets.align else seen
    fitted = align_view(engine.depth(side, picture, seed, report), to_fit, side.camera, pin=False)
    depth = np.where(covered, around.depth, fitted.depth)
    fresh = _fresh(around, depth, beyond)
    return _Sight(Dreamed(side, picture, depth, fresh), fitted, covered, beyond)


def _fresh(seen: Projection, depth: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """The pixels that give new points, (H, W) bool."""
    unseen = seen.mask != KNOWN
    return unseen if beyond is None else unseen & (depth > beyond)


def _without_assets(sight: _Sight) -> Dreamed:
    """A view as the splats are fitted to it: not where it shows assets."""
    return replace(sight.dreamed, depth=np.where(sight.covered, np.float32(np.nan), sight.dreamed.depth))


def _together(
    sights: list[_Sight], parents: Cloud, assets: Assets, *, still: bool = False
) -> tuple[Cloud, list[_Sight]]:
    """Correct all views' depths at once over all overlaps, and join them anew to one cloud.

    What the models said is corrected, not what each view's own fit made of it: that carries the bend of a strip
    through the picture. A view adds points only where nothing as fine is there yet.

    Args:
        sights: The views in order, the anchor first, each fitted alone.
        parents: What stays of the levels above, in the level's frame; seen, not returned.
        assets: The artist's own objects; likewise.
        still: Whether the anchor's depth is true. Else only its focus is.
    """
    depths = [_without_assets(sight).depth * np.exp(-_bend(sight)) for sight in sights[1:]]
    first = sights[0]
    posed = [_anchor_posed(first, still)]
    posed += [Posed(sight.dreamed.view.camera, depth) for sight, depth in zip(sights[1:], depths)]
    corrections = refine(posed)
    first = replace(first, dreamed=replace(first.dreamed, depth=first.dreamed.depth * np.exp(corrections[0])))
    cloud, joined = _points(first.dreamed, first.fitted, 0), [first]
    for number, correction in enumerate(corrections[1:], 1):
        sight, item = sights[number], sights[number].dreamed
        correction = correction - _bend(sight)
        seen = project(Cloud.joined([cloud, parents]), item.view.camera)
        if sight.beyond is None:
            seen, _ = assets.over(seen, item.view.camera)
        depth, edges = settle(glue(item.depth * np.exp(correction), seen, item.view.camera), item.view.camera)
        item = replace(item, depth=depth, fresh=_fresh(seen, depth, sight.beyond))
        cloud = Cloud.joined([cloud, _points(item, replace(sight.fitted, edges=edges), number)])
        joined.append(replace(sight, dreamed=item))
    return cloud, joined


def _bend(sight: _Sight) -> np.ndarray:
    """What a view's own fit did to its depth beside a factor, (H, W): the logarithm of it."""
    field = sight.fitted.correction
    return field - np.median(field)


def _anchor_posed(sight: _Sight, still: bool) -> Posed:
    """The anchor view for the joint solve: as it is, or free to bend about the focus."""
    item = sight.dreamed
    (x, y), distance = item.view.camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    height, width = item.depth.shape
    if still or sight.covered.any() or not (distance > 0 and 0 <= row < height and 0 <= column < width):
        return Posed(item.view.camera, _without_assets(sight).depth, scale_doubt=1e-4, warp=0.0)
    return Posed(item.view.camera, item.depth, scale_doubt=0.05, held=(row, column))


def _at_focus(covered: np.ndarray, camera: Camera) -> bool:
    """Whether the pixel (H, W) of the focus is marked."""
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    inside = distance > 0 and 0 <= row < camera.height and 0 <= column < camera.width
    return bool(inside and covered[row, column])


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

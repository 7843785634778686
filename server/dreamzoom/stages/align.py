"""Align: correct the depths of a level's views jointly over all overlaps, and merge their points into one cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint_depth_alignment import Posed, align_jointly
from dreamzoom.geometry.merge import glue, thin
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.view import View
from dreamzoom.progress import Report
from dreamzoom.stages import plan
from dreamzoom.stages.assets import AssetFiles, Assets
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import Inputs, Outputs, Scope, Stage, each, own
from dreamzoom.stages.base.values import DreamedView, FittedLevel, FittedView
from dreamzoom.stages.dream import behind_assets
from dreamzoom.stages.given import asset_files
from dreamzoom.stages.levels import CoarserLevel, coarser_levels, known_points, parents, shown_finer
from dreamzoom.stages.own.scene import SceneFile, scene_of
from dreamzoom.stages.view_depth import assign_mixed, fresh_pixels, lifted_points


@dataclass(frozen=True)
class Parameters:
    """What the level's cloud depends on besides its views.

    Attributes:
        anchor: The anchor view.
        coarser: Poses of the coarser levels whose points are visible.
        assets: The artist's own objects.
        scene: The artist's own scene of splats, which is level 0.
        most: Maximum number of points; if there are more, the most confident points of each grid cell are kept.
    """

    anchor: View
    coarser: Mapping[int, CoarserLevel]
    assets: AssetFiles
    scene: SceneFile | None
    most: int


def _parameters(context: Context, scope: Scope) -> Parameters:
    level = scope.first
    return Parameters(
        plan.anchor(context.path, level, context.quality),
        coarser_levels(context, level, context.parents(level)),
        asset_files(context, level),
        scene_of(context, level),
        context.quality.points,
    )


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Outputs:
    level: FittedLevel = inputs["fitted"]
    if len(level.views) > 1:
        report.progress(0.0, "aligning the depths of all views")
        known = known_points(inputs["parents"], parameters.coarser)
        outside = known[~shown_finer(known.position, parameters.anchor.camera)]
        assets = parameters.assets.load()
        if parameters.scene is not None:
            assets = parameters.scene.around(parameters.anchor.camera, assets)
        cloud, level = merged(level, outside, assets)
    else:
        cloud = lifted_points(level.views[0].dreamed, level.views[0], 0)
    views = [without_assets(view) for view in level.views]
    return {"points": thin(cloud, parameters.most), "views": views, "depth": {"depth": views[0].depth}}


ALIGN = Stage(
    name="align",
    version=3,
    reads={"fitted": own(layout.FITTED_VIEWS), "parents": each(layout.POINTS, parents)},
    writes={"points": layout.POINTS, "views": layout.VIEWS, "depth": layout.DEPTH},
    parameters=_parameters,
    run=_run,
    shown_as="align",
    weight=0.6,
)


def merged(level: FittedLevel, parents: Cloud, assets: Assets) -> tuple[Cloud, FittedLevel]:
    """Correct the depths of all views jointly over all overlaps, and merge their points into one cloud.

    The correction is applied to the depth models' estimates, without the smooth part of each view's own alignment,
    which extrapolates the distortion of a narrow overlap to the whole picture. A view adds points only where the cloud
    has none of the same resolution yet.

    Args:
        level: The views in order, the anchor first, each aligned on its own.
        parents: The coarser levels' points that are not superseded, in the level's frame; not part of the result.
        assets: The artist's own objects; not part of the result.

    Returns:
        The level's own points, with the index of their view in `view`; and the views with corrected depths.
    """
    first, *others = level.views
    corrections = align_jointly(_posed(level.views, fixed=level.anchor_fixed))
    beyond = behind_assets(first)
    item = replace(first.dreamed, depth=first.dreamed.depth * np.exp(corrections[0]))
    found = [replace(first, dreamed=item)]
    cloud = lifted_points(item, first, 0)
    for number, (view, correction) in enumerate(zip(others, corrections[1:]), 1):
        item, camera = view.dreamed, view.dreamed.view.camera
        seen = project(Cloud.joined([cloud, parents]), camera)
        if not view.behind:
            seen, _ = assets.over(seen, camera)
        corrected = item.depth * np.exp(correction - _smooth_correction(view))
        depth, edges = assign_mixed(glue(corrected, seen, camera), camera)
        item = replace(item, depth=depth, fresh=fresh_pixels(seen, depth, beyond if view.behind else None))
        found.append(replace(view, dreamed=item, edges=edges))
        cloud = Cloud.joined([cloud, lifted_points(item, found[-1], number)])
    return cloud, replace(level, views=found)


def without_assets(view: FittedView) -> DreamedView:
    """The view without depth (NaN) where it shows the artist's own objects, as used for the splat fit."""
    return replace(view.dreamed, depth=np.where(view.covered, np.float32(np.nan), view.dreamed.depth))


def _posed(views: Sequence[FittedView], *, fixed: bool) -> list[Posed]:
    """The views for the joint alignment: the anchor first; the others without the smooth part of their alignment."""
    others = [
        Posed(view.dreamed.view.camera, without_assets(view).depth * np.exp(-_smooth_correction(view)))
        for view in views[1:]
    ]
    return [_posed_anchor(views[0], fixed), *others]


def _smooth_correction(view: FittedView) -> np.ndarray:
    """The log-depth correction of a view's own alignment, without its constant part (the scale): (H, W)."""
    return view.correction - np.median(view.correction)


def _posed_anchor(view: FittedView, fixed: bool) -> Posed:
    """The anchor view for the joint alignment: fixed, or free to deform with the depth at the focus held."""
    item = view.dreamed
    (x, y), distance = item.view.camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    height, width = item.depth.shape
    if fixed or view.covered.any() or not (distance > 0 and 0 <= row < height and 0 <= column < width):
        return Posed(item.view.camera, without_assets(view).depth, log_scale_std=1e-4, warp=0.0)
    return Posed(item.view.camera, item.depth, log_scale_std=0.05, held=(row, column))

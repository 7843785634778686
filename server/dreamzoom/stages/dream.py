"""Dream: a level's views one after another. Each is painted where nothing is known yet, and its depth is aligned on its
own to the known points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core import fading
from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.engines.base import Engine
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.depth_alignment import Aligned
from dreamzoom.geometry.photometric_depth import Picture
from dreamzoom.geometry.point_rendering import Projection, project
from dreamzoom.geometry.view import View
from dreamzoom.geometry.view_planning import MOST_PLACES, along, views_of_holes
from dreamzoom.progress import Report
from dreamzoom.stages import plan
from dreamzoom.stages.assets import AssetFiles, Assets
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.quality import LARGE_HOLE
from dreamzoom.stages.base.stage import ENGINE, Inputs, Outputs, Scope, Stage, each, own
from dreamzoom.stages.base.values import DreamedView, FittedLevel, FittedView
from dreamzoom.stages.given import GivenFile, GivenPixels, asset_files, centred, given_depth, given_pixels
from dreamzoom.stages.levels import (
    CoarserLevel,
    LevelPrompt,
    coarser_levels,
    known_points,
    level_prompt,
    parents,
    shown_finer,
)
from dreamzoom.stages.own.scene import SceneFile, scene_of
from dreamzoom.stages.view_depth import (
    align_by_pictures,
    align_view,
    assign_mixed,
    fresh_pixels,
    lifted_points,
    through_focus,
    with_given,
)
from dreamzoom.stages.zoom import level_image, paint, parents_seen

LATER_ZOOM = 0.4
"""The zoom u of the second view of the first level (`_later_view`)."""


@dataclass(frozen=True)
class Parameters:
    """What a level's views depend on.

    Attributes:
        anchor: The anchor view A_k.
        prompt: Prompts and seed of the level.
        factor: The zoom factor p.
        given: The pixels of the level's picture that the artist gives.
        depth: The artist's own depth map.
        scene: The artist's own scene of splats, which is level 0.
        assets: The artist's own objects.
        coarser: Poses of the coarser levels whose points are visible.
        compared: For multiview-consistent engines: the neighbouring levels' anchor cameras in this level's frame.
        later: For multiview-consistent engines and the first level: a view from slightly later on the path, which
            replaces the missing coarser level.
        places: (zoom, camera in the level's frame) on the flight; candidates for side views.
        hole_share, large_hole: Share of a picture from which holes count, and from which they count as large.
        side_views: Maximum number of views for small holes.
    """

    anchor: View
    prompt: LevelPrompt
    factor: float
    given: GivenPixels
    depth: GivenFile | None
    scene: SceneFile | None
    assets: AssetFiles
    coarser: Mapping[int, CoarserLevel]
    compared: Mapping[int, Camera]
    later: View | None
    places: Sequence[tuple[float, Camera]]
    hole_share: float
    large_hole: float
    side_views: int


def _parameters(context: Context, scope: Scope) -> Parameters:
    level = scope.first
    return Parameters(
        plan.anchor(context.path, level, context.quality),
        level_prompt(context, level),
        context.path.factor,
        given_pixels(context, level),
        given_depth(context, level),
        scene_of(context, level),
        asset_files(context, level),
        coarser_levels(context, level, context.parents(level)),
        {k: plan.anchor_in(context, k, level) for k in _compared_levels(context, scope)},
        _later_view(context, level),
        along(context.path, level, MOST_PLACES, before=1 - fading.CLOSES_FROM),
        context.quality.hole_share,
        LARGE_HOLE,
        context.quality.side_views,
    )


def _compared_levels(context: Context, scope: Scope) -> Sequence[int]:
    """The levels whose pictures are compared with this level's to estimate its depth: its neighbours if all pictures
    are multiview-consistent, else none.
    """
    return context.neighbours(scope.first) if context.consistent else ()


def _later_view(context: Context, level: int) -> View | None:
    """For the first level, which has no coarser level to compare pictures with: a view from slightly later on the
    path, which shows nearly everything that the first frames show. None for other levels and engines.
    """
    if not context.consistent or level or context.path.loop:
        return None
    camera = context.path.camera(LATER_ZOOM, level).widened(plan.overscan(context.path, context.quality))
    return View(f"{level:03d}/later", level, LATER_ZOOM, camera)


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Outputs:
    rgb, engine, view = inputs["picture"], inputs["engine"], parameters.anchor
    depth = parameters.depth and centred(parameters.depth.depth(report), rgb.shape[:2])
    known = known_points(inputs["parents"], parameters.coarser)
    others = [Picture(camera, inputs["neighbours"][k]) for k, camera in parameters.compared.items()]
    if parameters.later is not None:
        nothing = parents_seen(Cloud.empty(), parameters.later, parameters.factor)
        later = level_image(engine, parameters.later, nothing, parameters.prompt, None, report)
        others.append(Picture(parameters.later.camera, later))
    seen, scene, direct = parents_seen(known, view, parameters.factor), parameters.scene, None
    assets = around = parameters.assets.load(report)
    if scene is not None:
        around = scene.around(view.camera, assets)
        if scene.level:
            seen, direct = scene.over(seen, view.camera)
        else:
            depth = scene.depth(view.camera)
            depth = depth if np.isfinite(depth).any() else None
    level = dreamed_level(
        engine,
        view,
        rgb,
        seen,
        known,
        prompt=parameters.prompt,
        given=parameters.given.photo_mask(),
        given_depth=depth,
        side_views=lambda cloud: _side_views(parameters, cloud),
        assets=assets,
        around=around,
        direct=direct,
        in_scene=scene is not None,
        others=others,
        report=report,
    )
    return {"fitted": level}


def _side_views(parameters: Parameters, cloud: Cloud) -> list[View]:
    return views_of_holes(
        parameters.places,
        parameters.anchor.level,
        cloud,
        limit=parameters.hole_share,
        most=parameters.side_views,
        large=parameters.large_hole,
    )


DREAM = Stage(
    name="dream",
    version=13,
    reads={
        "engine": ENGINE,
        "picture": own(layout.FIRST_PICTURE),
        "parents": each(layout.POINTS, parents),
        "neighbours": each(layout.FIRST_PICTURE, _compared_levels),
    },
    writes={"fitted": layout.FITTED_VIEWS},
    parameters=_parameters,
    run=_run,
    shown_as="dream",
    weight=2.5,
)


def dreamed_level(
    engine: Engine,
    view: View,
    rgb: np.ndarray,
    seen: Projection,
    parents: Cloud,
    *,
    prompt: LevelPrompt,
    given: np.ndarray | None = None,
    given_depth: np.ndarray | None,
    side_views: Callable[[Cloud], list[View]],
    assets: Assets,
    around: Assets | None = None,
    direct: np.ndarray | None = None,
    in_scene: bool = False,
    others: Sequence[Picture],
    report: Report,
) -> FittedLevel:
    """Dream a level's views: its anchor view, then side views for the holes that become visible during the flight.

    Args:
        engine: Paints the pictures and estimates their depth.
        view: The anchor view A_k.
        rgb: (H, W, 3) float32 sRGB, its picture x_k.
        seen: The coarser levels' points projected into the anchor view.
        parents: The coarser levels' points in this level's frame; they fill the surroundings of the side views.
        prompt: Prompts and seed of the level.
        given: (H, W) bool, the anchor's pixels of the artist's own picture; no view paints over what they show.
        given_depth: (H, W) z-depth given by the artist, NaN where unknown; None to use the depth model.
        side_views: Returns the side views that are needed, given all points that will be visible.
        assets: The artist's own objects in the level's frame. Where they are visible, points are added only behind
            them.
        around: What side views know besides: the same objects, and the artist's scene; None for the objects alone.
        direct: (H, W) bool, the pixels of `seen` that show the artist's scene itself; None for none.
        in_scene: Whether the first level is the artist's scene: then given depth is in the frame's unit.
        others: Multiview-consistent pictures from other anchors, in the level's frame, used to estimate the depth;
            empty if the pictures are not multiview-consistent.
        report: Receives progress and raises `Cancelled`.
    """
    report.progress(0.05, "depth")
    around = assets if around is None else around
    follow = (seen.ids >= 0) & parents.measured[np.maximum(seen.ids, 0)] if parents.measured.any() else None
    if direct is not None:
        follow = direct if follow is None else follow | direct
    first = _anchor_view(engine, view, rgb, seen, given_depth, follow, in_scene, assets, others, prompt, report)
    first = replace(first, given=given, measured=follow if given_depth is None else np.isfinite(given_depth))
    found, cloud = [first], lifted_points(first.dreamed, first, 0)
    outside = parents[~shown_finer(parents.position, view.camera)]  # what remains visible of them around this level

    def add_view(side: View, beyond: np.ndarray | None = None) -> Cloud:
        fitted = _side_view(engine, side, Cloud.joined([cloud, outside]), around, beyond, prompt, report)
        found.append(fitted)
        return Cloud.joined([cloud, lifted_points(fitted.dreamed, fitted, len(found) - 1)])

    if first.covered.any():
        report.progress(0.4, "painting what is behind your objects")
        behind = replace(view, name=view.name.replace("anchor", "behind"))
        cloud = add_view(behind, behind_assets(first))
    wanted = side_views(Cloud.joined([cloud, outside, around.cloud()]))
    for index, side in enumerate(wanted):
        report.progress(0.5 + 0.5 * index / len(wanted), f"side view {index + 1} of {len(wanted)}")
        cloud = add_view(side)
    return FittedLevel(found, given_depth is not None or bool(others) or follow is not None)


def behind_assets(anchor: FittedView) -> np.ndarray:
    """(H, W) z-depth of the artist's own objects in the anchor view, infinite where none is visible."""
    return np.where(anchor.covered, anchor.dreamed.depth, np.inf)


def _anchor_view(
    engine: Engine,
    view: View,
    rgb: np.ndarray,
    seen: Projection,
    given_depth: np.ndarray | None,
    follow: np.ndarray | None,
    in_scene: bool,
    assets: Assets,
    others: Sequence[Picture],
    prompt: LevelPrompt,
    report: Report,
) -> FittedView:
    """The anchor view with its depth.

    Args:
        follow: (H, W) bool, where the coarser levels' depth is kept because it follows the artist's; None for nowhere.
        engine, view, rgb, seen, given_depth, in_scene, assets, others, prompt, report: As in `dreamed_level`.
    """
    owned, covered = assets.over(seen, view.camera, in_front=True)
    shown = owned if given_depth is None else with_given(given_depth, owned, view.camera, exact=in_scene)
    depth = engine.depth(view, rgb, prompt.seed, report, shown.depth)
    report.progress(0.3, "align")
    known = seen.depth
    if assets.align:
        seen = owned
    if given_depth is None and others:
        aligned = align_by_pictures(depth, Picture(view.camera, rgb), others)
    elif given_depth is None:
        aligned = align_view(depth, seen, view.camera, pin=not _covers_focus(covered, view.camera))
    else:
        seen = with_given(given_depth, seen, view.camera, exact=in_scene)
        aligned = align_view(depth, seen, view.camera, pin=False)
        fixed = np.where(np.isfinite(given_depth), seen.depth, aligned.depth)
        aligned = replace(aligned, depth=fixed.astype(np.float32))
    if given_depth is None and follow is not None:
        if in_scene:
            known = known * through_focus(np.where(follow, known, np.nan), view.camera)
        assigned, edges = assign_mixed(np.where(follow, known, aligned.depth), view.camera)
        aligned = replace(aligned, depth=assigned, edges=edges)
    dreamed = DreamedView(view, rgb, np.where(covered, owned.depth, aligned.depth), ~covered)
    first = _fitted(dreamed, aligned, covered)
    if not len(lifted_points(dreamed, first, 0)) and not covered.all():
        raise DreamzoomError(
            f"level {view.level}: the depth model gave no usable depth for {view.name}",
            "change the level's prompt or seed, or choose another depth model",
        )
    return first


def _side_view(
    engine: Engine,
    side: View,
    known: Cloud,
    assets: Assets,
    beyond: np.ndarray | None,
    prompt: LevelPrompt,
    report: Report,
) -> FittedView:
    """A side view, painted where it shows no point of `known`, with its depth.

    Args:
        beyond: (H, W) z-depth; if given, the view ignores the assets and adds points only behind this depth.
    """
    seen = project(known, side.camera)
    around, covered = (seen, np.zeros(seen.mask.shape, bool)) if beyond is not None else assets.over(seen, side.camera)
    picture = paint(engine, side, around.rgb, around.mask, prompt, report)
    to_fit = around if assets.align else seen
    depth_map = engine.depth(side, picture, prompt.seed, report, around.depth)
    aligned = align_view(depth_map, to_fit, side.camera, pin=False)
    depth = np.where(covered, around.depth, aligned.depth)
    fresh = fresh_pixels(around, depth, beyond)
    return _fitted(DreamedView(side, picture, depth, fresh), aligned, covered, behind=beyond is not None)


def _fitted(dreamed: DreamedView, aligned: Aligned, covered: np.ndarray, *, behind: bool = False) -> FittedView:
    return FittedView(dreamed, covered, aligned.correction, aligned.confidence, aligned.edges, behind)


def _covers_focus(covered: np.ndarray, camera: Camera) -> bool:
    """Whether `covered` (H, W) is true at the pixel that shows the focus."""
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    inside = distance > 0 and 0 <= row < camera.height and 0 <= column < camera.width
    return bool(inside and covered[row, column])

"""Export: a level's final files, and the result.json that lists the files of all levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from core.camera import Camera, Similarity
from core.gaussians import Gaussians, moved
from core.protocol.result import VERSION
from core.safety.seal import sealed
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.progress import Report
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import plan
from dreamzoom.stages.assets import AssetFiles
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import PARENTS, Context
from dreamzoom.stages.base.digest import digest_of
from dreamzoom.stages.base.stage import ENGINE, EXPORTS, Inputs, Outputs, Scope, Stage, each, own, whole_job
from dreamzoom.stages.fill_gaps import filled
from dreamzoom.stages.given import asset_files
from dreamzoom.stages.levels import FEATHER, CoarserLevel, coarser_levels, finished_level, parents, shown_finer
from dreamzoom.stages.own.notes import notes_of, own_files
from dreamzoom.stages.own.scene import first_level_scene

PREVIEW_SIDE = 384
"""Maximum length of a level preview's longer side, in pixels."""


@dataclass(frozen=True)
class Parameters:
    """What the exported files of a level depend on besides its splats and points.

    Attributes:
        anchor: The level's anchor camera.
        finer: The next level's anchor camera in this level's frame; None if there is no next level.
        feathered: Whether the splats fade out at the border of the anchor view.
        flight: The cameras on the level's flight for which gaps are filled.
        preview: The camera of the preview.
        to_level: Similarities from each coarser level's frame to this level's.
        before: For a loop's first level: poses of the last levels, which are visible before it is shown again.
        anchors_before: The anchor cameras of those levels, each in its own frame.
        assets: The artist's own objects.
        in_scene: Whether the level is the artist's own scene of splats, whose sizes vary.
    """

    anchor: Camera
    finer: Camera | None
    feathered: bool
    flight: Sequence[Camera]
    preview: Camera
    to_level: Mapping[int, Similarity]
    before: Mapping[int, CoarserLevel]
    anchors_before: Mapping[int, Camera]
    assets: AssetFiles
    in_scene: bool


def _before(context: Context, scope: Scope) -> range:
    """The levels that a looping flight shows before it reaches its first level again, as negative indices."""
    there = context.path.loop and scope.first == 0
    return range(max(-PARENTS, 1 - context.path.levels), 0) if there else range(0)


def _parameters(context: Context, scope: Scope) -> Parameters:
    path, level = context.path, scope.first
    before = _before(context, scope)
    camera = path.camera(float(level), level)
    scale = min(1.0, PREVIEW_SIDE / max(camera.width, camera.height))
    small = camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))
    return Parameters(
        plan.anchor_in(context, level, level),
        plan.next_anchor(context, level),
        level > 0 or path.loop,
        plan.gap_cameras(path, level, context.quality),
        small,
        {k: path.between(k, level) for k in context.parents(level)},
        coarser_levels(context, level, before),
        {k: plan.anchor_in(context, k, k) for k in before},
        asset_files(context, level),
        first_level_scene(context, level) is not None,
    )


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Outputs:
    fitted = inputs["fitted"]
    cloud, _ = finished_level(inputs)
    shown = feathered(fitted, parameters.anchor) if parameters.feathered else fitted
    shown = filled(shown, _around(inputs, parameters), parameters.flight, report)
    splats, cloud = mark_superseded(shown, cloud, parameters.finer, whole=parameters.in_scene)
    return {
        "splats": splats,
        "cloud": cloud,
        "preview": rasterize(fitted, parameters.preview).rgb,
        "counts": {"points": len(cloud), "splat_count": len(splats)},
    }


def _around(inputs: Inputs, parameters: Parameters) -> list[Gaussians]:
    """What is visible around a level once it is fully opaque, in its frame: the coarser levels' splats that are not
    superseded, and the artist's own objects.
    """
    parts = []
    for k, to_level in parameters.to_level.items():
        splats = inputs["parents"][k]
        parts.append(moved(splats[splats.extra["superseded"] == 0], to_level))
    for k, own_place in parameters.before.items():
        splats = feathered(inputs["before"][k], parameters.anchors_before[k])
        parts.append(moved(splats[~shown_finer(splats.means, own_place.finer)], own_place.to_level))
    objects = parameters.assets.load().splats
    return parts if objects is None else [*parts, objects]


EXPORT = Stage(
    name="export",
    version=7,
    reads={
        "fitted": own(layout.FITTED_SPLATS),
        "points": own(layout.POINTS),
        "views": own(layout.VIEWS),
        "pictures": own(layout.FINAL_PICTURES, optional=True),
        "parents": each(layout.SPLATS, parents),
        "before": each(layout.FITTED_SPLATS, _before),
    },
    writes={
        "splats": layout.SPLATS,
        "cloud": layout.CLOUD,
        "preview": layout.PREVIEW,
        "counts": layout.COUNTS,
    },
    parameters=_parameters,
    run=_run,
    shown_as="export",
    weight=lambda context, scope: 0.25 * context.quality.places,
)


def _every_level(context: Context, scope: Scope) -> range:
    return scope.levels


def _result_parameters(context: Context, scope: Scope) -> dict[str, Any]:
    request = context.request
    levels = [
        {
            "index": index,
            "prompt": item.prompt,
            "negative_prompt": item.negative_prompt,
            "seed": request.level_seed(index),
            "focus": list(item.focus or (0.0, 0.0, 0.0)),
            "image": layout.PICTURE.path(index),
            "cloud": layout.CLOUD.path(index),
            "splats": layout.SPLATS.path(index),
            "preview": layout.PREVIEW.path(index),
        }
        | ({"key": item.key} if item.key else {})
        for index, item in enumerate(request.levels)
    ]
    return {"request": msgspec.to_builtins(request), "levels": levels, "files": own_files(context)}


def _result(inputs: Inputs, parameters: dict[str, Any], report: Report) -> Outputs:
    request = parameters["request"]
    result: dict[str, Any] = {
        "version": VERSION,
        "request_digest": digest_of(request),
        "seed": request["seed"],
        "quality": request["quality"],
        "engine": inputs["engine"].identity(),
        "zoom_factor": request["zoom_factor"],
        "width": request["width"],
        "height": request["height"],
        "levels": [level | inputs["counts"][level["index"]] for level in parameters["levels"]],
        "cameras": request["cameras"],
        "notes": notes_of(parameters["files"], [level["prompt"] for level in request["levels"]], report),
        "files": inputs["files"],
    }
    return {"result": sealed(result)}


RESULT = Stage(
    name="result",
    version=3,
    reads={"engine": ENGINE, "counts": each(layout.COUNTS, _every_level), "files": EXPORTS},
    writes={"result": layout.RESULT},
    parameters=_result_parameters,
    run=_result,
    shown_as="export",
    scopes=whole_job,
    weight=0.1,
)


def feathered(splats: Gaussians, anchor: Camera) -> Gaussians:
    """Fade out a level's splats towards the border of its anchor view, so that its outline is not visible.

    Args:
        splats: In the level's frame.
        anchor: The camera of A_k.

    Returns:
        The splats, with opacity falling to 0 over the outer `FEATHER` of the view. Splats outside the view (from side
        views) are unchanged.
    """
    pixels, depth = anchor.project(splats.means)
    size = np.array([anchor.width, anchor.height])
    edge = np.minimum(pixels, size - pixels) / (FEATHER * size / 2)
    ramp = np.clip(edge, 0, 1)
    share = np.prod(ramp * ramp * (3 - 2 * ramp), axis=1)
    share = np.where((edge < 0).any(1) | (depth <= 0), 1, share)
    opacity = np.clip(splats.opacities * share, 1e-6, 1 - 1e-6)
    logits = np.where(share < 1, np.log(opacity / (1 - opacity)), splats.logit_opacities)
    return replace(splats, logit_opacities=logits.astype(np.float32))


def mark_superseded(
    splats: Gaussians, cloud: Cloud, finer: Camera | None, *, whole: bool = False
) -> tuple[Gaussians, Cloud]:
    """Mark the splats and points that the next level shows in finer detail (column `superseded`).

    This depends only on the next anchor's camera, not on its picture, so a changed prompt of the next level leaves this
    level's files unchanged.

    Args:
        splats, cloud: Of one level, in its frame.
        finer: The camera of A_{k+1} in the same frame; None for the last level.
        whole: Whether splats must lie inside that view as a whole, to two standard deviations; for large ones.
    """
    if finer is None:
        none = np.zeros(len(splats), np.uint8)
        return replace(splats, extra=splats.extra | {"superseded": none}), cloud
    reach = 2 * np.exp(splats.log_scales.max(1)) if whole and len(splats) else None
    marks = shown_finer(splats.means, finer, reach).astype(np.uint8)
    marked = replace(splats, extra=splats.extra | {"superseded": marks})
    return marked, replace(cloud, superseded=shown_finer(cloud.position, finer))

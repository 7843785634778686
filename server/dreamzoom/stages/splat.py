"""Splat: the level's cloud becomes surfels, fitted to every view of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.edges import behind_edges, find_edges
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import UNKNOWN
from dreamzoom.geometry.views import bridges, support_cameras
from dreamzoom.report import Report
from dreamzoom.splats.fit import fit
from dreamzoom.splats.initial import initial
from dreamzoom.splats.target import Target
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import Inputs, Outputs, Scope, Stage, each, own
from dreamzoom.stages.base.values import DreamedView
from dreamzoom.stages.levels import CoarserLevel, background, coarser_levels, finished_level

BACKED = 20
"""From so many iterations on a fit sees the coarser levels; in fewer it does not learn to work around them."""


@dataclass(frozen=True)
class Parameters:
    """What a fit depends on beside cloud and views.

    Attributes:
        iterations, cap: Steps of the fit, and the most splats.
        supports: The count of further cameras (`level_splats`).
        seed: The level's.
        coarser: How the coarser levels lie that the fit sees.
    """

    iterations: int
    cap: int
    supports: int
    seed: int
    coarser: Mapping[int, CoarserLevel]


def _seen(context: Context, scope: Scope) -> range:
    """The coarser levels that a fit sees."""
    return context.parents(scope.first) if context.quality.iterations >= BACKED else range(0)


def _parameters(context: Context, scope: Scope) -> Parameters:
    quality = context.quality
    return Parameters(
        quality.iterations,
        quality.cap,
        quality.supports,
        context.request.level_seed(scope.first),
        coarser_levels(context, scope.first, _seen(context, scope)),
    )


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Outputs:
    cloud, dreamed = finished_level(inputs)
    supports = support_cameras(dreamed[0].view, count=parameters.supports)
    around = background(inputs["parents"], parameters.coarser)
    return {"splats": level_splats(cloud, dreamed, supports, around, parameters, report)}


SPLAT = Stage(
    name="fit",
    version=2,
    reads={
        "points": own(layout.POINTS),
        "views": own(layout.VIEWS),
        "pictures": own(layout.FINAL_PICTURES, optional=True),
        "parents": each(layout.FITTED_SPLATS, _seen),
    },
    writes={"splats": layout.FITTED_SPLATS},
    parameters=_parameters,
    run=_run,
    shown_as="splat",
    weight=lambda context, scope: 1 + 0.3 * context.quality.iterations,
)


def cover(cloud: Cloud, camera: Camera) -> Target:
    """A view that has to be closed where the cloud is known, whatever colour it shows there."""
    seen = project(cloud, camera)
    return Target(camera, seen.rgb, np.zeros(seen.mask.shape, bool), seen.mask != UNKNOWN)


def _plain(item: DreamedView) -> np.ndarray:
    """Where a view shows one surface: not just behind an edge, where a splat would learn the colour before it."""
    return np.isfinite(item.depth) & ~behind_edges(item.depth, find_edges(item.depth, item.view.camera))


def level_splats(
    cloud: Cloud,
    dreamed: list[DreamedView],
    supports: list[Camera],
    around: Gaussians | None,
    limits: Parameters,
    report: Report,
) -> Gaussians:
    """Fit a level.

    Args:
        cloud: The level's own points.
        dreamed: Its anchor and side views.
        supports: M further cameras. What the cloud knows there has to be closed, and no more: its colours are blurred
            where points are sparse, and learning from them costs .8 dB in true pictures. Cameras half-way between the
            anchor and the side views are added.
        around: The coarser levels in this frame, without what this level supersedes; frozen.
        limits: Iterations, the cap on the count, and the seed.
        report: Progress and cancel.
    """
    targets = [Target(item.view.camera, item.rgb, _plain(item)) for item in dreamed]
    if supports:
        pairs = ([dreamed[0].view.camera, item.view.camera] for item in dreamed[1:])
        supports = supports + [camera for pair in pairs for camera in bridges(pair)]
    for camera in supports:
        targets.append(cover(cloud, camera))
    return fit(
        initial(cloud, [item.view.camera for item in dreamed]),
        targets,
        background=around,
        iterations=limits.iterations,
        cap=limits.cap,
        seed=limits.seed,
        report=report,
    )

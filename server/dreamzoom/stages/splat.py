"""Splat: initialise surfels from a level's cloud and fit them to all of its views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from core.camera import Camera
from core.gaussians import Gaussians, padded_join
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.depth_edges import behind_edges, find_edges
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.view import UNKNOWN
from dreamzoom.geometry.view_planning import bridges, support_cameras
from dreamzoom.progress import Report
from dreamzoom.splats.fitting.fit import fit, fit_colours
from dreamzoom.splats.fitting.initial import initial
from dreamzoom.splats.fitting.target import Target
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import Inputs, Outputs, Scope, Stage, each, own
from dreamzoom.stages.base.values import DreamedView
from dreamzoom.stages.levels import CoarserLevel, background, coarser_levels, finished_level
from dreamzoom.stages.own.scene import SceneFile, first_level_scene

BACKGROUND_ITERATIONS = 20
"""Minimum number of iterations for a fit with the coarser levels as frozen background; with fewer iterations the fit
does not adapt to the background."""

SHARPENING_SIGMA = 0.7
"""σ in pixels of the Gaussian filter of the unsharp masking."""


@dataclass(frozen=True)
class Parameters:
    """What a fit depends on besides cloud and views.

    Attributes:
        iterations, cap: Number of iterations, and maximum number of splats.
        sharpening: Amount of unsharp masking (`QualitySettings.sharpening`).
        supports: Number of support cameras (`level_splats`).
        seed: The level's seed.
        coarser: Poses of the coarser levels in the background of the fit.
        scene: The artist's own scene of splats, if it is this level: its splats are kept, and others are fitted around
            them.
    """

    iterations: int
    cap: int
    sharpening: float
    supports: int
    seed: int
    coarser: Mapping[int, CoarserLevel]
    scene: SceneFile | None = None


def _background_levels(context: Context, scope: Scope) -> range:
    """The coarser levels in the background of a fit."""
    return context.parents(scope.first) if context.quality.iterations >= BACKGROUND_ITERATIONS else range(0)


def _parameters(context: Context, scope: Scope) -> Parameters:
    quality = context.quality
    return Parameters(
        quality.iterations,
        quality.cap,
        quality.sharpening,
        quality.supports,
        context.request.level_seed(scope.first),
        coarser_levels(context, scope.first, _background_levels(context, scope)),
        first_level_scene(context, scope.first),
    )


def _run(inputs: Inputs, parameters: Parameters, report: Report) -> Outputs:
    cloud, dreamed = finished_level(inputs)
    supports = support_cameras(dreamed[0].view, count=parameters.supports)
    if parameters.scene is not None:
        return {"splats": _around_scene(cloud, dreamed, supports, parameters.scene, parameters, report)}
    around = background(inputs["parents"], parameters.coarser)
    return {"splats": level_splats(cloud, dreamed, supports, around, parameters, report)}


SPLAT = Stage(
    name="fit",
    version=3,
    reads={
        "points": own(layout.POINTS),
        "views": own(layout.VIEWS),
        "pictures": own(layout.FINAL_PICTURES, optional=True),
        "parents": each(layout.FITTED_SPLATS, _background_levels),
    },
    writes={"splats": layout.FITTED_SPLATS},
    parameters=_parameters,
    run=_run,
    shown_as="splat",
    weight=lambda context, scope: 1.2 + 0.36 * context.quality.iterations,
)


def _around_scene(
    cloud: Cloud,
    dreamed: list[DreamedView],
    supports: list[Camera],
    scene: SceneFile,
    limits: Parameters,
    report: Report,
) -> Gaussians:
    """The scene's own splats, unchanged, and splats that are fitted to what was dreamed around them."""
    own = scene.splats()
    hidden = [scene.look(item.view.camera).solid for item in dreamed]
    pixels, _ = dreamed[0].view.camera.project(cloud.position)
    height, width = hidden[0].shape
    column, row = (np.clip(pixels[:, n].astype(int), 0, size - 1) for n, size in ((0, width), (1, height)))
    dreamed_only = cloud[~((cloud.view == 0) & hidden[0][row, column])]
    if not len(dreamed_only):
        return own
    behind = own if limits.iterations >= BACKGROUND_ITERATIONS else None
    fitted = level_splats(dreamed_only, dreamed, supports, behind, limits, report, hidden)
    return padded_join([own, fitted])


def cover(cloud: Cloud, camera: Camera) -> Target:
    """A fitting target that requires opaque pixels where the cloud is visible, but does not constrain their colour."""
    seen = project(cloud, camera)
    return Target(camera, seen.rgb, np.zeros(seen.mask.shape, bool), seen.mask != UNKNOWN)


def _single_surface(item: DreamedView) -> np.ndarray:
    """The mask (H, W) of pixels that show a single surface. Excludes pixels next to a depth edge on its far side, where
    a splat would take the colour of the near surface.
    """
    return np.isfinite(item.depth) & ~behind_edges(item.depth, find_edges(item.depth, item.view.camera))


def _shows_given(cloud: Cloud, camera: Camera) -> np.ndarray:
    """The mask (H, W) of a view's pixels that show the artist's own picture. In side views they do not supervise: the
    anchor view has the picture itself, a side view has only its points drawn again.
    """
    if not cloud.given.any():
        return np.zeros((camera.height, camera.width), bool)
    seen = project(cloud, camera)
    return (seen.ids >= 0) & cloud.given[np.maximum(seen.ids, 0)]


def sharpened(rgb: np.ndarray, mask: np.ndarray, amount: float) -> np.ndarray:
    """Unsharp masking of a picture (H, W, 3) sRGB inside `mask` (H, W): adds `amount` times the difference to the
    picture filtered with a Gaussian of σ = `SHARPENING_SIGMA` pixels.
    """
    if not amount:
        return rgb
    weight = np.maximum(gaussian_filter(mask.astype(np.float32), SHARPENING_SIGMA), 1e-6)[..., None]
    low = gaussian_filter(np.where(mask[..., None], rgb, 0), (SHARPENING_SIGMA, SHARPENING_SIGMA, 0)) / weight
    return np.where(mask[..., None], rgb + np.float32(amount) * (rgb - low), rgb).astype(np.float32)


def level_splats(
    cloud: Cloud,
    dreamed: list[DreamedView],
    supports: list[Camera],
    around: Gaussians | None,
    limits: Parameters,
    report: Report,
    hidden: Sequence[np.ndarray] = (),
) -> Gaussians:
    """Fit a level's splats. The artist's own picture is fitted once more on its own, so that it is shown exactly.

    Args:
        cloud: The level's own points.
        dreamed: Its anchor and side views.
        supports: M support cameras. They only require opaque pixels where the cloud is visible. The cloud's colours are
            not fitted, because they are blurred where points are sparse: fitting them lowers the PSNR against ground
            truth by 0.8 dB. Cameras half-way between the anchor and the side views are added.
        around: The coarser levels' splats in this frame, without those that this level supersedes; not optimised.
        limits: Iterations, maximum number of splats, and seed.
        report: Receives progress and raises `Cancelled`.
        hidden: For each view the pixels (H, W) that show something else and do not supervise; none if empty.
    """
    plain = [_single_surface(item) for item in dreamed]
    plain = [mask & ~cut for mask, cut in zip(plain, hidden)] if hidden else plain
    plain[1:] = [mask & ~_shows_given(cloud, item.view.camera) for item, mask in zip(dreamed[1:], plain[1:])]
    targets = [
        Target(item.view.camera, sharpened(item.rgb, mask, limits.sharpening), mask)
        for item, mask in zip(dreamed, plain, strict=True)
    ]
    if supports:
        pairs = ([dreamed[0].view.camera, item.view.camera] for item in dreamed[1:])
        supports = supports + [camera for pair in pairs for camera in bridges(pair)]
    for camera in supports:
        targets.append(cover(cloud, camera))
    found = fit(
        initial(cloud, [item.view.camera for item in dreamed]),
        targets,
        background=around,
        iterations=limits.iterations,
        cap=limits.cap,
        seed=limits.seed,
        report=report,
    )
    if limits.sharpening or not cloud.given.any():
        return found
    anchor = dreamed[0].view.camera
    given = Target(anchor, dreamed[0].rgb, plain[0] & _shows_given(cloud, anchor))
    return fit_colours(found, given, around, report)

"""Splat: the level's cloud becomes surfels, fitted to every view of it. Values in, values out."""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.engines.base import UNKNOWN
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.edges import behind_edges, find_edges
from dreamzoom.geometry.project import project
from dreamzoom.geometry.views import bridges
from dreamzoom.report import Report
from dreamzoom.splats.fit import Target, fit, initial
from dreamzoom.stages.dream import Dreamed
from dreamzoom.stages.plan import Settings


def cover(cloud: Cloud, camera: Camera) -> Target:
    """A view that has to be closed where the cloud is known, whatever colour it shows there."""
    seen = project(cloud, camera)
    return Target(camera, seen.rgb, np.zeros(seen.mask.shape, bool), seen.mask != UNKNOWN)


def _plain(item: Dreamed) -> np.ndarray:
    """Where a view shows one surface: not just behind an edge, where a splat would learn the colour before it."""
    return np.isfinite(item.depth) & ~behind_edges(item.depth, find_edges(item.depth, item.view.camera))


def level_splats(
    cloud: Cloud,
    dreamed: list[Dreamed],
    supports: list[Camera],
    background: Gaussians | None,
    limits: Settings,
    seed: int,
    report: Report,
) -> Gaussians:
    """Fit a level.

    Args:
        cloud: The level's own points.
        dreamed: Its anchor and side views.
        supports: M further cameras. What the cloud knows there has to be closed, and no more: its colours are blurred
            where points are sparse, and learning from them costs .8 dB in true pictures. Cameras half-way between the
            anchor and the side views are added.
        background: The levels above in this frame, without what this level supersedes; frozen.
        limits: Iterations and the cap on the count.
        seed: The level's seed.
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
        background=background,
        iterations=limits.iterations,
        cap=limits.cap,
        seed=seed,
        report=report,
    )

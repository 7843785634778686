"""Splat: the level's cloud becomes surfels, fitted to every view of it. Values in, values out."""

from __future__ import annotations

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.engines.base import UNKNOWN
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.project import project
from dreamzoom.report import Report
from dreamzoom.splats.fit import Target, fit, initial
from dreamzoom.splats.gaussians import Gaussians
from dreamzoom.stages.dream import Dreamed
from dreamzoom.stages.plan import Settings


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
        supports: M further cameras; what the cloud shows there supervises too, and nothing else does.
        background: The levels above in this frame, without what this level supersedes; frozen.
        limits: Iterations and the cap on the count.
        seed: The level's seed.
        report: Progress and cancel.
    """
    targets = [Target(item.view.camera, item.rgb, np.isfinite(item.depth)) for item in dreamed]
    for camera in supports:
        seen = project(cloud, camera)
        targets.append(Target(camera, seen.rgb, seen.mask != UNKNOWN))
    return fit(
        initial(cloud, [item.view.camera for item in dreamed]),
        targets,
        background=background,
        iterations=limits.iterations,
        cap=limits.cap,
        seed=seed,
        report=report,
    )

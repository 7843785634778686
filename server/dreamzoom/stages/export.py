"""Export: what the artist gets of a level. Values in, values out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.geometry.cloud import Cloud

FEATHER = 0.08
"""The share of an anchor view's half size, at its border, over which its splats thin out."""


def feathered(splats: Gaussians, anchor: Camera) -> Gaussians:
    """Let a level's splats thin out towards the border of its anchor view, so that no frame is seen around it.

    Args:
        splats: In the level's frame.
        anchor: A_k.

    Returns:
        The splats; over the outer `FEATHER` of the view opacity falls to 0, those outside it (of side views) stay as
        they are.
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


def mark_superseded(splats: Gaussians, cloud: Cloud, finer: Camera | None) -> tuple[Gaussians, Cloud]:
    """Mark what the next level shows more finely (column `superseded`).

    Only the next anchor's camera decides, not what was dreamed there: so a changed prompt of the next level leaves this
    level's files as they are.

    Args:
        splats, cloud: Of one level, in its frame.
        finer: A_{k+1} in the same frame; None for the last level.
    """
    if finer is None:
        none = np.zeros(len(splats), np.uint8)
        return replace(splats, extra=splats.extra | {"superseded": none}), cloud
    marks = shown_finer(splats.means, finer).astype(np.uint8)
    marked = replace(splats, extra=splats.extra | {"superseded": marks})
    return marked, replace(cloud, superseded=shown_finer(cloud.position, finer))


def shown_finer(positions: np.ndarray, finer: Camera) -> np.ndarray:
    """Which points (N, 3) lie in the part of the view `finer` that is whole: (N,) bool.

    Those that others hide there are meant too: left behind, they would float before the finer surface.
    """
    pixels, depth = finer.project(positions)
    size = np.array([finer.width, finer.height])
    inside = (np.abs(2 * pixels / size - 1) < 1 - FEATHER).all(-1)
    return inside & (depth > 0)

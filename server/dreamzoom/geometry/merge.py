"""W: refined views joined to one cloud, each place once, glued at the borders, at most as many points as allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.edges import find_edges
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import Projection, project
from dreamzoom.geometry.seam import correction
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN

GLUE = 0.08
"""How far a glued border bends the new region, as a share of the picture's longer side."""


@dataclass(frozen=True)
class Merged:
    """One cloud of many views.

    Attributes:
        cloud: `view` counts the views in their order.
        depths: One (H, W) float32 a view, as lifted.
        fresh: One (H, W) bool a view: the pixels that gave points.
    """

    cloud: Cloud
    depths: list[np.ndarray]
    fresh: list[np.ndarray]


def merge(
    cameras: list[Camera],
    depths: list[np.ndarray],
    pictures: list[np.ndarray],
    *,
    confidences: list[np.ndarray] | None = None,
    around: Cloud | None = None,
) -> Merged:
    """Join views one after another; a view adds points only where nothing as fine is there yet.

    Args:
        cameras, depths, pictures: One a view: (H, W) z-depth that already fits
            (`joint.align_jointly`), (H, W, 3) sRGB.
        confidences: (H, W) in 0..1 each; 1 where None.
        around: Older points, that are seen but neither changed nor returned.
    """
    around = Cloud.empty() if around is None else around
    cloud, glued, fresh = Cloud.empty(), [], []
    for number, (camera, depth, picture) in enumerate(zip(cameras, depths, pictures, strict=True)):
        seen = project(Cloud.joined([cloud, around]), camera)
        depth = glue(depth, seen, camera)
        keep = (seen.mask != KNOWN) & np.isfinite(depth)
        sure = None if confidences is None else confidences[number]
        points = lift(camera, depth, picture, view=number, keep=keep, confidence=sure)
        cloud = Cloud.joined([_without_repainted(cloud, seen, keep, camera), points])
        glued.append(depth)
        fresh.append(keep)
    return Merged(cloud, glued, fresh)


def glue(depth: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """A depth that fits but for small steps, bent near the border of what is known so that there are none."""
    known = np.where(seen.mask != UNKNOWN, seen.depth, np.nan)
    with np.errstate(invalid="ignore"):
        if not (np.isfinite(known) & (depth > 0)).any():
            return depth
    edges = find_edges(depth, camera)
    span = np.maximum(seen.footprint, 1)
    return (depth * np.exp(correction(depth, known, span, edges, seen.mask == COARSE, fade=GLUE))).astype(np.float32)


def _without_repainted(cloud: Cloud, seen: Projection, keep: np.ndarray, camera: Camera) -> Cloud:
    """The cloud without coarse points that a finer view shows now; at the rim they stay, lest holes open."""
    inner = np.zeros_like(keep)
    inner[4:-4, 4:-4] = True
    ids = seen.ids[keep & inner & (seen.mask == COARSE) & (seen.ids < len(cloud))]
    ids = np.unique(ids[ids >= 0])
    focal = np.sqrt(camera.fx * camera.fy)
    truly = cloud.footprint[ids] * focal > 1.5 * camera.to_camera(cloud.position[ids])[:, 2]
    stay = np.ones(len(cloud), bool)
    stay[ids[truly]] = False
    return cloud[stay]


def thin(cloud: Cloud, most: int) -> Cloud:
    """At most `most` points: one a cell, the surest and finest, in cells a growing multiple of the points' own size.

    Footprints grow with the cells, so the surface stays closed. Points keep their order.
    """
    size = 1.0
    thinned = cloud
    while len(thinned) > most:
        thinned = cloud[_one_a_cell(cloud, size)]
        grown = np.maximum(thinned.footprint, thinned.footprint * np.float32(size))
        thinned = replace(thinned, footprint=grown)
        size *= max(1.1, np.sqrt(len(thinned) / most))
    return thinned


def _one_a_cell(cloud: Cloud, size: float) -> np.ndarray:
    """Rows, ascending, of the best point of each cell whose side is `size` footprints, rounded to a power of two."""
    octave = np.round(np.log2(np.maximum(cloud.footprint, 1e-30))).astype(np.int64)
    cell = np.floor(cloud.position / (size * 2.0 ** octave[:, None])).astype(np.int64)
    key = ((octave * 73856093) ^ (cell[:, 0] * 19349663) ^ (cell[:, 1] * 83492791) ^ (cell[:, 2] * 49979693)).ravel()
    best = np.lexsort((cloud.footprint, -cloud.confidence, key))
    first = np.ones(len(best), bool)
    first[1:] = key[best][1:] != key[best][:-1]
    return np.sort(best[first])

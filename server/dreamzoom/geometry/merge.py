"""Merging of aligned views to one cloud: every surface once, without steps at borders, with a limit on the points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.depth_alignment import correction
from dreamzoom.geometry.depth_edges import find_edges
from dreamzoom.geometry.point_rendering import Projection, project
from dreamzoom.geometry.unproject import lift
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN
from dreamzoom.progress import check

GLUE = 0.08
"""Decay length of the correction at a border, as a fraction of the picture's longer side."""


@dataclass(frozen=True)
class Merged:
    """The result of `merge`.

    Attributes:
        cloud: All points; `view` is the index of the source view in the arguments' order.
        depths: (H, W) float32 per view: the z-depth that was unprojected.
        fresh: (H, W) bool per view: the pixels chosen to add points.
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
    """Merge views in order; a view adds points only where the cloud has none that are as fine.

    Args:
        cameras: One per view, all in one frame.
        depths: (H, W) z-depth per view, already aligned (`joint_depth_alignment.align_jointly`).
        pictures: (H, W, 3) sRGB in 0..1 per view.
        confidences: (H, W) in 0..1 per view; 1 if None.
        around: Existing points in the same frame, which are taken into account but neither changed nor returned.
    """
    around = Cloud.empty() if around is None else around
    cloud, glued, fresh = Cloud.empty(), [], []
    for number, (camera, depth, picture) in enumerate(zip(cameras, depths, pictures, strict=True)):
        seen = project(Cloud.joined([cloud, around]), camera)
        depth = glue(depth, seen, camera)
        keep = (seen.mask != KNOWN) & np.isfinite(depth)
        confidence = None if confidences is None else confidences[number]
        points = lift(camera, depth, picture, view=number, keep=keep, confidence=confidence)
        cloud = Cloud.joined([_without_repainted(cloud, seen, keep, camera), points])
        glued.append(depth)
        fresh.append(keep)
    return Merged(cloud, glued, fresh)


def glue(depth: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """Remove small steps between an aligned z-depth (H, W) and the known surface, by a correction near the border.

    Args:
        depth: (H, W) float32 z-depth.
        seen: The existing cloud, rendered by the same camera.
        camera: Of the view.

    Returns:
        (H, W) float32 z-depth; `depth` itself if nothing is known.
    """
    known = np.where(seen.mask != UNKNOWN, seen.depth, np.nan)
    with np.errstate(invalid="ignore"):
        if not (np.isfinite(known) & (depth > 0)).any():
            return depth
    edges = find_edges(depth, camera)
    span = np.maximum(seen.footprint, 1)
    return (depth * np.exp(correction(depth, known, span, edges, seen.mask == COARSE, fade=GLUE))).astype(np.float32)


def _without_repainted(cloud: Cloud, seen: Projection, keep: np.ndarray, camera: Camera) -> Cloud:
    """Remove coarse points that the new view replaces with finer ones, except near the image border.

    Without the margin of 4 pixels holes could open at the border.
    """
    inner = np.zeros_like(keep)
    inner[4:-4, 4:-4] = True
    ids = seen.ids[keep & inner & (seen.mask == COARSE) & (seen.ids < len(cloud))]
    ids = np.unique(ids[ids >= 0])
    focal = np.sqrt(camera.fx * camera.fy)
    coarser = cloud.footprint[ids] * focal > 1.5 * camera.to_camera(cloud.position[ids])[:, 2]
    keep_rows = np.ones(len(cloud), bool)
    keep_rows[ids[coarser]] = False
    return cloud[keep_rows]


def thin(cloud: Cloud, most: int) -> Cloud:
    """Thin a cloud to at most `most` points: one per grid cell, the most confident, then the finest.

    The cell size is a multiple of the points' own footprint and grows until the limit is met. Footprints grow with the
    cells, so the surface stays closed. Points keep their order.
    """
    size = 1.0
    thinned = cloud
    while len(thinned) > most:
        check()
        thinned = cloud[_one_a_cell(cloud, size)]
        grown = np.maximum(thinned.footprint, thinned.footprint * np.float32(size))
        thinned = replace(thinned, footprint=grown)
        size *= max(1.1, np.sqrt(len(thinned) / most))
    return thinned


def _one_a_cell(cloud: Cloud, size: float) -> np.ndarray:
    """Ascending row indices of the best point of each cell; cells are `size` footprints wide, these rounded to 2ⁿ."""
    octave = np.round(np.log2(np.maximum(cloud.footprint, 1e-30))).astype(np.int64)
    cell = np.floor(cloud.position / (size * 2.0 ** octave[:, None])).astype(np.int64)
    key = ((octave * 73856093) ^ (cell[:, 0] * 19349663) ^ (cell[:, 1] * 83492791) ^ (cell[:, 2] * 49979693)).ravel()
    best = np.lexsort((cloud.footprint, -cloud.confidence, key))
    first = np.ones(len(best), bool)
    first[1:] = key[best][1:] != key[best][:-1]
    return np.sort(best[first])

"""Fill gaps: close the small gaps of a level that are visible during its own flight.

Side views fill the large holes. What remains are slits next to depth edges, small spots where the fit left too few
splats, and the seam to the coarser level. Each gap is filled with the farthest of the surrounding surfaces, since a
slit shows the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, label, maximum

from core.camera import Camera
from core.colour import linear_to_srgb
from core.gaussians import Gaussians, joined, padded_join
from core.spherical_harmonics import SH_C0
from dreamzoom.jit import njit
from dreamzoom.progress import Report
from dreamzoom.splats.fitting.adam import FLATNESS
from dreamzoom.splats.fitting.initial import START_OPACITY, quaternions_of
from dreamzoom.splats.rasterize import rasterize

GAP_ALPHA = 0.7
"""Pixels with a lower alpha are filled; below 0.5 the background would be visible."""
SOURCE_ALPHA = 0.8
"""Minimum alpha for a pixel's depth and colour to be used as a source."""
SURFEL_SIGMA = 0.75
"""Standard deviation of a filling surfel, in pixels."""
MAX_GAP_SHARE = 0.04
"""Openings that cover more than this share of a picture are not filled: there the camera looks past the dreamed
content."""
SMALL_PICTURE = 256
"""Pictures whose longer side is at most this many pixels are checked at twice the resolution."""
WIDE_GAP = 24
"""In gaps wider than this, in pixels, the near surface may be continued too."""
SAME_SURFACE_RATIO = 0.97
"""Minimum ratio of the lesser to the greater depth for two pixels to count as one surface."""


def filled(splats: Gaussians, around: list[Gaussians], cameras: Sequence[Camera], report: Report) -> Gaussians:
    """Add surfels that close the gaps visible from each of the cameras.

    Args:
        splats: The level's splats as they are shown when it is fully opaque.
        around: Everything else that is visible, in the level's frame: the coarser levels' splats that are not
            superseded, and the artist's own objects.
        cameras: On the level's flight, in its frame.
        report: Receives progress and raises `Cancelled`.
    """
    known, added = padded_join([splats, *around]), []
    for index, camera in enumerate(cameras):
        report.progress(index / len(cameras), f"filling gaps, camera {index + 1} of {len(cameras)}")
        found = surfels_in_gaps(padded_join([known, *added]), _shifted(camera, index))
        if found is not None:
            added.append(found)
    if not added:
        return splats
    more = joined(added)
    columns = {name: np.zeros(len(more), column.dtype) for name, column in splats.extra.items()}
    extra = {name: np.concatenate([splats.extra[name], columns[name]]) for name in columns}
    return replace(padded_join([splats, more]), extra=extra)


def surfels_in_gaps(splats: Gaussians, camera: Camera) -> Gaussians | None:
    """The surfels that close the gaps visible from one camera; None if there are none."""
    raster = rasterize(splats, camera, linear=True)
    rows, columns, reach = _gap_pixels(raster.alpha < GAP_ALPHA)
    if not len(rows):
        return None
    depth = np.where(raster.alpha >= SOURCE_ALPHA, raster.depth, -np.inf).astype(np.float32)
    behind = _farthest_surface(rows, columns, reach, depth)
    there = behind[:, 0] >= 0
    if not there.any():
        return None
    source = tuple(behind[there].T)
    rgb = linear_to_srgb(np.clip(raster.rgb[source] / raster.alpha[source][:, None], 0, 1))
    return _surfels(camera, rows[there], columns[there], depth[source].astype(np.float64), rgb)


def _shifted(camera: Camera, index: int) -> Camera:
    """The camera with its pixel centres shifted by a sub-pixel offset that differs for each index, because slits can be
    narrower than a pixel. Small pictures are also rendered at twice the resolution.
    """
    if max(camera.width, camera.height) <= SMALL_PICTURE:
        camera = camera.resized(2 * camera.width, 2 * camera.height)
    x, y = (index * np.array([0.7548776662466927, 0.5698402909980532]) + 0.5) % 1 - 0.5  # Roberts' R2 sequence
    return replace(camera, cx=camera.cx + x, cy=camera.cy + y)


def _gap_pixels(opening: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Select the pixels of openings that are small enough to be gaps.

    Args:
        opening: (H, W) bool.

    Returns:
        Rows and columns (N,) of the gaps' pixels; and for each the search radius in pixels (N,) within which both sides
        of its gap lie, or in the middle of wide gaps one side.
    """
    found: Any = label(opening, np.ones((3, 3)))
    pieces, count = found
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    rows, columns = np.nonzero(opening & (sizes <= MAX_GAP_SHARE * opening.size)[pieces])
    if not len(rows):
        return rows, columns, rows
    away = np.asarray(distance_transform_edt(opening))
    widths = 2 * np.asarray(maximum(away, pieces, np.arange(count + 1)))[pieces[rows, columns]]
    reach = np.maximum(np.minimum(widths, WIDE_GAP), away[rows, columns])
    return rows, columns, np.ceil(reach).astype(np.int64) + 1


@njit(cache=True, nogil=True)
def _farthest_surface(rows, columns, reach, depth):
    """For each gap pixel, find the nearest pixel on the farthest surface within the search radius.

    Args:
        rows, columns: (N,) int64, the gap pixels.
        reach: (N,) int64, search radii in pixels.
        depth: (H, W) float32 z-depth in the level's frame, −inf where unknown.

    Returns:
        (N, 2) int64, row and column of the pixel found; −1 if no depth is known within the radius.
    """
    height, width = depth.shape
    found = np.full((len(rows), 2), -1, np.int64)
    for n in range(len(rows)):
        top, bottom = max(rows[n] - reach[n], 0), min(rows[n] + reach[n] + 1, height)
        left, right = max(columns[n] - reach[n], 0), min(columns[n] + reach[n] + 1, width)
        farthest = -np.inf
        for i in range(top, bottom):
            for j in range(left, right):
                farthest = max(farthest, depth[i, j])
        nearest = np.inf
        for i in range(top, bottom):
            for j in range(left, right):
                away = (i - rows[n]) ** 2 + (j - columns[n]) ** 2
                if depth[i, j] > 0 and depth[i, j] >= SAME_SURFACE_RATIO * farthest and away < nearest:
                    nearest = away
                    found[n, 0], found[n, 1] = i, j
    return found


def _surfels(camera: Camera, rows: np.ndarray, columns: np.ndarray, depth: np.ndarray, rgb: np.ndarray) -> Gaussians:
    """Surfels that face the camera, one per pixel (rows, columns: (N,)), at z-depths (N,) with sRGB colours (N, 3)."""
    rays = camera.rays()[rows, columns]
    sigma = SURFEL_SIGMA * depth / np.sqrt(camera.fx * camera.fy)
    size = np.log(np.maximum(sigma, 1e-12))
    normals = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
    opacity = np.log(START_OPACITY / (1 - START_OPACITY))
    return Gaussians(
        (camera.centre + depth[:, None] * rays).astype(np.float32),
        np.stack([size, size, size + np.log(FLATNESS)], 1).astype(np.float32),
        quaternions_of(normals),
        np.full(len(depth), opacity, np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :],
    )

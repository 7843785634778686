"""Fill gaps: the small gaps of a level through which its own flight still looks.

Side views fill what is large enough to be worth a picture. What is left are slits beside edges, specks where a fit has
thinned out, and the seam to the level above. Each becomes the farthest of the surfaces around it: what a slit shows is
what is behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numba
import numpy as np
from scipy.ndimage import distance_transform_edt, label, maximum

from core.camera import Camera
from core.colour import linear_to_srgb
from core.gaussians import Gaussians, joined
from core.spherical_harmonics import SH_C0
from dreamzoom.report import Report
from dreamzoom.splats.initial import START_OPACITY, quaternions_of
from dreamzoom.splats.optimise import FLATNESS
from dreamzoom.splats.rasterize import rasterize

OPEN = 0.7
"""Alpha below which a pixel is closed; below a half it would be seen through."""
SOLID = 0.8
"""From this alpha on a pixel tells what is there."""
SIGMA = 0.75
"""Of a surfel that closes a pixel, in pixels."""
LARGEST = 0.04
"""Share of a picture from which an opening is no gap: there the camera looks past all that was dreamed."""
SMALL = 256
"""The longer side, in pixels, up to which a picture is small."""
WIDE = 24
"""Across wider gaps, in pixels, the near side is continued too."""
ALIKE = 0.97
"""Depths of one surface, about: the lesser as a share of the greater."""


def filled(splats: Gaussians, around: list[Gaussians], cameras: Sequence[Camera], report: Report) -> Gaussians:
    """Add surfels, until no gap is seen through from any of the cameras.

    Args:
        splats: Of the level, as they are shown when it is whole.
        around: What else is there, in the level's frame: what stays of the levels above, and the artist's own objects.
        cameras: On the level's flight, in its frame.
        report: Progress and cancel.
    """
    known, added = joined([splats, *around]), []
    for index, camera in enumerate(cameras):
        report.progress(index / len(cameras), f"gaps, place {index + 1} of {len(cameras)}")
        found = surfels_in_gaps(joined([known, *added]), _shifted(camera, index))
        if found is not None:
            added.append(found)
    if not added:
        return splats
    more = joined(added)
    columns = {name: np.zeros(len(more), column.dtype) for name, column in splats.extra.items()}
    extra = {name: np.concatenate([splats.extra[name], columns[name]]) for name in columns}
    return replace(joined([splats, _with_terms(more, splats.sh.shape[1])]), extra=extra)


def surfels_in_gaps(splats: Gaussians, camera: Camera) -> Gaussians | None:
    """The surfels that close what a camera sees through; None where there is no gap."""
    raster = rasterize(splats, camera, linear=True)
    rows, columns, reach = _gap_pixels(raster.alpha < OPEN)
    if not len(rows):
        return None
    depth = np.where(raster.alpha >= SOLID, raster.depth, -np.inf).astype(np.float32)
    behind = _behind(rows, columns, reach, depth)
    there = behind[:, 0] >= 0
    if not there.any():
        return None
    source = tuple(behind[there].T)
    rgb = linear_to_srgb(np.clip(raster.rgb[source] / raster.alpha[source][:, None], 0, 1))
    return _surfels(camera, rows[there], columns[there], depth[source].astype(np.float64), rgb)


def _shifted(camera: Camera, index: int) -> Camera:
    """The camera with its rays elsewhere in their pixels, each time: slits are narrower than pixels. Small pictures,
    which cost little, get two rays a pixel along each side.
    """
    if max(camera.width, camera.height) <= SMALL:
        camera = camera.resized(2 * camera.width, 2 * camera.height)
    x, y = (index * np.array([0.7548776662466927, 0.5698402909980532]) + 0.5) % 1 - 0.5  # Roberts' R2 sequence
    return replace(camera, cx=camera.cx + x, cy=camera.cy + y)


def _gap_pixels(opening: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of the openings (H, W) bool that are gaps: rows and columns (N,), and within how many pixels (N,) both
    sides of its gap are seen, or in the midst of wide ones one side.
    """
    found: Any = label(opening, np.ones((3, 3)))
    pieces, count = found
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    rows, columns = np.nonzero(opening & (sizes <= LARGEST * opening.size)[pieces])
    if not len(rows):
        return rows, columns, rows
    away = np.asarray(distance_transform_edt(opening))
    widths = 2 * np.asarray(maximum(away, pieces, np.arange(count + 1)))[pieces[rows, columns]]
    reach = np.maximum(np.minimum(widths, WIDE), away[rows, columns])
    return rows, columns, np.ceil(reach).astype(np.int64) + 1


@numba.njit(cache=True, nogil=True)
def _behind(rows, columns, reach, depth):
    """For each pixel (N,) the nearest one that lies about as deep as the farthest within its reach: (N, 2) row and
    column; −1 where none is known. Depth (H, W) is −inf where unknown.
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
                if depth[i, j] > 0 and depth[i, j] >= ALIKE * farthest and away < nearest:
                    nearest = away
                    found[n, 0], found[n, 1] = i, j
    return found


def _surfels(camera: Camera, rows: np.ndarray, columns: np.ndarray, depth: np.ndarray, rgb: np.ndarray) -> Gaussians:
    """Surfels that face the camera, one a pixel, at z-depths (N,), in sRGB colours (N, 3)."""
    rays = camera.rays()[rows, columns]
    sigma = SIGMA * depth / np.sqrt(camera.fx * camera.fy)
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


def _with_terms(splats: Gaussians, terms: int) -> Gaussians:
    """The same splats with so many harmonics; the new ones are 0."""
    sh = np.zeros((len(splats), terms, 3), np.float32)
    sh[:, : splats.sh.shape[1]] = splats.sh[:, :terms]
    return replace(splats, sh=sh)

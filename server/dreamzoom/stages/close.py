"""Close: the small gaps of a level that its own flight still looks through. Values in, values out.

Side views fill what is large enough to be worth a picture. What is left are slits beside edges, specks where a fit has
thinned out, and the seam to the level above. Each becomes the farther of the surfaces around it, as a slit widens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import label

from dreamzoom.camera import Camera
from dreamzoom.colour import linear_to_srgb
from dreamzoom.report import Report
from dreamzoom.splats.fit import START_OPACITY, quaternions_of
from dreamzoom.splats.gaussians import SH_C0, Gaussians, joined
from dreamzoom.splats.optimise import FLATNESS
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages.export import moments

OPEN = 0.7
"""Alpha below which a pixel is closed; below a half it would be seen through."""
SOLID = 0.8
"""From this alpha on a pixel tells what is there."""
SIGMA = 0.75
"""Of a surfel that closes a pixel, in pixels."""
LARGEST = 0.04
"""Share of a picture from which an opening is no gap: there the camera looks past all that was dreamed."""
ROUND = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)


def closed(
    splats: Gaussians, around: list[Gaussians], anchor: Camera, cameras: Sequence[Camera], report: Report
) -> Gaussians:
    """Add surfels, until no gap is seen through from any of the cameras.

    Args:
        splats: Of the level, as they are shown when it is whole.
        around: What else is there, in the level's frame: what stays of the levels above, and the artist's own objects.
        anchor: A_k; where splats have a moment at which they come (`export.feathered`), the added ones have one too.
        cameras: On the level's flight, in its frame.
        report: Progress and cancel.
    """
    known, added = joined([splats, *around]), []
    for index, camera in enumerate(cameras):
        report.progress(index / len(cameras), f"gaps, place {index + 1} of {len(cameras)}")
        found = gaps(joined([known, *added]), _shifted(camera, index))
        if found is not None:
            added.append(found)
    if not added:
        return splats
    more = joined(added)
    columns = {name: np.zeros(len(more), column.dtype) for name, column in splats.extra.items()}
    columns |= {"reveal": moments(more.means, anchor)} if "reveal" in columns else {}
    extra = {name: np.concatenate([splats.extra[name], columns[name]]) for name in columns}
    return replace(joined([splats, _with_terms(more, splats.sh.shape[1])]), extra=extra)


def gaps(splats: Gaussians, camera: Camera) -> Gaussians | None:
    """The surfels that close what a camera sees through; None where there is no gap."""
    raster = rasterize(splats, camera, linear=True)
    rows, columns = np.nonzero(_gaps(raster.alpha < OPEN))
    if not len(rows):
        return None
    known = raster.alpha >= SOLID
    rgb = raster.rgb / np.maximum(raster.alpha, SOLID)[..., None]
    depth, rgb = _from_behind(rows, columns, np.where(known, raster.depth, -np.inf), rgb)
    there = np.isfinite(depth)
    if not there.any():
        return None
    return _surfels(camera, rows[there], columns[there], depth[there], linear_to_srgb(np.clip(rgb[there], 0, 1)))


def _shifted(camera: Camera, index: int) -> Camera:
    """The camera with its rays elsewhere in their pixels, each time: slits are narrower than pixels."""
    x, y = (index * np.array([0.7548776662466927, 0.5698402909980532]) + 0.5) % 1 - 0.5  # Roberts' R2 sequence
    return replace(camera, cx=camera.cx + x, cy=camera.cy + y)


def _gaps(opening: np.ndarray) -> np.ndarray:
    """The openings (H, W) bool that are gaps."""
    pieces, count = label(opening, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    return opening & (sizes <= LARGEST * opening.size)[pieces]


def _from_behind(rows: np.ndarray, columns: np.ndarray, depth: np.ndarray, rgb: np.ndarray):
    """Depth (N,) and linear colour (N, 3) of pixels, ring after ring from the farthest of the neighbours; −inf for
    those that have none.

    Args:
        rows, columns: (N,) the pixels.
        depth: (H, W), −inf where unknown.
        rgb: (H, W, 3) linear.
    """
    depth, rgb = np.pad(depth, 1, constant_values=-np.inf), np.pad(rgb, ((1, 1), (1, 1), (0, 0)))
    depth[rows + 1, columns + 1] = -np.inf
    todo = np.stack([rows + 1, columns + 1], 1)
    while len(todo):
        near = [(todo[:, 0] + i, todo[:, 1] + j) for i, j in ROUND]
        depths = np.stack([depth[place] for place in near])
        farthest = depths.argmax(0)
        chosen = np.arange(len(todo))
        found = np.isfinite(depths[farthest, chosen])
        if not found.any():
            break
        colours = np.stack([rgb[place] for place in near])[farthest, chosen]
        depth[tuple(todo[found].T)], rgb[tuple(todo[found].T)] = depths[farthest, chosen][found], colours[found]
        todo = todo[~found]
    return depth[rows + 1, columns + 1], rgb[rows + 1, columns + 1]


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

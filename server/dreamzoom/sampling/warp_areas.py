"""Which pixels of one view lie in which pixels of another, through depth. Does without torch: see `depth_warp`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.sparse import csr_matrix

from core.camera import Camera

TOLERANCE = 0.03
"""Depths of one view, or of two views of the same scale, that differ by less than this fraction are of one surface."""

HIDDEN = 1.15
"""A finer view's pixel is hidden if its depth is more than this many times the coarser view's depth there; depths of
two levels differ by several per cent on the same surface."""

FILLED, FILLED_SAME = 0.3, 0.75
"""A target pixel is covered if source pixels fill at least this fraction of its area: for a finer source view, whose
pixels depth noise displaces by a considerable part of a pixel, and for a view of the same scale."""


@dataclass(frozen=True)
class Seen:
    """A view with depth.

    Attributes:
        camera: In a frame shared by the views that are compared.
        depth: (H, W) z-depth in that frame's units, 0 where there is none.
    """

    camera: Camera
    depth: np.ndarray

    def reduced(self, scale: int) -> Seen:
        """The view at the resolution of a codec's latents: every `scale`-th pixel."""
        camera = self.camera.resized(self.camera.width // scale, self.camera.height // scale)
        return Seen(camera, self.depth[scale // 2 :: scale, scale // 2 :: scale])


@dataclass(frozen=True)
class Areas:
    """How the n pixels of a source view lie in the m pixels of a target view.

    Attributes:
        means: (m, n) sparse float32; rows sum to 1 where `covered`, else empty.
        covered: (m,) bool: target pixels filled sufficiently by visible source pixels (`FILLED`).
        group: (n,) int64: the target pixel that contains the centre of each visible source pixel, −1 for none.
    """

    means: csr_matrix
    covered: np.ndarray
    group: np.ndarray


def make_areas(source: Seen, target: Seen, coarser: int = 1) -> Areas:
    """Find which source pixels lie in which target pixels.

    Args:
        source, target: The views, with cameras in the same frame.
        coarser: Reduce the target by this factor: 2 for views of the same scale, whose finest octave can't be compared
            without blurring it.
    """
    camera = target.camera.resized(target.camera.width // coarser, target.camera.height // coarser)
    depth = target.depth
    if coarser > 1:
        shape = (camera.height, coarser, camera.width, coarser)
        depth = depth[: camera.height * coarser, : camera.width * coarser].reshape(shape).mean((1, 3))
    pixel, z = camera.project(source.camera.unproject(source.depth))
    # a source pixel's side, in target pixels
    size = (source.depth / source.camera.fx) * camera.fx / np.maximum(z, 1e-9)
    row, column, inside = cells(pixel, (camera.height, camera.width))
    visible = inside & (source.depth > 0) & (z > 0)
    if coarser == 1:
        near = maximum_filter(depth, 3)  # outlines in two depth maps may differ by a pixel
        visible &= (depth[row, column] > 0) & (z < HIDDEN * near[row, column])
        visible &= ~_behind_own(pixel, z, size, visible)
    else:
        near = depth[row, column]
        visible &= np.abs(z - near) < TOLERANCE * near
    group = np.where(visible, row * camera.width + column, -1).ravel()
    rows, columns, areas = _areas(pixel[visible], np.minimum(size[visible], 1.0), np.flatnonzero(visible), camera)
    count = camera.width * camera.height
    weights = csr_matrix((areas, (rows, columns)), shape=(count, source.depth.size))
    total = np.asarray(weights.sum(1)).ravel()
    covered = total > (FILLED if coarser == 1 else FILLED_SAME)
    scale = np.where(covered, 1 / np.maximum(total, 1e-9), 0)
    means = csr_matrix(weights.multiply(scale[:, None]), dtype=np.float32)
    return Areas(means, covered, group)


def cells(pixel: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of pixel coordinates (..., 2), clipped to `shape` (H, W), and whether they lie inside."""
    column, row = np.moveaxis(np.floor(np.nan_to_num(pixel) + 1e-6), -1, 0)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    row, column = (np.clip(places, 0, side - 1).astype(int) for places, side in zip((row, column), shape))
    return row, column, inside


def _behind_own(pixel: np.ndarray, z: np.ndarray, size: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Source pixels that other source pixels occlude, (h, w) bool, by a z-buffer at the source's resolution.

    Args:
        pixel: (h, w, 2) pixel coordinates (x, y) in the target's camera.
        z: (h, w) z-depth in the target's camera.
        size: (h, w) side of each source pixel, in target pixels.
        there: (h, w) bool, the source pixels to consider.
    """
    if not there.any():
        return ~there
    low = np.floor(pixel[there].min(0))
    extent = np.ceil(pixel[there].max(0)) - low + 1
    finer = min(1 / float(np.median(size[there])), math.sqrt(8 * z.size / extent.prod()))  # limits the buffer's size
    finer = max(math.floor(finer + 1e-6), 1)
    column, row = np.floor((pixel[there] - low) * finer + 1e-6).astype(int).T
    nearest = np.full((extent[::-1] * finer).astype(int), np.inf)
    np.minimum.at(nearest, (row, column), z[there])
    hidden = np.zeros(z.shape, bool)
    hidden[there] = z[there] > (1 + TOLERANCE) * nearest[row, column]
    return hidden


def _areas(pixel: np.ndarray, size: np.ndarray, index: np.ndarray, camera: Camera):
    """Overlap areas of squares with the up to four target pixels that they touch, as entries of a sparse matrix.

    Args:
        pixel: (S, 2) centres (x, y) in target pixels.
        size: (S,) sides in target pixels, at most 1.
        index: (S,) source pixel of each square, the column in the matrix.
        camera: Of the target.

    Returns:
        Rows (target pixels), columns (source pixels) and areas in pixels², (E,) each.
    """
    low, high = pixel - size[:, None] / 2, pixel + size[:, None] / 2
    first = np.floor(low + 1e-6).astype(int)
    rows, columns, areas = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            cell = first + (dx, dy)
            sides = np.minimum(high, cell + 1) - np.maximum(low, cell)
            area = np.maximum(sides, 0).prod(1)
            good = (area > 1e-9) & (cell >= 0).all(1) & (cell[:, 0] < camera.width) & (cell[:, 1] < camera.height)
            rows.append((cell[:, 1] * camera.width + cell[:, 0])[good])
            columns.append(index[good])
            areas.append(area[good])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(areas)

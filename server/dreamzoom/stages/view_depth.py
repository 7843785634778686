"""Align a view's depth to the cloud and to the focus, and unproject it to points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.depth_alignment import Aligned, align
from dreamzoom.geometry.depth_edges import Edges, find_edges
from dreamzoom.geometry.photometric_depth import Picture, depth_correction
from dreamzoom.geometry.point_rendering import Projection, project
from dreamzoom.geometry.unproject import lift
from dreamzoom.geometry.view import KNOWN, DepthKind, DepthMap
from dreamzoom.stages.base.values import DreamedView, FittedView

CORRECTION_SIGMA = 0.12
"""σ of the Gaussian that smooths an anchor view's depth correction, as a share of the picture's longer side."""
CORRECTION_WEIGHT = 0.5
"""Weight of the smoothed correction. The smooth depth errors of the coarser level are as large as the depth model's
own; with weight 1 the tilts of all levels accumulate along the zoom (median depth error 26 % at the sixth level), with
weight 0.5 they do not."""


def align_view(depth: DepthMap, seen: Projection, camera: Camera, *, pin: bool) -> Aligned:
    """Align a view's depth to the projected cloud.

    The focus is the point that the artist zooms to, so it lies on the surface by definition. Without this constraint a
    depth error at the focus would grow by the zoom factor with every level; with it, the error is zero at every level.

    Args:
        depth: The depth model's estimate, (H, W).
        seen: The cloud projected into this camera.
        camera: In the frame of the level, whose origin is the focus.
        pin: Whether to constrain the surface to pass through the focus (for anchor views).
    """
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    inside = distance > 1e-6 and 0 <= row < camera.height and 0 <= column < camera.width
    aligned = align(depth, seen, camera, focus_distance=float(distance) if inside else None)
    found = aligned.depth
    if pin and inside:
        found = found * np.exp(CORRECTION_WEIGHT * _low_pass(aligned.correction) - aligned.correction)
        found = found * focus_correction(found, row, column, float(distance))
    assigned, edges = assign_mixed(found, camera)
    return replace(aligned, depth=assigned, edges=edges)


def align_by_pictures(depth: DepthMap, view: Picture, others: Sequence[Picture]) -> Aligned:
    """Align a view's depth by comparing it with other pictures of the same scene (`geometry.photometric_depth`).

    Args:
        depth: The depth model's estimate, (H, W), up to a scale factor and a smooth distortion. Metric depth is not
            changed.
        view: The view, in the frame of the level, whose origin is the focus.
        others: The adjacent levels' pictures with their anchor cameras, in the same frame.
    """
    camera, found = view.camera, depth.values
    if depth.kind is not DepthKind.METRIC:
        scaled = _scaled_to_focus(depth.values, camera)
        found = scaled * np.exp(depth_correction(view, scaled, others))
    aligned = align(DepthMap(found, DepthKind.METRIC), project(Cloud.empty(), camera), camera)
    assigned, edges = assign_mixed(aligned.depth, camera)
    return replace(aligned, depth=assigned, edges=edges)


def _scaled_to_focus(values: np.ndarray, camera: Camera) -> np.ndarray:
    """Scale a depth map (H, W) so that the surface passes through the focus. If no depth is known near the pixel of the
    focus, the median of all depths is used instead.
    """
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.clip(y, 4, camera.height - 5)), int(np.clip(x, 4, camera.width - 5))
    near = values[row - 4 : row + 5, column - 4 : column + 5]
    near = near[np.isfinite(near) & (near > 0)]
    if not len(near):
        near = values[np.isfinite(values) & (values > 0)]
    unit = max(float(distance), 1e-3) / float(np.median(near)) if len(near) else 1.0
    return (values * unit).astype(np.float32)


def with_given(depth: np.ndarray, seen: Projection, camera: Camera, *, exact: bool = False) -> Projection:
    """Insert a depth map given by the artist (H, W; any unit, NaN where unknown) as known pixels of a view.

    It is scaled so that the surface passes through the focus; if no depth is given near the pixel of the focus, the
    median of all given depths is used instead. An `exact` map has the frame's unit and is not scaled.
    """
    (x, y), distance = camera.project(np.zeros(3))
    height, width = depth.shape
    row, column = int(np.clip(y, 4, height - 5)), int(np.clip(x, 4, width - 5))
    near = depth[row - 4 : row + 5, column - 4 : column + 5]
    near = near[np.isfinite(near)] if np.isfinite(near).any() else depth[np.isfinite(depth)]
    unit = 1.0 if exact else max(float(distance), 1e-3) / float(np.median(near))
    known = np.isfinite(depth)
    return replace(
        seen,
        depth=np.where(known, depth * unit, seen.depth).astype(np.float32),
        mask=np.where(known, KNOWN, seen.mask).astype(np.uint8),
        footprint=np.where(known, 1, seen.footprint).astype(np.float32),
    )


def assign_mixed(depth: np.ndarray, camera: Camera) -> tuple[np.ndarray, Edges]:
    """Assign every mixed pixel (between two surfaces) the depth of the nearest pixel that is not mixed, so that points
    remain at outlines.

    Returns:
        The depth (H, W) float32 and its edges, without mixed pixels.
    """
    for _ in range(2):
        loose = find_edges(depth, camera).mixed | ~(np.isfinite(depth) & (depth > 0))
        if loose.all():
            break
        nearest = distance_transform_edt(loose, return_distances=False, return_indices=True)
        depth = depth[tuple(np.asarray(nearest))]
    edges = find_edges(depth, camera)
    return depth.astype(np.float32), replace(edges, mixed=np.zeros_like(edges.mixed))


def _low_pass(field: np.ndarray) -> np.ndarray:
    """Low-pass filter a depth correction (H, W).

    The coarser level's depth is coarse and does not contain the new level's relief, so only structures of an eighth of
    the picture or larger are corrected.
    """
    return gaussian_filter(field, CORRECTION_SIGMA * max(field.shape), mode="nearest").astype(np.float32)


def through_focus(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """`focus_correction` (H, W) of a depth map, NaN where unknown, for the level's focus; 1 if it is out of sight."""
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    inside = distance > 1e-6 and 0 <= row < camera.height and 0 <= column < camera.width
    return focus_correction(depth, row, column, float(distance)) if inside else np.ones_like(depth)


def focus_correction(depth: np.ndarray, row: int, column: int, distance: float) -> np.ndarray:
    """A smooth factor (H, W) that moves the surface at pixel (row, column) to z-depth `distance`.

    A Gaussian in log depth with σ of half the picture's height, so that it mostly shifts the surface and hardly bends
    it.
    """
    height, width = depth.shape
    near = depth[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5]
    near = near[np.isfinite(near) & (near > 0)]
    if not len(near):
        return np.ones_like(depth)
    wrong = np.log(distance / np.median(near))
    y, x = np.ogrid[:height, :width]
    bump = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * (0.5 * height) ** 2))
    return np.exp(wrong * bump).astype(np.float32)


def lifted_points(item: DreamedView, fitted: FittedView, number: int) -> Cloud:
    """The new points of a view, in the level's frame.

    Args:
        item: The view with its depth.
        fitted: The same view as it was fitted: confidence and edges.
        number: Index of the view in the level.
    """
    return lift(
        item.view.camera,
        item.depth,
        item.rgb,
        view=number,
        keep=item.fresh,
        confidence=fitted.confidence,
        edges=fitted.edges,
        given=fitted.given,
        measured=fitted.measured,
    )


def fresh_pixels(seen: Projection, depth: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """The pixels that are unprojected to new points, (H, W) bool.

    Args:
        seen: The known points projected into the view.
        depth: (H, W) z-depth of the view.
        beyond: (H, W) z-depth; points are added only behind it. None for no limit.
    """
    unseen = seen.mask != KNOWN
    return unseen if beyond is None else unseen & (depth > beyond)

"""A view's depth, fitted to the cloud and to the focus; and the points that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.edges import Edges, find_edges
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.photometric import Picture, depth_correction
from dreamzoom.geometry.project import Projection, project
from dreamzoom.geometry.seam import Aligned, align
from dreamzoom.geometry.view import KNOWN, DepthKind, DepthMap
from dreamzoom.stages.base.values import DreamedView, FittedView

SMOOTH = 0.12
"""How smooth an anchor view's correction is, as a share of the picture's longer side."""
TRUST = 0.5
"""How much of that correction is made. The level above errs smoothly as much as the depth model does; taken over whole,
the tilts of all levels add up along the zoom (median depth error 26 % at the sixth level), halved they do not."""


def align_view(depth: DepthMap, seen: Projection, camera: Camera, *, pin: bool) -> Aligned:
    """Fit a view's depth to what the cloud shows of it.

    The focus is where the artist zooms to, so it lies on the surface by definition. Without that pin an error of the
    depth at the focus would grow by the zoom factor with every level; with it, it is zero on every level.

    Args:
        depth: What the depth model says, (H, W).
        seen: The cloud in this camera.
        camera: In the frame of the level, whose origin is the focus.
        pin: Whether to hold the focus on the surface (anchor views).
    """
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.floor(y)), int(np.floor(x))
    inside = distance > 1e-6 and 0 <= row < camera.height and 0 <= column < camera.width
    aligned = align(depth, seen, camera, focus_distance=float(distance) if inside else None)
    found = aligned.depth
    if pin and inside:
        found = found * np.exp(TRUST * _smooth(aligned.correction) - aligned.correction)
        found = found * focus_correction(found, row, column, float(distance))
    assigned, edges = assign_mixed(found, camera)
    return replace(aligned, depth=assigned, edges=edges)


def align_by_pictures(depth: DepthMap, view: Picture, others: Sequence[Picture]) -> Aligned:
    """Fit a view's depth to what other pictures of the same place show of it (`photometric`).

    Args:
        depth: What the depth model says, (H, W), up to a factor and a smooth bend; metric depth is believed.
        view: The view, in the frame of the level, whose origin is the focus.
        others: The pictures of the levels above and below from their anchor cameras, in the same frame.
    """
    camera, found = view.camera, depth.values
    if depth.kind is not DepthKind.METRIC:
        scaled = _at_focus(depth.values, camera)
        found = scaled * np.exp(depth_correction(view, scaled, others))
    aligned = align(DepthMap(found, DepthKind.METRIC), project(Cloud.empty(), camera), camera)
    assigned, edges = assign_mixed(aligned.depth, camera)
    return replace(aligned, depth=assigned, edges=edges)


def _at_focus(values: np.ndarray, camera: Camera) -> np.ndarray:
    """Depth (H, W) in the unit for which the focus lies on the surface where the camera sees it, else the middle."""
    (x, y), distance = camera.project(np.zeros(3))
    row, column = int(np.clip(y, 4, camera.height - 5)), int(np.clip(x, 4, camera.width - 5))
    near = values[row - 4 : row + 5, column - 4 : column + 5]
    near = near[np.isfinite(near) & (near > 0)]
    if not len(near):
        near = values[np.isfinite(values) & (values > 0)]
    unit = max(float(distance), 1e-3) / float(np.median(near)) if len(near) else 1.0
    return (values * unit).astype(np.float32)


def with_given(depth: np.ndarray, seen: Projection, camera: Camera) -> Projection:
    """A depth that the artist gave (H, W; any unit, NaN where unknown) as known pixels of a view.

    Its unit is chosen so that the focus lies on the surface where the view shows it, else the middle of what is given.
    """
    (x, y), distance = camera.project(np.zeros(3))
    height, width = depth.shape
    row, column = int(np.clip(y, 4, height - 5)), int(np.clip(x, 4, width - 5))
    near = depth[row - 4 : row + 5, column - 4 : column + 5]
    near = near[np.isfinite(near)] if np.isfinite(near).any() else depth[np.isfinite(depth)]
    unit = max(float(distance), 1e-3) / float(np.median(near))
    known = np.isfinite(depth)
    return replace(
        seen,
        depth=np.where(known, depth * unit, seen.depth).astype(np.float32),
        mask=np.where(known, KNOWN, seen.mask).astype(np.uint8),
        footprint=np.where(known, 1, seen.footprint).astype(np.float32),
    )


def assign_mixed(depth: np.ndarray, camera: Camera) -> tuple[np.ndarray, Edges]:
    """Assign every pixel between two surfaces to the surface of the nearest pixel that is on one, so that no outline
    is left without points.

    Returns:
        The depth (H, W) float32 and its edges, none of them mixed.
    """
    for _ in range(2):
        loose = find_edges(depth, camera).mixed | ~(np.isfinite(depth) & (depth > 0))
        if loose.all():
            break
        nearest = distance_transform_edt(loose, return_distances=False, return_indices=True)
        depth = depth[tuple(np.asarray(nearest))]
    edges = find_edges(depth, camera)
    return depth.astype(np.float32), replace(edges, mixed=np.zeros_like(edges.mixed))


def _smooth(field: np.ndarray) -> np.ndarray:
    """The large forms of a correction.

    What is known from the level above is coarse, and the new level has relief of its own that the level above does not
    know, so only what is an eighth of the picture or larger is taken over.
    """
    return gaussian_filter(field, SMOOTH * max(field.shape), mode="nearest").astype(np.float32)


def focus_correction(depth: np.ndarray, row: int, column: int, distance: float) -> np.ndarray:
    """A smooth factor (H, W) that puts the surface at pixel (row, column) at z-depth `distance`.

    A Gaussian bump in log depth, half the picture's height wide: it bends the surface far less than it shifts it.
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
        number: Its place among the level's views.
    """
    return lift(
        item.view.camera,
        item.depth,
        item.rgb,
        view=number,
        keep=item.fresh,
        confidence=fitted.confidence,
        edges=fitted.edges,
    )


def fresh_pixels(seen: Projection, depth: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """The pixels that give new points, (H, W) bool.

    Args:
        seen: What the view shows of what is known.
        depth: (H, W) z-depth of the view.
        beyond: (H, W) z-depth; points arise only behind it. None for anywhere.
    """
    unseen = seen.mask != KNOWN
    return unseen if beyond is None else unseen & (depth > beyond)

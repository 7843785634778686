"""Alignment of one depth map to the existing cloud, by a scale and a smooth correction per ray (LucidDreamer's W).

The correction is a field g in log depth along each ray, z = z₀·exp(g). Where the cloud gives a depth, g follows
ln(z_known / z₀), averaged over a few pixels (over more where the cloud is coarse, so that new relief is preserved). In
the new region g is continued harmonically and decays to 0. It may jump at occlusion edges, since the errors of two
surfaces are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.geometry import laplace_solver
from dreamzoom.geometry.depth_cleaning import clean
from dreamzoom.geometry.depth_edges import Edges, find_edges
from dreamzoom.geometry.depth_scale import Scale, fit_scale, robust_mean
from dreamzoom.geometry.point_rendering import Projection
from dreamzoom.geometry.view import COARSE, UNKNOWN, DepthKind, DepthMap
from dreamzoom.progress import check

FOLLOW = 4.0
"""Averaging length of the correction where depth is known, in pixels."""
FOLLOW_COARSE = 2.0
"""Additional averaging length where the known depth is coarse, in footprints of the known points."""
FADE = 0.4
"""Decay length of the correction in the new region, as a fraction of the picture's longer side."""
LEAK = 1e-4
"""Weight of the smoothness term across an occlusion edge; above 0, so that a surface without any known pixel follows
its neighbours."""


@dataclass(frozen=True)
class Aligned:
    """A depth map in the frame's units.

    Attributes:
        depth: (H, W) float32 z-depth; NaN where the model gave no value.
        confidence: (H, W) float32 in 0..1: 1 at known pixels, lower with distance from them and at occlusion edges.
        scale: The fitted scale and shift.
        correction: (H, W) float32, g.
        edges: The edges of the scaled depth before the correction.
    """

    depth: np.ndarray
    confidence: np.ndarray
    scale: Scale
    correction: np.ndarray
    edges: Edges


def align(
    depth_map: DepthMap,
    projection: Projection,
    camera: Camera,
    *,
    focus_distance: float | None = None,
    expected: float = 1.0,
) -> Aligned:
    """Fit a depth map to the cloud as rendered from the same camera.

    Args:
        depth_map: (H, W), of the camera's picture.
        projection: The cloud seen by this camera; KNOWN and COARSE pixels are both used.
        camera: Its frame's units are those of the result.
        focus_distance: If no pixel is known: the z-depth to give the middle of the picture. None keeps the unit of a
            METRIC or SCALE model.
        expected: Prior mean of the scale of a METRIC model.

    Raises:
        DreamzoomError: The depth map has no usable value.
    """
    check()
    values = depth_map.values
    if not usable(depth_map).any():
        raise DreamzoomError("the depth model gave no finite depth for this view", "use another depth model or picture")
    known = np.where(projection.mask != UNKNOWN, projection.depth, np.nan)
    span = np.maximum(projection.footprint, 1)
    trust = np.where(np.isfinite(known), 1 / span, 0)
    scale = fit_scale(values, known, trust, depth_map.kind, expected=expected)
    if scale is None:
        scale = own_scale(depth_map, focus_distance)
        depth = clean(finite_depth(scale, values), camera)
        edges = find_edges(depth, camera)
        confidence = np.where(edges.near(2), 0.5, 1).astype(np.float32)
        return Aligned(depth, confidence * np.isfinite(depth), scale, np.zeros_like(depth), edges)
    depth = clean(finite_depth(scale, values), camera)
    edges = find_edges(depth, camera)
    field = correction(depth, known, span, edges, projection.mask == COARSE)
    reach = _nearness(np.isfinite(known), depth.shape)
    confidence = np.where(edges.near(2), 0.5, 1) * reach * np.isfinite(depth)
    corrected = (depth * np.exp(field)).astype(np.float32)
    return Aligned(corrected, confidence.astype(np.float32), scale, field.astype(np.float32), edges)


def usable(depth_map: DepthMap) -> np.ndarray:
    """(H, W) bool: where the model's value is a valid depth or disparity."""
    values = depth_map.values
    with np.errstate(invalid="ignore"):
        return np.isfinite(values) & ((values > 0) if depth_map.kind in (DepthKind.METRIC, DepthKind.SCALE) else True)


def finite_depth(scale: Scale, values: np.ndarray) -> np.ndarray:
    """The scaled z-depth (H, W) float32 of a model's values (H, W), limited to 0.01 to 100 times its median.

    Where a shift makes the depth negative, it is replaced by the upper (DISPARITY) or lower (AFFINE) limit.
    """
    depth = scale.apply(values)
    if scale.kind in (DepthKind.METRIC, DepthKind.SCALE) or not np.isfinite(depth).any():
        return depth
    middle = float(np.nanmedian(depth))
    beyond = 100 * middle if scale.kind == DepthKind.DISPARITY else 0.01 * middle
    depth = np.where(np.isfinite(values) & np.isnan(depth), np.float32(beyond), depth)
    return np.clip(depth, 0.01 * middle, 100 * middle)


def own_scale(depth_map: DepthMap, focus_distance: float | None) -> Scale:
    """The scale to use if nothing is known: the median of the picture's middle gets the z-depth `focus_distance`."""
    values, good = depth_map.values, usable(depth_map)
    height, width = values.shape
    middle = np.zeros_like(good)
    middle[height * 4 // 10 : height * 6 // 10 + 1, width * 4 // 10 : width * 6 // 10 + 1] = True
    centre = float(np.median(values[good & middle] if (good & middle).any() else values[good]))
    if depth_map.kind in (DepthKind.METRIC, DepthKind.SCALE):
        return Scale(1.0 if focus_distance is None else focus_distance / centre, 0.0, depth_map.kind)
    # The shift is unknown: assume that the farthest depth (DISPARITY) is twenty times the middle's, or the nearest
    # (AFFINE) a third of it.
    distance = 1.0 if focus_distance is None else focus_distance
    low, high = np.percentile(values[good], [1, 99])
    if depth_map.kind == DepthKind.DISPARITY:
        at_centre, at_low = 1 / distance, 1 / (20 * distance)
    else:
        at_centre, at_low = distance, distance / 3
    slope = (at_centre - at_low) / (centre - low) if centre - low > 1e-6 * (high - low + abs(centre) + 1e-30) else 0.0
    return Scale(float(slope), float(at_centre - slope * centre), depth_map.kind)


def correction(
    depth: np.ndarray,
    known: np.ndarray,
    span: np.ndarray,
    edges: Edges,
    coarse: np.ndarray,
    *,
    fade: float = FADE,
) -> np.ndarray:
    """The field g (H, W) float64: smooth, close to ln(known / depth) where that is finite, may jump at occlusion edges.

    Args:
        depth: (H, W) scaled z-depth of the view.
        known: (H, W) known z-depth in the same units; NaN where there is none.
        span: (H, W) footprint of the known points, in pixels.
        edges: Of `depth`.
        coarse: (H, W) bool: the known points are coarse there.
        fade: Decay length where nothing is known, as a fraction of the longer side.
    """
    with np.errstate(invalid="ignore"):
        target = np.log(known / depth)
    given = np.isfinite(target)
    target = np.where(given, target, 0)
    length = np.where(coarse, FOLLOW + FOLLOW_COARSE * span, FOLLOW)
    weight = np.where(given, 1 / length**2, 0)
    weight *= np.where(edges.near(2), 0.05, 1)
    screen = np.where(given, 1e-9, 1 / (fade * max(depth.shape)) ** 2)
    right, down = np.where(edges.right, LEAK, 1.0), np.where(edges.down, LEAK, 1.0)
    centre, spread, _ = robust_mean(target[given], weight[given])
    # wide robust weights at first, so that the extremes of a smooth warp are not treated as outliers
    first = weight / (1 + ((target - centre) / (6 * max(spread, 0.03))) ** 2) ** 2
    field = _at_half(first, target, screen, right, down)
    error = target - field
    std = max(robust_mean(error[given], weight[given])[1], 0.01)
    weight = weight / (1 + (error / (3 * std)) ** 2) ** 2
    diagonal = weight + screen
    # add the smoothed residual of the first field ("twicing"), so that low frequencies are preserved almost completely
    return field + laplace_solver.solve(diagonal, weight * error / diagonal, right, down, tolerance=0.02)


def _at_half(weight, target, screen, right, down) -> np.ndarray:
    """A first solution (H, W) at half the resolution, upsampled by repetition; all arguments (H, W)."""
    height, width = weight.shape
    pad = ((0, height % 2), (0, width % 2))
    weight, load, right, down = (np.pad(a, pad) for a in (weight, weight * target, right, down))
    diagonal = laplace_solver.pooled(weight) + laplace_solver.pooled(np.pad(screen, pad))
    across = np.minimum(right[::2, 1::2], right[1::2, 1::2])
    along = np.minimum(down[1::2, ::2], down[1::2, 1::2])
    half = laplace_solver.solve(diagonal, laplace_solver.pooled(load) / diagonal, across, along)
    return np.repeat(np.repeat(half, 2, 0), 2, 1)[:height, :width]


def _nearness(known: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Confidence (H, W) from the distance to known pixels: 1 at them, exponentially decaying to ½ far away."""
    from scipy.ndimage import distance_transform_edt

    step = max(1, min(shape) // 128)
    small = known[::step, ::step]
    distance = np.asarray(distance_transform_edt(~small)) * step
    grown = np.repeat(np.repeat(distance, step, 0), step, 1)[: shape[0], : shape[1]]
    return 0.5 + 0.5 * np.exp(-grown / (FADE * max(shape)))

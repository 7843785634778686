"""Align: a picture's depth fitted to what is there, by a scale and a smooth ray-wise correction (LucidDreamer's W).

The correction is a field g in log depth along each ray, z = z₀·exp(g). Where something is known it follows
ln(z_known / z₀) averaged over a few pixels (more where what is known is coarse, so that new relief stays); into the new
region it goes on harmonically and fades; at occlusion edges it is cut, since two surfaces need not err alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.geometry import harmonic
from dreamzoom.geometry.clean import clean
from dreamzoom.geometry.edges import Edges, find_edges
from dreamzoom.geometry.project import Projection
from dreamzoom.geometry.scale import Scale, fit_scale, robust_mean
from dreamzoom.geometry.view import COARSE, UNKNOWN, DepthKind, DepthMap

FOLLOW = 4.0
"""Over how many pixels the correction averages where depth is known."""
FOLLOW_COARSE = 2.0
"""Over how many footprints of what is known, in addition, where that is coarse."""
FADE = 0.4
"""How far the correction reaches into the new region, as a share of the picture's longer side."""
LEAK = 1e-4
"""What is left of a link across an occlusion edge: a surface that touches nothing known follows its neighbours."""


@dataclass(frozen=True)
class Aligned:
    """A depth map in the frame's units.

    Attributes:
        depth: (H, W) float32 z-depth; NaN where the model gave nothing.
        confidence: (H, W) float32 in 0..1: 1 beside what is known, less the farther from it and at occlusion edges.
        scale: What the model left open.
        correction: (H, W) float32, g.
        edges: Of `depth`.
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
    """Fit a depth map to what the camera sees of the cloud.

    Args:
        depth_map: Of the camera's picture.
        projection: The cloud, seen by this camera: KNOWN and COARSE pixels both count.
        camera: Its frame's units are those of the result.
        focus_distance: Where nothing is known: the z-depth that the middle of the picture gets. None keeps the
            unit of a METRIC or SCALE model.
        expected: The scale that a METRIC model is believed to have.

    Raises:
        DreamzoomError: The depth map has no usable value.
    """
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
        sure = np.where(edges.near(2), 0.5, 1).astype(np.float32)
        return Aligned(depth, sure * np.isfinite(depth), scale, np.zeros_like(depth), edges)
    depth = clean(finite_depth(scale, values), camera)
    edges = find_edges(depth, camera)
    field = correction(depth, known, span, edges, projection.mask == COARSE)
    reach = _nearness(np.isfinite(known), depth.shape)
    sure = np.where(edges.near(2), 0.5, 1) * reach * np.isfinite(depth)
    corrected = (depth * np.exp(field)).astype(np.float32)
    return Aligned(corrected, sure.astype(np.float32), scale, field.astype(np.float32), edges)


def usable(depth_map: DepthMap) -> np.ndarray:
    """(H, W) bool: where the model's value can be a depth."""
    values = depth_map.values
    with np.errstate(invalid="ignore"):
        return np.isfinite(values) & ((values > 0) if depth_map.kind in (DepthKind.METRIC, DepthKind.SCALE) else True)


def finite_depth(scale: Scale, values: np.ndarray) -> np.ndarray:
    """The scaled depth; where scale and shift make it negative or absurd, the farthest or nearest sensible depth."""
    depth = scale.apply(values)
    if scale.kind in (DepthKind.METRIC, DepthKind.SCALE) or not np.isfinite(depth).any():
        return depth
    middle = float(np.nanmedian(depth))
    beyond = 100 * middle if scale.kind == DepthKind.DISPARITY else 0.01 * middle
    depth = np.where(np.isfinite(values) & np.isnan(depth), np.float32(beyond), depth)
    return np.clip(depth, 0.01 * middle, 100 * middle)


def own_scale(depth_map: DepthMap, focus_distance: float | None) -> Scale:
    """Where nothing is known: the model's own values, their middle at `focus_distance`."""
    values, good = depth_map.values, usable(depth_map)
    height, width = values.shape
    middle = np.zeros_like(good)
    middle[height * 4 // 10 : height * 6 // 10 + 1, width * 4 // 10 : width * 6 // 10 + 1] = True
    centre = float(np.median(values[good & middle] if (good & middle).any() else values[good]))
    if depth_map.kind in (DepthKind.METRIC, DepthKind.SCALE):
        return Scale(1.0 if focus_distance is None else focus_distance / centre, 0.0, depth_map.kind)
    # An open shift: the relief is believed to be such that the farthest lies at twenty times the middle's depth, or the
    # nearest at a third of it.
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
    """The field g (H, W) float64: smooth, near ln(known / depth) where that is finite, free at occlusion edges.

    Args:
        depth: (H, W) the scaled depth of the view.
        known: (H, W) known depth; NaN where there is none.
        span: (H, W) footprint of what is known, in pixels.
        edges: Of `depth`.
        coarse: (H, W) bool: what is known there is coarse.
        fade: How far it reaches where nothing is known, as a share of the longer side.
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
    # a first look forgives much, lest the tails of a smooth warp pass for outliers
    first = weight / (1 + ((target - centre) / (6 * max(spread, 0.03))) ** 2) ** 2
    field = _at_half(first, target, screen, right, down)
    error = target - field
    std = max(robust_mean(error[given], weight[given])[1], 0.01)
    weight = weight / (1 + (error / (3 * std)) ** 2) ** 2
    pull = weight + screen
    # what the first field left is smoothed once more and added: low frequencies then pass nearly whole ("twicing")
    return field + harmonic.solve(pull, weight * error / pull, right, down, tolerance=0.02)


def _at_half(weight, target, screen, right, down) -> np.ndarray:
    """A first field, solved at half the size and repeated to the full one."""
    height, width = weight.shape
    pad = ((0, height % 2), (0, width % 2))
    weight, load, right, down = (np.pad(a, pad) for a in (weight, weight * target, right, down))
    pull = harmonic.pooled(weight) + harmonic.pooled(np.pad(screen, pad))
    across = np.minimum(right[::2, 1::2], right[1::2, 1::2])
    along = np.minimum(down[1::2, ::2], down[1::2, 1::2])
    half = harmonic.solve(pull, harmonic.pooled(load) / pull, across, along)
    return np.repeat(np.repeat(half, 2, 0), 2, 1)[:height, :width]


def _nearness(known: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """1 beside what is known, falling to ½ as far from it as the correction reaches."""
    from scipy.ndimage import distance_transform_edt

    step = max(1, min(shape) // 128)
    small = known[::step, ::step]
    distance = np.asarray(distance_transform_edt(~small)) * step
    grown = np.repeat(np.repeat(distance, step, 0), step, 1)[: shape[0], : shape[1]]
    return 0.5 + 0.5 * np.exp(-grown / (FADE * max(shape)))

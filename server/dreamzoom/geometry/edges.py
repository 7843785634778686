"""Where a depth map breaks: occlusion edges between pixels, and mixed pixels that belong to neither side.

On a plane 1/z is affine in pixel coordinates, however steeply the plane is seen. So a step is an occlusion edge only
where linear extrapolation of 1/z from *both* sides misses; terrain that runs to its horizon is not cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from core.camera import Camera

STEEP_PIXELS = 10.0
"""A step of more than this many pixel footprints in depth is steep: an occlusion edge if nothing explains it."""
LONGEST_RAMP = 4
"""Blurred occlusion edges are at most this many steps wide; longer runs of steep steps are a steep surface."""
BLURRED_FROM = 0.62
"""From this share of ramps among occlusion edges on, a depth map is blurred. Blurred by half a pixel or more, maps of
the procedural world have .63 to 1.00; sharp ones .07 to .56, since there too thin things stand between near and far."""


HIDING = 3.0
"""A step of this many thresholds hides enough for colours behind it to matter when the camera moves past it. Lower ones
are a rough surface's own: taking their pixels for mixed costs .5 dB in true pictures of a meadow."""


@dataclass(frozen=True)
class Edges:
    """What breaks.

    Attributes:
        right: (H, W) bool: the surface is cut between a pixel and its right neighbour (last column: False).
        down: (H, W) bool: the same towards the pixel below.
        mixed: (H, W) bool: the depth lies between two surfaces and belongs to neither. In a sharp depth map there
            are none: what lies between two surfaces is a third one.
        noise: Relative noise of the depth, one standard deviation, from its mixed second differences.
        threshold: The relative step above which a step was looked at.
    """

    right: np.ndarray
    down: np.ndarray
    mixed: np.ndarray
    noise: float
    threshold: float

    def near(self, radius: int = 1) -> np.ndarray:
        """(H, W) bool: within `radius` pixels of a cut."""
        near = self.right | self.down
        near[:, 1:] |= self.right[:, :-1]
        near[1:] |= self.down[:-1]
        for _ in range(radius - 1):
            grown = near.copy()
            grown[1:] |= near[:-1]
            grown[:-1] |= near[1:]
            grown[:, 1:] |= near[:, :-1]
            grown[:, :-1] |= near[:, 1:]
            near = grown
        return near


def find_edges(depth: np.ndarray, camera: Camera) -> Edges:
    """Occlusion edges and mixed pixels of a z-depth (H, W); what is not finite or not positive is cut all around."""
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    noise = estimate_noise(depth)
    threshold = max(STEEP_PIXELS / min(camera.fx, camera.fy), 8 * noise)
    right, mixed_x, *counts_x = _scan(np.ascontiguousarray(depth), np.float32(threshold))
    down, mixed_y, *counts_y = _scan(np.ascontiguousarray(depth.T), np.float32(threshold))
    ramps, plain = (a + b for a, b in zip(counts_x, counts_y, strict=True))
    mixed = mixed_x | mixed_y.T
    if ramps < BLURRED_FROM * (ramps + plain):
        mixed[:] = False
    return Edges(right, down.T.copy(), mixed, noise, threshold)


def behind_edges(depth: np.ndarray, edges: Edges) -> np.ndarray:
    """Pixels (H, W) within two of an occlusion edge on its far side: pictures show them mixed with what is before.

    Only edges count whose step is `HIDING` times the threshold or more.
    """
    far, least = np.zeros(depth.shape, bool), HIDING * edges.threshold
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(depth)
        for axis, cut in ((1, edges.right[:, :-1]), (0, edges.down[:-1])):
            step = np.diff(logs, axis=axis)
            _before(far, axis)[...] |= cut & (step < -least)
            _after(far, axis)[...] |= cut & (step > least)
        wide = far.copy()
        for axis, cut in ((1, edges.right[:, :-1]), (0, edges.down[:-1])):
            _before(wide, axis)[...] |= _after(far, axis) & ~cut
            _after(wide, axis)[...] |= _before(far, axis) & ~cut
    return wide


def _before(values: np.ndarray, axis: int) -> np.ndarray:
    """All but the last along an axis."""
    return values[:, :-1] if axis else values[:-1]


def _after(values: np.ndarray, axis: int) -> np.ndarray:
    """All but the first along an axis."""
    return values[:, 1:] if axis else values[1:]


def estimate_noise(depth: np.ndarray) -> float:
    """Relative noise (one standard deviation) of a depth map, robustly.

    From mixed second differences of its logarithm (Immerkær 1996), which ridges, steps and smooth relief hardly feel.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_depth = np.log(depth)
    second = log_depth[:, :-2] - 2 * log_depth[:, 1:-1] + log_depth[:, 2:]
    mixed = second[:-2:2] - 2 * second[1:-1:2] + second[2::2]
    mixed = np.abs(mixed[np.isfinite(mixed)])
    return float(np.median(mixed) / (0.6745 * 6)) if mixed.size else 0.0


@numba.njit(cache=True, nogil=True)
def _scan(depth, threshold):
    """Cuts between each pixel and the next in its row, and mixed pixels; `depth` has NaN where there is none.

    Also counts the pixels on ramps, and the plain steps from one pixel to the next, that are twice as high as asked.
    """
    height, width = depth.shape
    ramps, plain = 0, 0
    cut = np.zeros((height, width), np.bool_)
    mixed = np.zeros((height, width), np.bool_)
    step = np.zeros(width, np.float32)
    for i in range(height):
        row = depth[i]
        for j in range(width - 1):
            step[j] = np.log(row[j + 1] / row[j])
            if np.isnan(step[j]):
                cut[i, j] = True
                step[j] = 0.0
            elif abs(step[j]) > threshold:
                cut[i, j] = _is_cut(row, j, width, threshold)
        _cut_ramps(step, width - 1, threshold, cut[i], mixed[i])
        for j in range(width - 1):
            if mixed[i, j]:
                ramps += abs(step[j - 1]) + abs(step[j]) > 2 * threshold
            elif cut[i, j] and not mixed[i, j + 1]:
                plain += abs(step[j]) > 2 * threshold
    return cut, mixed, ramps, plain


@numba.njit(cache=True, nogil=True)
def _is_cut(row, j, width, threshold):
    """Whether 1/z extrapolated from both sides misses the other side of the step from `j` to `j + 1`."""
    here, there = 1 / row[j], 1 / row[j + 1]
    scale = max(here, there)
    from_left, from_right = abs(there - here), abs(there - here)
    if j > 0 and row[j - 1] == row[j - 1]:
        from_left = abs(2 * here - 1 / row[j - 1] - there)
    if j + 2 < width and row[j + 2] == row[j + 2]:
        from_right = abs(2 * there - 1 / row[j + 2] - here)
    return min(from_left, from_right) > threshold * scale


@numba.njit(cache=True, nogil=True)
def _cut_ramps(step, count, threshold, cut, mixed):
    """Short runs of steep steps of one sign between flat ends: cut all of them, their inner pixels are mixed."""
    j = 0
    while j < count:
        if abs(step[j]) <= threshold:
            j += 1
            continue
        end, total = j, np.float32(0.0)
        while end < count and abs(step[end]) > threshold and step[end] * step[j] > 0:
            total += abs(step[end])
            end += 1
        length = end - j
        if 2 <= length <= LONGEST_RAMP:
            limit = total / (2 * length)
            before = abs(step[j - 1]) if j > 0 else np.float32(0.0)
            after = abs(step[end]) if end < count else np.float32(0.0)
            if before < limit and after < limit:
                for k in range(j, end):
                    cut[k] = True
                for k in range(j + 1, end):
                    mixed[k] = True
        j = end
    _mix_ledges(step, count, cut, mixed)


@numba.njit(cache=True, nogil=True)
def _mix_ledges(step, count, cut, mixed):
    """What lies between two cuts of one sign, at most two pixels apart, belongs to neither side."""
    before = -10
    for j in range(count):
        if cut[j] and step[j] != 0:
            if j - before <= 2 and step[j] * step[before] > 0:
                for k in range(before + 1, j + 1):
                    mixed[k] = True
            before = j

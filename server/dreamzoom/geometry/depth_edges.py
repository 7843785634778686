"""Discontinuities of depth maps: occlusion edges between pixels, and mixed pixels that belong to neither surface.

On a plane 1/z is affine in pixel coordinates at any viewing angle. So a step is an occlusion edge only if linear
extrapolation of 1/z fails from *both* sides; terrain that extends to the horizon has no edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from dreamzoom.jit import njit
from dreamzoom.progress import check

STEEP_PIXELS = 10.0
"""A depth step of more than this many pixel footprints is steep: an occlusion edge unless a plane explains it."""
LONGEST_RAMP = 4
"""Blurred occlusion edges span at most this many steps; longer runs of steep steps are a steep surface."""
BLURRED_FROM = 0.62
"""A depth map is considered blurred if at least this fraction of its occlusion edges are ramps. Measured on maps of the
procedural world: .63 to 1.00 if blurred by half a pixel or more, .07 to .56 if sharp (thin objects between near and far
surfaces look like ramps too)."""


HIDING = 3.0
"""Colours behind an edge are corrected if its step is at least this many thresholds. Lower steps occur within rough
surfaces; treating their pixels as mixed costs .5 dB in ground truth pictures of a meadow."""


@dataclass(frozen=True)
class Edges:
    """The discontinuities of a depth map.

    Attributes:
        right: (H, W) bool: an occlusion edge between a pixel and its right neighbour (last column: False).
        down: (H, W) bool: the same between a pixel and the one below (last row: False).
        mixed: (H, W) bool: the depth lies between two surfaces and belongs to neither. Always False in a sharp depth
            map, in which such a pixel is a third surface.
        noise: Relative noise of the depth, one standard deviation (`estimate_noise`).
        threshold: The step in log depth above which a step was tested.
    """

    right: np.ndarray
    down: np.ndarray
    mixed: np.ndarray
    noise: float
    threshold: float

    def near(self, radius: int = 1) -> np.ndarray:
        """(H, W) bool: within `radius` pixels of an occlusion edge."""
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
    """Find occlusion edges and mixed pixels of a z-depth (H, W).

    Pixels that are not finite or not positive have edges on all sides.
    """
    check()
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
    """(H, W) bool: pixels within two of an occlusion edge, on its far side; their colours contain foreground.

    Only edges with a step of at least `HIDING` times the threshold count.
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
    """A view of all rows (axis 0) or columns (axis 1) except the last."""
    return values[:, :-1] if axis else values[:-1]


def _after(values: np.ndarray, axis: int) -> np.ndarray:
    """A view of all rows (axis 0) or columns (axis 1) except the first."""
    return values[:, 1:] if axis else values[1:]


def estimate_noise(depth: np.ndarray) -> float:
    """A robust estimate of the relative noise (one standard deviation) of a depth map (H, W).

    Uses mixed second differences of the logarithm (Immerkær 1996), which ridges, steps and smooth relief hardly affect.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_depth = np.log(depth)
    second = log_depth[:, :-2] - 2 * log_depth[:, 1:-1] + log_depth[:, 2:]
    mixed = second[:-2:2] - 2 * second[1:-1:2] + second[2::2]
    mixed = np.abs(mixed[np.isfinite(mixed)])
    return float(np.median(mixed) / (0.6745 * 6)) if mixed.size else 0.0


@njit(cache=True, nogil=True)
def _scan(depth, threshold):
    """Find occlusion edges between each pixel and the next in its row, and mixed pixels.

    Args:
        depth: (H, W) float32 z-depth; NaN where there is none.
        threshold: Smallest step in log depth that can be an edge.

    Returns:
        cut: (H, W) bool, an edge between column j and j + 1.
        mixed: (H, W) bool.
        ramps, plain: Number of mixed pixels on ramps, and of edges of a single step, higher than twice the threshold.
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


@njit(cache=True, nogil=True)
def _is_cut(row, j, width, threshold):
    """Whether extrapolating 1/z fails from both sides of the step between columns `j` and `j + 1`.

    `row` (width,) is z-depth; the failure is relative to the larger 1/z and compared with `threshold`.
    """
    here, there = 1 / row[j], 1 / row[j + 1]
    scale = max(here, there)
    from_left, from_right = abs(there - here), abs(there - here)
    if j > 0 and row[j - 1] == row[j - 1]:
        from_left = abs(2 * here - 1 / row[j - 1] - there)
    if j + 2 < width and row[j + 2] == row[j + 2]:
        from_right = abs(2 * there - 1 / row[j + 2] - here)
    return min(from_left, from_right) > threshold * scale


@njit(cache=True, nogil=True)
def _cut_ramps(step, count, threshold, cut, mixed):
    """Find ramps: short runs of steep steps of one sign with flat ends. All their steps are edges, inner pixels mixed.

    Args:
        step: (W,) float32, differences of log depth between neighbours in a row; the first `count` are used.
        count: Number of steps.
        threshold: The step above which it is steep.
        cut, mixed: (W,) bool, changed in place.
    """
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


@njit(cache=True, nogil=True)
def _mix_ledges(step, count, cut, mixed):
    """Mark pixels between two edges of the same sign, at most two pixels apart, as mixed; arguments as `_cut_ramps`."""
    before = -10
    for j in range(count):
        if cut[j] and step[j] != 0:
            if j - before <= 2 and step[j] * step[before] > 0:
                for k in range(before + 1, j + 1):
                    mixed[k] = True
            before = j

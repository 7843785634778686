"""Fitting a depth model's unknown scale, and for some models shift, to known depth.

The scale multiplies z-depth about the camera's centre. (LucidDreamer, alg. 1, line 7:
d = argmin Σ_M ‖φ2→3([I, d·D̂]) − P‖₁, which along a ray is the weighted median of the ratios.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamzoom.geometry.view import DepthKind

METRIC_PRIOR = 0.05
"""Prior standard deviation of the logarithm of a metric model's scale."""
WARP = 0.05
"""Prior standard deviation of a model's smooth error in log depth; it has `PATCHES` independent values per picture."""
PATCHES = 16
SAMPLES = 4_000
"""More than twice this many values are subsampled to about this many."""


@dataclass(frozen=True)
class Scale:
    """The map from a model's values to z-depth in the frame's units.

    Attributes:
        scale, shift: z = scale · v + shift; for DISPARITY 1/z = scale · v + shift.
        kind: Of the values.
        spread: Relative deviation of the known depth from the fit, one robust standard deviation.
        inliers: Fraction of the weight within three spreads.
    """

    scale: float
    shift: float
    kind: DepthKind
    spread: float = 0.0
    inliers: float = 1.0

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Z-depth float32 in the shape of `values`; NaN where the result is not finite and positive."""
        with np.errstate(invalid="ignore", divide="ignore"):
            depth = self.scale * values.astype(np.float64) + self.shift
            depth = 1 / depth if self.kind == DepthKind.DISPARITY else depth
            return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)


def fit_scale(
    predicted: np.ndarray,
    known_depth: np.ndarray,
    weight: np.ndarray,
    kind: DepthKind,
    *,
    expected: float = 1.0,
) -> Scale | None:
    """Fit a model's values robustly to known depth.

    Args:
        predicted: (H, W) the model's values.
        known_depth: (H, W) z-depth; not finite where unknown.
        weight: (H, W) ≥ 0, the weight of each known pixel.
        kind: Of the values.
        expected: Prior mean of the scale of a METRIC model; ignored for other kinds.

    Returns:
        The fit; None if no pixel has a positive weight, a valid value and a known depth.
    """
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(predicted) & np.isfinite(known_depth) & (known_depth > 0) & (weight > 0)
        usable &= (predicted > 0) if kind in (DepthKind.METRIC, DepthKind.SCALE) else True
    if not usable.any():
        return None
    v, z, w = predicted[usable].astype(np.float64), known_depth[usable].astype(np.float64), weight[usable]
    if kind in (DepthKind.AFFINE, DepthKind.DISPARITY):
        return _fit_affine(v, z, w, kind)
    ratio = np.log(z / v)
    centre, spread, inliers = robust_mean(ratio, w)
    if kind == DepthKind.METRIC:
        patches = max(PATCHES * float(w.sum()) / predicted.size, 1e-6)
        variance = (max(WARP, spread) ** 2) / patches
        prior_mean = np.log(expected)
        centre = (centre / variance + prior_mean / METRIC_PRIOR**2) / (1 / variance + 1 / METRIC_PRIOR**2)
    return Scale(float(np.exp(centre)), 0.0, kind, spread, inliers)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The weighted median of `values` (N,) with weights (N,)."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weight[order], dtype=np.float64)
    return float(values[order[np.searchsorted(sums, 0.5 * sums[-1])]])


def robust_mean(values: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """A robust weighted mean of `values` (N,): starts at the median, then averages what lies within three spreads.

    One-sided outliers shift the median; the following means of the inliers remove that shift.

    Returns:
        centre, spread (one standard deviation of the inliers), fraction of the weight that is inliers.
    """
    if len(values) > 2 * SAMPLES:
        values, weight = values[:: len(values) // SAMPLES], weight[:: len(values) // SAMPLES]
    centre = weighted_median(values, weight)
    spread = 1.4826 * weighted_median(np.abs(values - centre), weight)
    share = 1.0
    for _ in range(8):
        inside = np.abs(values - centre) <= 3 * spread + 1e-12
        share = float(weight[inside].sum() / weight.sum())
        centre = float(np.average(values[inside], weights=weight[inside]))
        spread = 1.4826 * weighted_median(np.abs(values[inside] - centre), weight[inside])
    return centre, spread, share


def _fit_affine(v, z, w, kind) -> Scale:
    """Fit scale and shift of values `v` to z-depth `z` with weights `w`, (N,) each.

    Starts from a median slope over distant pairs (`_first_line`), then iteratively reweighted least squares in depth,
    or in 1/z for DISPARITY.
    """
    if len(v) > 2 * SAMPLES:
        v, z, w = (a[:: len(v) // SAMPLES] for a in (v, z, w))
    y = 1 / z if kind == DepthKind.DISPARITY else z
    unit = 1 / z if kind == DepthKind.DISPARITY else z
    slope, shift = _first_line(v, y, w)
    spread, inliers = 0.0, 1.0
    for _ in range(20):
        error = (slope * v + shift - y) / unit
        spread = 1.4826 * weighted_median(np.abs(error), w)
        u = w / unit**2 / (1 + (error / (2 * spread + 1e-9)) ** 2) ** 2
        mean_v, mean_y = np.average(v, weights=u), np.average(y, weights=u)
        variance = np.average((v - mean_v) ** 2, weights=u)
        if variance <= 1e-12 * max(mean_v**2, 1e-12):
            break
        slope = max(np.average((v - mean_v) * (y - mean_y), weights=u) / variance, 1e-6 * abs(mean_y / (mean_v or 1)))
        shift = mean_y - slope * mean_v
        inliers = float(w[np.abs(error) <= 3 * spread + 1e-9].sum() / w.sum())
    return Scale(float(slope), float(shift), kind, float(spread), inliers)


def _first_line(v, y, w):
    """A robust line y = slope · v + shift; the slope is the median over pairs half the sorted order apart."""
    order = np.argsort(v, kind="stable")
    half = len(v) // 2
    low, high = order[: len(v) - half], order[half:]
    run = v[high] - v[low]
    far = run > 1e-9 * max(np.abs(v).max(), 1e-30)
    if not far.any():
        ratio = weighted_median(y, w) / (float(np.median(v)) or 1.0)
        return abs(ratio), weighted_median(y, w) - abs(ratio) * float(np.median(v))
    slope = weighted_median((y[high] - y[low])[far] / run[far], (run * np.minimum(w[low], w[high]))[far])
    slope = max(slope, 1e-6 * weighted_median(y, w) / max(float(np.median(np.abs(v))), 1e-30))
    return slope, weighted_median(y - slope * v, w)

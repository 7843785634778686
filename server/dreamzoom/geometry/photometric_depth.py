"""Photometric depth refinement: corrects the smooth error of a view's depth by comparison with other pictures.

Valid only if pictures from different cameras are multi-view consistent by construction
(`Engine.multiview_consistent`): then the correct depth is the one for which the other pictures, warped through it,
match this one. A plane sweep (Collins 1996) about the model's depth gives the logarithm of the error at each pixel and
its variance. The correction is the maximum a posteriori sum of cosines, with the prior of
`joint_depth_alignment.cosine_variance`. The remaining error is corrected per pixel where the match is certain enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from core.camera import Camera
from dreamzoom.geometry.joint_depth_alignment import cosine_basis, cosine_field, cosine_variance
from dreamzoom.jit import njit
from dreamzoom.progress import check

ROUNDS = ((240, 0.42, 0.03), (480, 0.08, 0.008), (480, 0.03, 0.003))
"""Per sweep: the longer side of the pictures in pixels, the range ± and the step in log depth."""
BLUR, AGGREGATE = 1.2, 2.5
"""σ in pixels of the blur of compared pictures, and of the window over which errors are averaged."""
LOCAL, LOCAL_STD = 3.0, 0.05
"""Final per-pixel correction: σ of its window in pixels, and its prior standard deviation in log depth."""
STRIDE = 5
"""The solve uses one pixel in every STRIDE × STRIDE block."""
NOISE = 0.03
"""Standard deviation of the noise of a blurred picture's channel, sRGB 0..1."""
LOG_SCALE_STD, WARP = 0.3, 0.1
"""Prior standard deviations of the logarithm of the scale and of the smooth relative error."""


@dataclass(frozen=True)
class Picture:
    """A view's picture.

    Attributes:
        camera: In the frame that all views share.
        rgb: (H, W, 3) float32 sRGB in 0..1.
    """

    camera: Camera
    rgb: np.ndarray


def depth_correction(view: Picture, depth: np.ndarray, others: Sequence[Picture]) -> np.ndarray:
    """The field g (H, W) float32 for which depth · exp(g) matches the other pictures best.

    Args:
        view: The view that the depth belongs to.
        depth: (H, W) z-depth, correct up to a factor within about 1.5 and a smooth error; NaN where there is none.
        others: Pictures of the same scene from other cameras; at least one.
    """
    check()
    coefficients = np.zeros(len(cosine_variance(WARP, LOG_SCALE_STD)))
    field = np.zeros(depth.shape)
    for number, (side, reach, step) in enumerate(ROUNDS, 1):
        check()
        scale = min(1.0, side / max(depth.shape))
        small = _reduced(view, scale)
        shape = small.rgb.shape[:2]
        values = np.nan_to_num(_nearest(depth, shape).astype(np.float64))
        known = np.asarray(values > 0)
        logs = np.arange(-reach, reach + step / 2, step)
        start = cosine_field(shape, coefficients)
        costs = _sweep(small, values * np.exp(start), [_reduced(other, scale) for other in others], logs)
        if number < len(ROUNDS):
            coefficients = _solve(costs, start, logs, known)
        else:
            field = start + _local(costs, logs, known)
    zoomed = zoom(field, np.array(depth.shape) / field.shape, order=1, grid_mode=True, mode="nearest")
    return np.asarray(zoomed, np.float32)


def _reduced(picture: Picture, scale: float) -> Picture:
    """The picture at `scale` ≤ 1 of its size, blurred before subsampling."""
    if scale >= 1:
        return picture
    camera = picture.camera
    size = max(round(camera.width * scale), 8), max(round(camera.height * scale), 8)
    blurred = gaussian_filter(picture.rgb, (0.4 / scale, 0.4 / scale, 0))
    rgb = zoom(blurred, (size[1] / camera.height, size[0] / camera.width, 1), order=1, grid_mode=True, mode="nearest")
    return Picture(camera.resized(*size), np.asarray(rgb, np.float32))


def _nearest(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = ((np.arange(n) + 0.5) * old / n for n, old in zip(shape, values.shape))
    return values[rows.astype(int)[:, None], columns.astype(int)[None]]


def _sweep(view: Picture, depth: np.ndarray, others: Sequence[Picture], logs: np.ndarray) -> np.ndarray:
    """The plane sweep: mean squared differences of the blurred pictures for each candidate depth.

    Args:
        view: The view (H, W).
        depth: (H, W) z-depth; 0 where there is none.
        others: Pictures to compare with.
        logs: (G,) candidates, offsets in log depth.

    Returns:
        (G, H, W) float32; NaN where no other picture shows the point.
    """
    height, width = depth.shape
    total = np.zeros((len(logs), height, width), np.float32)
    weight = np.zeros_like(total)
    mine = gaussian_filter(view.rgb, (BLUR, BLUR, 0)).astype(np.float32)
    there = depth > 0
    for other in others:
        check()
        ratio = _pixel_ratio(view.camera, other.camera, depth[there])
        sigma = BLUR * ratio
        theirs = gaussian_filter(other.rgb, (sigma, sigma, 0)).astype(np.float32)
        turned = view.camera.rays() @ other.camera.rotation
        offset = (view.camera.centre - other.camera.centre) @ other.camera.rotation
        lens = np.array([other.camera.fx, other.camera.fy, other.camera.cx, other.camera.cy])
        errors = np.empty_like(total)
        _differences(mine, theirs, turned, offset, lens, depth, np.exp(logs), errors)
        seen = np.isfinite(errors)
        for n in range(len(logs)):
            part = gaussian_filter(seen[n].astype(np.float32), AGGREGATE)
            total[n] += gaussian_filter(np.where(seen[n], errors[n], 0), AGGREGATE)
            weight[n] += part
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0.5, total / weight, np.nan)


def _pixel_ratio(camera: Camera, other: Camera, depth: np.ndarray) -> float:
    """Approximate size, in pixels of `other`, of one pixel of `camera` at the median of z-depths (N,)."""
    middle = float(np.median(depth)) if len(depth) else 1.0
    point = camera.centre + middle * camera.rotation[:, 2]
    theirs = max(float((point - other.centre) @ other.rotation[:, 2]), 1e-6)
    return float(np.clip((middle / camera.fx) / (theirs / other.fx), 0.1, 8))


@njit(cache=True, nogil=True)
def _differences(mine, theirs, rays, offset, lens, depth, factors, out):
    """Squared differences between a picture and another one, sampled bilinearly at the reprojected points.

    Args:
        mine: (H, W, 3) float32 sRGB.
        theirs: (h, w, 3) float32 sRGB.
        rays: (H, W, 3) rays of `mine` with z-depth 1, in the other camera's axes.
        offset: (3,) centre of the first camera in the other camera's coordinates.
        lens: fx, fy, cx, cy of the other camera, in pixels.
        depth: (H, W) z-depth in the first camera; 0 where there is none.
        factors: (G,) factors of the depth to try.
        out: (G, H, W) float32, filled with the mean over channels; NaN where the point is outside the other picture.
    """
    rows, columns = theirs.shape[0], theirs.shape[1]
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            for n in range(len(factors)):
                out[n, i, j] = np.nan
                z = depth[i, j] * factors[n]
                pz = offset[2] + z * rays[i, j, 2]
                if z <= 0.0 or pz <= 1e-6:
                    continue
                x = lens[0] * (offset[0] + z * rays[i, j, 0]) / pz + lens[2] - 0.5
                y = lens[1] * (offset[1] + z * rays[i, j, 1]) / pz + lens[3] - 0.5
                if not (0.0 <= x < columns - 1.001 and 0.0 <= y < rows - 1.001):
                    continue
                c, r = int(x), int(y)
                u, v = x - c, y - r
                total = 0.0
                for k in range(3):
                    top = theirs[r, c, k] * (1 - u) + theirs[r, c + 1, k] * u
                    low = theirs[r + 1, c, k] * (1 - u) + theirs[r + 1, c + 1, k] * u
                    total += (top * (1 - v) + low * v - mine[i, j, k]) ** 2
                out[n, i, j] = total / 3.0


def _minima(costs: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The log depth offset that minimises costs (G, ...), and its precision (1 / variance), both (...).

    The minimum is refined by a parabola; the precision is 0 where a cost is missing or the minimum is at the end.
    """
    whole = np.isfinite(costs).all(0)
    costs = np.where(whole, costs, 0)
    best = costs.argmin(0)
    pick = np.clip(best, 1, len(logs) - 2)
    low, here, high = (np.take_along_axis(costs, (pick + d)[None], 0)[0].astype(np.float64) for d in (-1, 0, 1))
    step = logs[1] - logs[0]
    curvature = np.maximum((low - 2 * here + high) / step**2, 1e-12)
    found = logs[pick] + np.clip((low - high) / (2 * curvature * step), -step, step)
    precision = np.minimum(curvature / (here + NOISE**2), 1 / step**2)
    return found, np.where(whole & (best == pick), precision, 0)


def _solve(costs: np.ndarray, start: np.ndarray, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Maximum a posteriori cosine coefficients (MODES²,).

    Args:
        costs: (G, H, W) of the sweep about `start`.
        start: (H, W) the field about which was swept.
        logs: (G,) offsets in log depth.
        known: (H, W) bool: pixels with depth.
    """
    height, width = known.shape
    rows, columns = np.mgrid[STRIDE // 2 : height : STRIDE, STRIDE // 2 : width : STRIDE]
    rows, columns = rows.ravel(), columns.ravel()
    residual, weight = _minima(costs[:, rows, columns], logs)
    weight = np.where(known[rows, columns], weight, 0)
    inside = weight > 0
    variance = cosine_variance(WARP, LOG_SCALE_STD)
    if not inside.any():
        return np.zeros(len(variance))
    target = start[rows, columns] + residual
    basis = cosine_basis((columns + 0.5) / width, (rows + 0.5) / height)
    precision = np.diag(1 / variance)
    weight *= min((2 * AGGREGATE / STRIDE) ** -2, 1)  # neighbouring windows overlap
    coefficients = np.zeros(len(variance))
    for _ in range(4):
        std = max(1.4826 * float(np.median(np.abs(residual[inside]))), (logs[1] - logs[0]) / 2)
        robust = weight / (1 + (residual / (2 * std)) ** 2) ** 2
        coefficients = np.linalg.solve(precision + (basis.T * robust) @ basis, basis.T @ (robust * target))
        residual = target - basis @ coefficients
    return coefficients


def _local(costs: np.ndarray, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The remaining correction (H, W): the windowed mean of the minima, weighted by precision, with a prior at 0."""
    found, weight = _minima(costs, logs)
    weight = np.where(known, weight, 0)
    total = gaussian_filter(weight * found, LOCAL)
    return total / (gaussian_filter(weight, LOCAL) + 1 / LOCAL_STD**2)

"""Depth by comparing pictures: what is smoothly wrong in a view's depth, measured in other views of the same place.

Only where pictures of different cameras show one 3D place by construction (`Engine.multiview_consistent`): then the
depth is right for which the other pictures, warped through it, look like this one. A plane sweep (Collins 1996) about
the model's own depth finds the logarithm of the error at each pixel, and how sure that is; the correction is the most
probable sum of cosines for it, with the prior of `joint.cosine_variance`: depth models bend smoothly.
What is left is corrected place by place, where the pictures are sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from core.camera import Camera
from dreamzoom.geometry.joint import cosine_basis, cosine_field, cosine_variance

ROUNDS = ((240, 0.42, 0.03), (480, 0.08, 0.008), (480, 0.03, 0.003))
"""Of each sweep: the longer side of the pictures, and the range ± and the step of the logarithm of depth."""
BLUR, AGGREGATE = 1.2, 2.5
"""σ in pixels of what is compared, and of the window over which errors are summed."""
LOCAL, LOCAL_DOUBT = 3.0, 0.05
"""σ in pixels of the window of the last, local correction, and one standard deviation of it."""
STRIDE = 5
"""Every so many pixels one is taken for the solve."""
NOISE = 0.03
"""Of a blurred picture's channel, one standard deviation, sRGB: differences below it say nothing."""
FACTOR_DOUBT, WARP = 0.3, 0.1
"""Priors: one standard deviation of the factor's logarithm and of the smooth bend."""


@dataclass(frozen=True)
class Picture:
    """A view's camera, in a frame common to all, and its picture (H, W, 3) float32 sRGB."""

    camera: Camera
    rgb: np.ndarray


def depth_correction(view: Picture, depth: np.ndarray, others: Sequence[Picture]) -> np.ndarray:
    """The field g (H, W) float32 for which depth · exp(g) agrees best with the other pictures.

    Args:
        view: Whose depth it is.
        depth: (H, W) z-depth, right but for a factor within about 1.5 and a smooth bend; NaN where there is none.
        others: Pictures of the same place from other cameras; at least one.
    """
    coefficients = np.zeros(len(cosine_variance(WARP, FACTOR_DOUBT)))
    field = np.zeros(depth.shape)
    for number, (side, reach, step) in enumerate(ROUNDS, 1):
        scale = min(1.0, side / max(depth.shape))
        small = _shrunk(view, scale)
        shape = small.rgb.shape[:2]
        values = np.nan_to_num(_nearest(depth, shape).astype(np.float64))
        known = np.asarray(values > 0)
        logs = np.arange(-reach, reach + step / 2, step)
        start = cosine_field(shape, coefficients)
        costs = _sweep(small, values * np.exp(start), [_shrunk(other, scale) for other in others], logs)
        if number < len(ROUNDS):
            coefficients = _solve(costs, start, logs, known)
        else:
            field = start + _local(costs, logs, known)
    zoomed = zoom(field, np.array(depth.shape) / field.shape, order=1, grid_mode=True, mode="nearest")
    return np.asarray(zoomed, np.float32)


def _shrunk(picture: Picture, scale: float) -> Picture:
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
    """Mean squared difference (G, H, W) float32 of the blurred pictures, if the depth were exp(logs) times as large;
    NaN where no other picture shows the place.
    """
    height, width = depth.shape
    total = np.zeros((len(logs), height, width), np.float32)
    weight = np.zeros_like(total)
    mine = gaussian_filter(view.rgb, (BLUR, BLUR, 0)).astype(np.float32)
    there = depth > 0
    for other in others:
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
    """How many of the other's pixels one of the camera's spans, about."""
    middle = float(np.median(depth)) if len(depth) else 1.0
    point = camera.centre + middle * camera.rotation[:, 2]
    theirs = max(float((point - other.centre) @ other.rotation[:, 2]), 1e-6)
    return float(np.clip((middle / camera.fx) / (theirs / other.fx), 0.1, 8))


@numba.njit(cache=True, nogil=True)
def _differences(mine, theirs, rays, offset, lens, depth, factors, out):
    """Mean squared difference over the channels of `mine` (H, W, 3) and `theirs` (h, w, 3), bilinearly where the place
    at depth (H, W) times each of `factors` (G,) along the ray (H, W, 3, in the other's axes) from `offset` (3,) is seen
    there through `lens` (fx, fy, cx, cy); NaN where it is not. Fills `out` (G, H, W).
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
    """Where the costs (G, ...) are least, as logarithms, and one over the variance of that, 0 where it is not known."""
    whole = np.isfinite(costs).all(0)
    costs = np.where(whole, costs, 0)
    best = costs.argmin(0)
    pick = np.clip(best, 1, len(logs) - 2)
    low, here, high = (np.take_along_axis(costs, (pick + d)[None], 0)[0].astype(np.float64) for d in (-1, 0, 1))
    step = logs[1] - logs[0]
    bend = np.maximum((low - 2 * here + high) / step**2, 1e-12)
    found = logs[pick] + np.clip((low - high) / (2 * bend * step), -step, step)
    sure = np.minimum(bend / (here + NOISE**2), 1 / step**2)
    return found, np.where(whole & (best == pick), sure, 0)


def _solve(costs: np.ndarray, start: np.ndarray, logs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The most probable coefficients, given the costs (G, H, W) about the field `start` (H, W)."""
    height, width = known.shape
    rows, columns = np.mgrid[STRIDE // 2 : height : STRIDE, STRIDE // 2 : width : STRIDE]
    rows, columns = rows.ravel(), columns.ravel()
    residual, weight = _minima(costs[:, rows, columns], logs)
    weight = np.where(known[rows, columns], weight, 0)
    inside = weight > 0
    variance = cosine_variance(WARP, FACTOR_DOUBT)
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
    """What is left, place by place (H, W): the minima's mean over a window, drawn to 0 where they are unsure."""
    found, weight = _minima(costs, logs)
    weight = np.where(known, weight, 0)
    total = gaussian_filter(weight * found, LOCAL)
    return total / (gaussian_filter(weight, LOCAL) + 1 / LOCAL_DOUBT**2)

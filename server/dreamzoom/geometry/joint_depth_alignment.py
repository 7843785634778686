"""Joint alignment of all views' depth maps: a scale and a smooth correction per view, solved over all overlaps.

If views are fitted one at a time, the smooth error within an overlap is mistaken for a difference in scale, and a chain
of such fits drifts; the joint solution also closes loops. The logarithm of each view's correction is
g = Σ c_mn · cos(mπx) · cos(nπy) over its picture, and the coefficients c are the maximum a posteriori estimate under
two assumptions:

- a point of one view that another view sees lies on the other's surface (robust, by iteratively reweighted least
  squares);
- a depth model has a scale error (with a narrow prior for metric models) and a smooth relative error of standard
  deviation `warp`.

This is one dense linear system with 36 unknowns per view. The overlaps are recomputed each round, as the surfaces move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera
from dreamzoom.progress import check

MODES = 6
"""Cosine modes per image axis."""
ROLL_OFF = 5.0
"""The mode number from which the prior variance of the modes falls off."""
SAMPLE_NOISE = 0.01
"""Lower bound of the standard deviation of the relative disagreement between two views."""
HELD = 1e-3
"""Standard deviation of the correction in log depth at a held pixel."""
SHARED = 4.0
"""This many neighbouring samples count as one, because their errors are correlated."""


@dataclass(frozen=True)
class Posed:
    """A view with an initial depth.

    Attributes:
        camera: In the frame that all views share.
        depth: (H, W) float32 initial z-depth; NaN where there is none or it is to be ignored.
        log_scale_std: Prior standard deviation of the logarithm of the remaining scale error: about 1 if unknown, 0.05
            for a metric model, 1e-4 for the view that sets the unit.
        warp: Prior standard deviation of the model's smooth relative error; 0 if the depth is exact.
        held: A pixel (row, column) whose depth is exact and must not change; None for none.
    """

    camera: Camera
    depth: np.ndarray
    log_scale_std: float = 1.0
    warp: float = 0.1
    held: tuple[int, int] | None = None


def align_jointly(views: list[Posed], *, rounds: int = 2, samples: int = 700) -> list[np.ndarray]:
    """The corrections g, (H, W) float32 per view; depth · exp(g) is the refined z-depth.

    Args:
        views: At least one; if all scales are unknown and no pixel is held, the first view sets the unit.
        rounds: How often the overlaps are computed.
        samples: Number of pixels of each view to compare with the other views.
    """
    views = list(views)
    if all(view.log_scale_std > 0.5 and view.held is None for view in views):
        views[0] = replace(views[0], log_scale_std=1e-4)
    count = len(views)
    precision = np.stack(
        [np.diag(1 / cosine_variance(view.warp, view.log_scale_std)) + _holding(view) for view in views]
    )
    coefficients = np.zeros((count, MODES * MODES))
    sampled = [_Sampled(view, samples) for view in views]
    for _ in range(rounds):
        pairs = [
            pair
            for i in range(count)
            for j in range(count)
            if (i + j) % 2 == (i < j) and i != j and (pair := _compare(sampled, coefficients, i, j)) is not None
        ]
        for _reweighting in range(2):
            coefficients = _solve(pairs, coefficients, precision, count)
    return [cosine_field(view.depth.shape, c) for view, c in zip(views, coefficients, strict=True)]


def cosine_variance(warp: float, factor: float) -> np.ndarray:
    """Prior variances (MODES²,) of the cosine coefficients.

    Args:
        warp: Standard deviation of the smooth relative error.
        factor: Standard deviation of the logarithm of the scale, the constant mode.
    """
    m, n = np.mgrid[:MODES, :MODES]
    share = 1 / (1 + (m**2 + n**2) / ROLL_OFF**2) ** 2
    share[0, 0] = 0
    variance = np.maximum(warp**2 * share / share.sum(), 1e-12).ravel()
    variance[0] = factor**2
    return variance


def _holding(view: Posed) -> np.ndarray:
    """Precision matrix (MODES², MODES²) that constrains the correction at the view's held pixel to 0."""
    if view.held is None:
        return np.zeros((MODES * MODES, MODES * MODES))
    height, width = view.depth.shape
    row, column = view.held
    basis = cosine_basis(np.array([(column + 0.5) / width]), np.array([(row + 0.5) / height]))
    return basis.T @ basis / HELD**2


def cosine_basis(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cosine modes (S, MODES²) at positions x, y (S,), in 0..1 of the picture; each mode has unit mean square."""
    m = np.arange(MODES)
    norm = np.where(m == 0, 1.0, np.sqrt(2.0))
    across, along = norm * np.cos(np.pi * m * x[:, None]), norm * np.cos(np.pi * m * y[:, None])
    return (along[:, :, None] * across[:, None, :]).reshape(len(x), MODES * MODES)


def cosine_field(shape: tuple[int, int], coefficients: np.ndarray) -> np.ndarray:
    """The correction g (H, W) float32 of a whole picture, from coefficients (MODES²,)."""
    check()
    height, width = shape
    m = np.arange(MODES)
    norm = np.where(m == 0, 1.0, np.sqrt(2.0))
    across = norm * np.cos(np.pi * m * ((np.arange(width) + 0.5) / width)[:, None])
    along = norm * np.cos(np.pi * m * ((np.arange(height) + 0.5) / height)[:, None])
    return (along @ coefficients.reshape(MODES, MODES) @ across.T).astype(np.float32)


class _Sampled:
    """A regular grid of samples of one view.

    Attributes:
        camera: Of the view.
        log_depth: (H, W) log of z-depth; NaN where there is none.
        rays: (S, 3) in frame axes, z-depth 1, of the S samples with finite depth.
        logs: (S,) log of z-depth.
        basis: (S, MODES²) cosine modes.
    """

    def __init__(self, view: Posed, samples: int):
        self.camera = camera = view.camera
        self.log_depth = np.log(np.where(view.depth > 0, view.depth, np.nan))
        height, width = view.depth.shape
        step = max(1.0, np.sqrt(height * width / samples))
        rows = (np.arange(step / 2, height, step)).astype(int)
        columns = (np.arange(step / 2, width, step)).astype(int)
        rows, columns = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
        good = np.isfinite(self.log_depth[rows, columns])
        rows, columns = rows[good], columns[good]
        local = np.stack([(columns + 0.5 - camera.cx) / camera.fx, (rows + 0.5 - camera.cy) / camera.fy], -1)
        self.rays = np.concatenate([local, np.ones((len(rows), 1))], -1) @ camera.rotation.T
        self.logs = self.log_depth[rows, columns]
        self.basis = cosine_basis((columns + 0.5) / width, (rows + 0.5) / height)


@dataclass(frozen=True)
class _Pair:
    """S samples of view i compared with the surface of view j.

    The residual r is the log ratio of the sample's depth in view j to the surface's; ∂r/∂c_i = near, ∂r/∂c_j = −far.
    """

    i: int
    j: int
    residual: np.ndarray  # (S,)
    near: np.ndarray  # (S, MODES²)
    far: np.ndarray  # (S, MODES²)
    offset: np.ndarray  # (S,): residual − near·c_i + far·c_j at the linearisation


def _compare(sampled: list[_Sampled], coefficients: np.ndarray, i: int, j: int) -> _Pair | None:
    """Compare the samples of view i with view j at the current `coefficients` (views, MODES²).

    None if fewer than 8 samples overlap.
    """
    a, b = sampled[i], sampled[j]
    ray = np.exp(a.logs + a.basis @ coefficients[i])[:, None] * a.rays
    (pixels, z) = b.camera.project(a.camera.centre + ray)
    height, width = b.log_depth.shape
    x, y = pixels[:, 0] / width, pixels[:, 1] / height
    slope = (ray @ b.camera.rotation[:, 2]) / np.where(z > 0, z, 1)
    inside = (z > 0) & (x > 0) & (x < 1) & (y > 0) & (y < 1) & (slope > 0.3) & (slope < 3)
    if inside.sum() < 8:
        return None
    rows, columns = pixels[inside, 1].astype(int), pixels[inside, 0].astype(int)
    log_there = b.log_depth[rows, columns]
    seen = np.isfinite(log_there)
    if seen.sum() < 8:
        return None
    inside[inside] = seen
    far = cosine_basis(x[inside], y[inside])
    residual = np.log(z[inside]) - log_there[seen] - far @ coefficients[j]
    near = slope[inside, None] * a.basis[inside]
    return _Pair(i, j, residual, near, far, residual - near @ coefficients[i] + far @ coefficients[j])


def _solve(pairs: list[_Pair], coefficients: np.ndarray, precision: np.ndarray, count: int) -> np.ndarray:
    """One step of iteratively reweighted least squares: the coefficients (count, MODES²).

    Args:
        pairs: The linearised comparisons.
        coefficients: (count, MODES²) current values, from which the robust weights follow.
        precision: (count, MODES², MODES²) prior precision of each view.
        count: Number of views.
    """
    size = MODES * MODES
    matrix = np.zeros((count, size, count, size))
    load = np.zeros((count, size))
    for view in range(count):
        matrix[view, :, view, :] = precision[view]
    for pair in pairs:
        i, j = pair.i, pair.j
        residual = pair.offset + pair.near @ coefficients[i] - pair.far @ coefficients[j]
        std = max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), SAMPLE_NOISE)
        weight = 1 / (1 + (residual / (3 * std)) ** 2) ** 2 / (SHARED * 2 * std**2)
        near, far = weight[:, None] * pair.near, weight[:, None] * pair.far
        cross = near.T @ pair.far
        matrix[i, :, i, :] += near.T @ pair.near
        matrix[j, :, j, :] += far.T @ pair.far
        matrix[i, :, j, :] -= cross
        matrix[j, :, i, :] -= cross.T
        load[i] -= near.T @ pair.offset
        load[j] += far.T @ pair.offset
    flat = matrix.reshape(count * size, count * size)
    return np.linalg.solve(flat, load.ravel()).reshape(count, size)

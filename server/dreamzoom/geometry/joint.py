"""All views' depth corrections at once: a factor and a smooth field each, over all overlaps, so that loops close.

A view fitted alone takes its overlap strip's warp for scale, and a chain of such fits drifts. Here the logarithm of
each view's correction is g = Σ c_mn · cos(mπx) · cos(nπy) over its picture, and all c are the most
probable ones given that

- a point of one view, seen by another, lies on the other's surface (robustly: iteratively reweighted least squares);
- depth models bend smoothly by `warp` about a factor that is open, or believed for metric models.

That is one dense linear system of some 36 unknowns a view. Around it the overlaps are found anew as the surfaces move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera

MODES = 6
"""Cosines a side."""
ROLL_OFF = 5.0
"""The mode number from which bends of a model's depth become rarer."""
SAMPLE_NOISE = 0.01
"""The least relative disagreement of two views, one standard deviation, that is believed to be noise."""
HELD = 1e-3
"""How far a held pixel may move, one standard deviation of its logarithm."""
SHARED = 4.0
"""This many neighbouring samples count as one: their errors are not independent."""


@dataclass(frozen=True)
class Posed:
    """A view with its depth.

    Attributes:
        camera: All views' cameras are in one frame.
        depth: (H, W) float32 z-depth, a first guess; NaN where there is none or it must not count.
        log_scale_std: One standard deviation of the logarithm of the factor still open: about 1 when nothing is known,
            0.05 for a metric model, 1e-4 for the view that sets the unit.
        warp: One standard deviation of the model's smooth relative error; 0 if the depth is true.
        held: A pixel (row, column) whose depth is true whatever the rest does; None for none.
    """

    camera: Camera
    depth: np.ndarray
    log_scale_std: float = 1.0
    warp: float = 0.1
    held: tuple[int, int] | None = None


def align_jointly(views: list[Posed], *, rounds: int = 2, samples: int = 700) -> list[np.ndarray]:
    """The corrections g, one (H, W) float32 a view: depth · exp(g) is the refined depth.

    Args:
        views: At least one; where all scales are open and nothing is held, the first one's sets the unit.
        rounds: How often the overlaps are found anew.
        samples: Pixels of each view that are compared with the other views.
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
    """(MODES²,) prior variances of the cosines, for a bend and a factor's logarithm of these standard deviations."""
    m, n = np.mgrid[:MODES, :MODES]
    share = 1 / (1 + (m**2 + n**2) / ROLL_OFF**2) ** 2
    share[0, 0] = 0
    variance = np.maximum(warp**2 * share / share.sum(), 1e-12).ravel()
    variance[0] = factor**2
    return variance


def _holding(view: Posed) -> np.ndarray:
    """(MODES², MODES²) precision that holds the correction at the view's held pixel to 0."""
    if view.held is None:
        return np.zeros((MODES * MODES, MODES * MODES))
    height, width = view.depth.shape
    row, column = view.held
    basis = cosine_basis(np.array([(column + 0.5) / width]), np.array([(row + 0.5) / height]))
    return basis.T @ basis / HELD**2


def cosine_basis(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cosines at places (S,) in 0..1 of the picture, (S, MODES²), each of unit mean square."""
    m = np.arange(MODES)
    norm = np.where(m == 0, 1.0, np.sqrt(2.0))
    across, along = norm * np.cos(np.pi * m * x[:, None]), norm * np.cos(np.pi * m * y[:, None])
    return (along[:, :, None] * across[:, None, :]).reshape(len(x), MODES * MODES)


def cosine_field(shape: tuple[int, int], coefficients: np.ndarray) -> np.ndarray:
    """The correction of a whole picture, (H, W) float32."""
    height, width = shape
    m = np.arange(MODES)
    norm = np.where(m == 0, 1.0, np.sqrt(2.0))
    across = norm * np.cos(np.pi * m * ((np.arange(width) + 0.5) / width)[:, None])
    along = norm * np.cos(np.pi * m * ((np.arange(height) + 0.5) / height)[:, None])
    return (along @ coefficients.reshape(MODES, MODES) @ across.T).astype(np.float32)


class _Sampled:
    """What is looked at of one view: some pixels, with rays, depth and basis."""

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
    """Samples of view i on the surface of view j: residual r, with d r / d c_i = near and d r / d c_j = −far."""

    i: int
    j: int
    residual: np.ndarray  # (S,)
    near: np.ndarray  # (S, MODES²)
    far: np.ndarray  # (S, MODES²)
    offset: np.ndarray  # (S,): residual − near·c_i + far·c_j at the linearisation


def _compare(sampled: list[_Sampled], coefficients: np.ndarray, i: int, j: int) -> _Pair | None:
    """The overlap of two views at the present corrections; None where there is hardly any."""
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
    """One reweighting and the linear solve: the most probable coefficients (count, MODES²)."""
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

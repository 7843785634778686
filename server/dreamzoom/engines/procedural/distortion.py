"""Simulates the errors of a monocular depth model: unknown scale, a smooth warp, noise, smeared and false edges."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, zoom


def distort(
    depth: np.ndarray,
    rng: np.random.Generator,
    *,
    factor: tuple[float, float] = (0.5, 2.0),
    warp: float = 0.1,
    noise: float = 0.01,
    outliers: float = 0.0,
    shift: float = 0.0,
) -> np.ndarray:
    """Distort a depth map.

    Args:
        depth: (H, W), positive.
        rng: The source of all randomness.
        factor: Bounds of the scale factor of the whole map, drawn log-uniformly.
        warp: Standard deviation of the logarithm of a smooth multiplicative field with a few bumps across the picture.
        noise: Standard deviation of the logarithm of independent per-pixel noise.
        outliers: Share of all pixels that get a wrong depth, taken from edges first (where models smear), then
            anywhere.
        shift: Bounds ± of an additive constant, as a share of the median depth.

    Returns:
        (H, W) float32, positive.
    """
    depth = np.asarray(depth, np.float64)
    scale = np.exp(rng.uniform(*np.log(factor)))
    logs = warp * _smooth_field(depth.shape, rng) + noise * rng.standard_normal(depth.shape)
    move = rng.uniform(-shift, shift) * np.median(depth)
    picks = rng.random(depth.shape)
    lies = rng.uniform(0.3, 3.0, depth.shape)
    far, near = maximum_filter(depth, 3), minimum_filter(depth, 3)
    edge = far > 1.06 * near
    smeared = np.where(edge, np.sqrt(far * near), depth) if outliers > 0 else depth
    share = _edge_shares(edge, outliers)
    out = np.where(picks < share, depth * lies, smeared)
    return np.maximum(scale * out * np.exp(logs) + scale * move, 1e-4 * np.median(depth)).astype(np.float32)


def _edge_shares(edge: np.ndarray, outliers: float) -> np.ndarray:
    """Each pixel's probability of being an outlier: half of the outliers lie on edges, if there are enough edge pixels,
    the rest anywhere.
    """
    on_edges = min(0.5 * outliers, 0.8 * edge.mean())
    elsewhere = (outliers - on_edges) / max(1.0 - edge.mean(), 1e-6)
    return np.where(edge, on_edges / max(edge.mean(), 1e-9), min(elsewhere, 1.0))


def _smooth_field(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A smooth random field (H, W) with unit standard deviation and a few bumps across the picture."""
    knots = rng.standard_normal((6, 6))
    field = np.asarray(zoom(knots, (shape[0] / 6, shape[1] / 6), order=3, mode="reflect", grid_mode=True))
    field = field[: shape[0], : shape[1]]
    return (field - field.mean()) / max(field.std(), 1e-9)

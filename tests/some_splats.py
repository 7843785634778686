"""Splats for tests of what both sides share, and how alike two sets are."""

from __future__ import annotations

import numpy as np

from core import formats
from core.gaussians import Gaussians

SUFFIXES = [form.suffix for form in formats.FORMATS]

TOLERANCE = {
    ".ply": {"turn": 2e-3},
    ".compressed.ply": {"mean": 2e-3, "scale": 6e-3, "turn": 8e-3, "opacity": 5e-3, "colour": 5e-3, "sh": 0.04},
    ".splat": {"mean": 0, "scale": 1e-6, "turn": 0.02, "opacity": 2e-3, "colour": 2e-3},
    ".spz": {"mean": 1e-6, "scale": 0.032, "turn": 5e-3, "opacity": 2e-3, "colour": 4e-3, "sh": 0.005},
    ".glb": {"scale": 1e-6, "turn": 2e-3, "opacity": 1e-6},
    ".sog": {"mean": 3e-5, "scale": 0.02, "turn": 0.02, "opacity": 2e-3, "colour": 2e-3, "sh": 0.005},
}
"""How far off each format may bring back what was written, as `assert_close` takes it."""

SORTED = {".compressed.ply", ".sog"}
"""Formats that change the order."""


def some(count: int, degree: int = 0, seed: int = 0) -> Gaussians:
    """Splats whose values all formats can hold."""
    rng = np.random.default_rng(seed)
    quaternions = rng.standard_normal((count, 4)).astype(np.float32)
    sh = rng.uniform(-0.9, 0.9, (count, (degree + 1) ** 2, 3)).astype(np.float32)
    return Gaussians(
        rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        rng.uniform(-8, -2, (count, 3)).astype(np.float32),
        quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True),
        rng.uniform(-4, 4, count).astype(np.float32),
        sh,
    )


def rotations_differ(first: np.ndarray, second: np.ndarray) -> float:
    """The largest angle between two sets of unit quaternions, in radians."""
    cosine = np.abs(np.einsum("ni,ni->n", first.astype(np.float64), second)).min(initial=1)
    return float(2 * np.arccos(min(cosine, 1)))


def in_order_of(splats: Gaussians, model: Gaussians) -> Gaussians:
    """The same splats in the order of `model`, whose means are nearly theirs."""
    apart = ((splats.means[None] - model.means[:, None]) ** 2).sum(-1)
    order = apart.argmin(1)
    assert len(set(order)) == len(order)
    return splats[order]


def assert_close(splats: Gaussians, truth: Gaussians, mean=0.0, scale=0.0, turn=1e-3, opacity=0.0, colour=0.0, sh=0.0):
    assert np.abs(splats.means - truth.means).max() <= mean
    assert np.abs(splats.log_scales - truth.log_scales).max() <= scale
    assert rotations_differ(splats.quaternions, truth.quaternions) <= turn
    assert np.abs(splats.opacities - truth.opacities).max() <= opacity
    assert np.abs(splats.rgb - truth.rgb).max() <= colour
    assert splats.sh.shape == truth.sh.shape
    assert np.abs(splats.sh[:, 1:] - truth.sh[:, 1:]).max(initial=0) <= sh


def covariances_of(splats: Gaussians) -> np.ndarray:
    """The covariances of splats, (N, 3, 3) float64, by their quaternions' rotation matrices."""
    w, x, y, z = splats.quaternions.astype(np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    axes = np.moveaxis(np.array(rows), -1, 0)
    scaled = axes * np.exp(splats.log_scales.astype(np.float64))[:, None]
    return scaled @ scaled.transpose(0, 2, 1)

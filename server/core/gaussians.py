"""Sets of 3D Gaussians ("splats"), parametrised as in 3D Gaussian Splatting (Kerbl et al. 2023); their transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import spherical_harmonics
from .arrays import in_chunks, largest, mapped_zeros, smallest
from .camera import Similarity
from .quaternions import axes_of, from_axes
from .spherical_harmonics import SH_C0

FLATNESS = np.float32(np.log(1e-3))
"""The third log-scale of a surfel, relative to the smaller of the other two: log of 1e-3."""

LARGEST = 30.0
"""Natural logarithm of the largest scale and of the largest coordinate; renderers fail on larger values."""

ROWS = 1 << 14
"""Rows per batch in `_stretched`, which works in float64."""


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians in one frame; the object that stores them documents which frame.

    Attributes:
        means: (N, 3) float32.
        log_scales: (N, 3) float32, natural log of the standard deviations along the local axes. For surfels the third
            is log(1e-3) plus the smaller of the other two, and the third local axis is the normal.
        quaternions: (N, 4) float32, wxyz, unit: rotation from local axes to frame axes.
        logit_opacities: (N,) float32.
        sh: (N, K, 3) float32, K = (degree + 1)²: spherical harmonics coefficients of the sRGB colour.
        extra: Further per-splat columns by name, (N,) each, that reading and writing preserves ("superseded", "view").
    """

    means: np.ndarray
    log_scales: np.ndarray
    quaternions: np.ndarray
    logit_opacities: np.ndarray
    sh: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, rows) -> Gaussians:
        """The splats selected by a mask, a slice or an index array."""
        extra = {name: column[rows] for name, column in self.extra.items()}
        return Gaussians(
            self.means[rows],
            self.log_scales[rows],
            self.quaternions[rows],
            self.logit_opacities[rows],
            self.sh[rows],
            extra,
        )

    @property
    def rgb(self) -> np.ndarray:
        """The view-independent colour, (N, 3) sRGB, not clipped."""
        return 0.5 + SH_C0 * self.sh[:, 0]

    @property
    def opacities(self) -> np.ndarray:
        """Opacities (N,) in 0..1: the sigmoid of `logit_opacities`."""
        return 1 / (1 + np.exp(-self.logit_opacities))

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """All arrays except the extra columns, in the order of the attributes."""
        return self.means, self.log_scales, self.quaternions, self.logit_opacities, self.sh

    def ordered(self, order: np.ndarray) -> Gaussians:
        """The splats in the order of row indices `order` (N,); multithreaded, for large sets."""
        parts = (*self.parts, *self.extra.values())
        taken = [mapped_zeros((len(order), *part.shape[1:]), part.dtype) for part in parts]

        def take(where: slice):
            for part, out in zip(parts, taken):
                np.take(part, order[where], 0, out[where], "clip")  # mode "raise" would buffer the output in a copy

        in_chunks(take, len(order), 1 << 16)
        means, log_scales, quaternions, logit_opacities, sh, *extra = taken
        return Gaussians(means, log_scales, quaternions, logit_opacities, sh, dict(zip(self.extra, extra)))

    def usable(self) -> Gaussians:
        """The splats whose scales and coordinates renderers can handle (`LARGEST`)."""
        far = np.float32(np.exp(LARGEST))
        if not len(self) or (self.log_scales.max() <= LARGEST and -far <= self.means.min() <= self.means.max() <= far):
            return self
        return self[(largest(self.log_scales) <= LARGEST) & (largest(np.abs(self.means)) <= far)]

    def are_surfels(self) -> bool:
        """Whether every third scale is at most 1% of the smaller of the other two."""
        flat = self.log_scales[:, 2] <= smallest(self.log_scales[:, :2]) + np.log(np.float32(0.01))
        return bool(flat.all())


def joined(parts: Sequence[Gaussians]) -> Gaussians:
    """Concatenate one or more sets in order.

    Extra columns are dropped, and spherical harmonics are truncated to the lowest degree among the sets.
    """
    terms = min(part.sh.shape[1] for part in parts)
    cut = [(*part.parts[:4], part.sh[:, :terms]) for part in parts]
    means, log_scales, quaternions, logit_opacities, sh = (np.concatenate(columns) for columns in zip(*cut))
    return Gaussians(means, log_scales, quaternions, logit_opacities, sh)


def padded_join(parts: Sequence[Gaussians]) -> Gaussians:
    """Concatenate one or more sets in order; spherical harmonics are padded with zeros to the highest degree.

    Extra columns are dropped. A single set is returned as it is, without them.
    """
    if len(parts) == 1:
        return replace(parts[0], extra={})
    terms = max(part.sh.shape[1] for part in parts)
    sh = np.zeros((sum(len(part) for part in parts), terms, 3), np.float32)
    at = 0
    for part in parts:
        sh[at : at + len(part), : part.sh.shape[1]] = part.sh
        at += len(part)
    means, log_scales, quaternions, logits = (np.concatenate(c) for c in zip(*(part.parts[:4] for part in parts)))
    return Gaussians(means, log_scales, quaternions, logits, sh)


def moved(splats: Gaussians, similarity: Similarity) -> Gaussians:
    """The same splats in another frame; a `Similarity` does not rotate, so quaternions and harmonics are unchanged."""
    means = similarity.apply(splats.means).astype(np.float32)
    return replace(splats, means=means, log_scales=splats.log_scales + np.float32(math.log(similarity.scale)))


def transformed(splats: Gaussians, matrix: np.ndarray) -> Gaussians:
    """Apply an affine transform (4, 4) exactly; view-dependent colours rotate with its rotation part.

    A Gaussian under shear or non-uniform scale stays a Gaussian: Σ' = L Σ Lᵀ, which is decomposed again into axes and
    scales.
    """
    linear = np.asarray(matrix, np.float64)[:3, :3]
    means = (splats.means @ linear.T + np.asarray(matrix)[:3, 3]).astype(np.float32)
    left, stretch, right = np.linalg.svd(linear)
    rotation = left @ right
    axes = np.stack(axes_of(splats.quaternions), -1)
    log_scales = splats.log_scales
    if stretch[0] - stretch[2] < 1e-5 * stretch[0]:
        axes = rotation @ axes
        log_scales = (log_scales + np.log(stretch[0])).astype(np.float32)
    else:
        axes, log_scales = _stretched(axes, log_scales, linear)
    return replace(
        splats,
        means=means,
        log_scales=log_scales,
        quaternions=from_axes(axes),
        sh=spherical_harmonics.turned(splats.sh, rotation),
    )


def _stretched(axes: np.ndarray, log_scales: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (N, 3, 3) and log-scales (N, 3), the longest first, after a linear map L (3, 3): the SVD of L R S."""
    new_axes = np.empty_like(axes, np.float64)
    new_scales = np.empty_like(log_scales)
    for start in range(0, len(axes), ROWS):
        where = slice(start, start + ROWS)
        scaled = linear @ axes[where] * np.exp(log_scales[where].astype(np.float64))[:, None, :]
        new_axes[where], lengths, _ = np.linalg.svd(scaled)
        new_scales[where] = np.log(np.maximum(lengths, 1e-30))
    return new_axes, new_scales

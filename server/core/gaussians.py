"""The Gaussian set, in the parameters of 3D Gaussian Splatting (Kerbl et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace

import numpy as np

from .camera import Similarity

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic: colour = 0.5 + SH_C0 · sh[:, 0], in sRGB as files and viewers have it."""


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians in one level's frame.

    Attributes:
        means: (N, 3) float32.
        log_scales: (N, 3) float32, natural log of the standard deviations along the own axes. Surfels: the third is the
            log of 1e-3 of the smaller of the other two, its axis the normal.
        quaternions: (N, 4) float32, wxyz, unit: own axes to frame axes.
        logit_opacities: (N,) float32.
        sh: (N, K, 3) float32, K = (degree + 1)², sRGB.
        extra: Further per-splat columns by name, (N,) each, kept from file to file ("superseded", "view").
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
        """The splats that a mask or an index array picks."""
        parts = [getattr(self, part.name)[rows] for part in fields(self) if part.name != "extra"]
        return Gaussians(*parts, {name: column[rows] for name, column in self.extra.items()})

    @property
    def rgb(self) -> np.ndarray:
        """The view-independent colour, (N, 3) sRGB, not clipped."""
        return 0.5 + SH_C0 * self.sh[:, 0]

    @property
    def opacities(self) -> np.ndarray:
        """(N,) in 0..1."""
        return 1 / (1 + np.exp(-self.logit_opacities))


def joined(parts: list[Gaussians]) -> Gaussians:
    """All splats of several sets, one or more, in order; without extra columns, harmonics cut to the lowest degree."""
    terms = min(part.sh.shape[1] for part in parts)
    names = ("means", "log_scales", "quaternions", "logit_opacities")
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return Gaussians(*columns, np.concatenate([part.sh[:, :terms] for part in parts]))


def moved(splats: Gaussians, similarity: Similarity) -> Gaussians:
    """The same splats in another frame; similarities do not turn, so rotations and harmonics stay."""
    means = similarity.apply(splats.means).astype(np.float32)
    return replace(splats, means=means, log_scales=splats.log_scales + np.float32(math.log(similarity.scale)))

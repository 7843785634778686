"""Splats and points as numpy arrays, as files hold them. No bpy here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

import numpy as np

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic: colour = 0.5 + SH_C0 · sh[:, 0], in sRGB."""


LARGEST = 30.0
"""The natural log of the largest size and of the largest distance that splats may have: beyond, renderers fail."""


class SplatFileError(Exception):
    """A file that holds no splats or points that can be shown: what is wrong with it, in one sentence."""


@dataclass
class Splats:
    """N Gaussians.

    Attributes:
        means: (N, 3) float32.
        log_scales: (N, 3) float32, natural log of the standard deviations along the own axes.
        quaternions: (N, 4) float32, wxyz, unit: own axes to object axes.
        logit_opacities: (N,) float32.
        sh: (N, K, 3) float32, K = (degree + 1)², sRGB.
        extra: Further columns by name, (N,) each ("superseded").
        dropped: How many rows of the file were left out since they held NaN, infinite or absurd values.
    """

    means: np.ndarray
    log_scales: np.ndarray
    quaternions: np.ndarray
    logit_opacities: np.ndarray
    sh: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, rows) -> Splats:
        """The splats that a mask, a slice or an index array picks."""
        parts = (self.means, self.log_scales, self.quaternions, self.logit_opacities, self.sh)
        extra = {name: column[rows] for name, column in self.extra.items()}
        return Splats(*(part[rows] for part in parts), extra, self.dropped)

    @property
    def rgb(self) -> np.ndarray:
        """The view-independent colour, (N, 3) sRGB, not clipped."""
        return np.float32(0.5) + np.float32(SH_C0) * self.sh[:, 0]

    @property
    def opacities(self) -> np.ndarray:
        """(N,) in 0..1."""
        return np.float32(1) / (np.float32(1) + np.exp(-self.logit_opacities))

    def usable(self) -> Splats:
        """Those of a size and at a place that renderers can show; who is left out is counted in `dropped`."""
        far = np.float32(np.exp(LARGEST))
        if not len(self) or (self.log_scales.max() <= LARGEST and -far <= self.means.min() <= self.means.max() <= far):
            return self
        good = (largest(self.log_scales) <= LARGEST) & (largest(np.abs(self.means)) <= far)
        kept = self[good]
        kept.dropped = self.dropped + len(self) - len(kept)
        return kept

    def are_surfels(self) -> bool:
        """Whether all are flat along their third axis."""
        flat = self.log_scales[:, 2] <= smallest(self.log_scales[:, :2]) + np.log(np.float32(0.01))
        return bool(flat.all())


@dataclass
class Points:
    """N coloured points.

    Attributes:
        positions: (N, 3) float32.
        rgb: (N, 3) float32, sRGB in 0..1.
        footprints: (N,) float32, how far apart neighbours lie, or None where the file says nothing of it.
        superseded: (N,) bool: a finer level shows this place.
    """

    positions: np.ndarray
    rgb: np.ndarray
    footprints: np.ndarray | None
    superseded: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


def largest(rows: np.ndarray) -> np.ndarray:
    """The largest of each short row, (N, few) to (N,): twenty times as fast as numpy's own `max(-1)`."""
    return reduce(np.maximum, rows.T)


def smallest(rows: np.ndarray) -> np.ndarray:
    """The smallest of each short row, likewise."""
    return reduce(np.minimum, rows.T)


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light; below 0 becomes 0, above 1 goes on along the curve."""
    rgb = np.maximum(np.asarray(rgb, np.float32), 0)
    bent = ((np.maximum(rgb, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(rgb <= np.float32(0.04045), rgb / np.float32(12.92), bent)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB; what `srgb_to_linear` decodes."""
    linear = np.asarray(linear, np.float32)
    bent = np.float32(1.055) * np.maximum(linear, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), bent)


def neighbourly(means: np.ndarray) -> np.ndarray:
    """The order (N,) in which neighbours among places (N, 3) follow each other: a Morton curve through 32³ cells."""
    low, high = means.min(0), means.max(0)
    cells = ((means - low) * np.float32(32 / max(float((high - low).max()), 1e-30))).astype(np.uint8)
    x, y, z = _SPREAD[np.minimum(cells, 31)].T
    return np.argsort(x | y << 1 | z << 2, kind="stable")  # 15 bits, which numpy sorts by radix


_SPREAD = np.array([sum((cell >> bit & 1) << 3 * bit for bit in range(5)) for cell in range(32)], np.uint16)
"""The bits of a cell's number along one axis, two apart."""


def axes_of(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three own axes, (N, 3) each, in object axes, of unit quaternions wxyz (N, 4)."""
    w, x, y, z = quaternions.T
    first = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1)
    second = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    third = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
    return first, second, third


def unit(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) of length 1; the zero quaternion becomes the identity, NaN stays."""
    wide = quaternions.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    wide = np.where(length == 0, (1.0, 0.0, 0.0, 0.0), wide / np.where(length == 0, 1, length))
    return wide.astype(np.float32)

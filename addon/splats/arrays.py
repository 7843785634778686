"""Splats and points as numpy arrays, as files hold them. No bpy here."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from math import prod

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

    def ordered(self, order: np.ndarray) -> Splats:
        """The same splats in another order: indices (N,)."""
        parts = (self.means, self.log_scales, self.quaternions, self.logit_opacities, self.sh, *self.extra.values())
        taken = [released((len(order), *part.shape[1:]), part.dtype) for part in parts]

        def take(where: slice):
            for part, out in zip(parts, taken):
                np.take(part, order[where], 0, out[where], "clip")  # "raise" would go through a copy

        in_chunks(take, len(order), 1 << 16)
        return Splats(*taken[:5], dict(zip(self.extra, taken[5:])), self.dropped)

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


def released(shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    """An array for the time being, of zeros, whose memory goes back to the system with it.

    What the C library frees of arrays below 32 MB stays with the process: beside what a render then needs, that is a
    tenth of a gigabyte for a million splats.
    """
    count = prod(shape)
    size = max(1, count * np.dtype(dtype).itemsize)
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # Windows
        return np.frombuffer(mmap.mmap(-1, size), dtype, count).reshape(shape)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # its default is to share
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def in_chunks(work: Callable[[slice], None], count: int, size: int) -> None:
    """Do something for all rows, `size` at once, on all cores."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        list(threads.map(lambda start: work(slice(start, min(start + size, count))), range(0, count, size)))


def largest(rows: np.ndarray) -> np.ndarray:
    """The largest of each short row, (N, few) to (N,): twenty times as fast as numpy's own `max(-1)`."""
    return reduce(np.maximum, rows.T)


def smallest(rows: np.ndarray) -> np.ndarray:
    """The smallest of each short row, likewise."""
    return reduce(np.minimum, rows.T)


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light; below 0 becomes 0, above 1 goes on along the curve."""
    rgb = np.maximum(np.asarray(rgb, np.float32), 0)
    above = (np.maximum(rgb, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055)
    bent = np.exp(np.float32(2.4) * np.log(above))  # five times as fast as a power
    return np.where(rgb <= np.float32(0.04045), rgb / np.float32(12.92), bent)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB; what `srgb_to_linear` decodes."""
    linear = np.asarray(linear, np.float32)
    bent = np.float32(1.055) * np.maximum(linear, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), bent)


def are_neighbourly(means: np.ndarray) -> bool:
    """Whether neighbours among places (N, 3) follow each other already, as in our own, which pixels were lifted to."""
    step = max(1, len(means) // 4096)
    few, following = means[:-1:step], means[1::step]
    away = np.linalg.norm(following - few, axis=-1)
    apart = np.linalg.norm(few - few[::-1], axis=-1)
    return bool(np.median(away) < np.median(apart) / 30)


def neighbourly(means: np.ndarray) -> np.ndarray:
    """The order (N,) in which neighbours among places (N, 3) follow each other: a Morton curve through 32³ cells."""
    low, high = (np.array([bound(column) for column in means.T]) for bound in (np.min, np.max))
    finer = np.float32(32 / max(float((high - low).max()), 1e-30))
    codes = released((len(means),), np.uint16)

    def number(where: slice):
        cells = ((means[where] - low) * finer).astype(np.uint8)
        x, y, z = _SPREAD[np.minimum(cells, 31)].T
        codes[where] = x | y << 1 | z << 2

    in_chunks(number, len(means), 1 << 15)
    return np.argsort(codes, kind="stable")  # 15 bits, which numpy sorts by radix


_SPREAD = np.array([sum((cell >> bit & 1) << 3 * bit for bit in range(5)) for cell in range(32)], np.uint16)
"""The bits of a cell's number along one axis, two apart."""


def axes_of(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three own axes, (N, 3) each, in object axes, of unit quaternions wxyz (N, 4)."""
    first, second, third = (np.ascontiguousarray(axis.T) for axis in components_of(quaternions))
    return first, second, third


def components_of(quaternions: np.ndarray) -> np.ndarray:
    """The same as components in rows: (3 axes, 3, N)."""
    w, x, y, z = np.ascontiguousarray(quaternions.T)
    xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
    wx, wy, wz = w * x, w * y, w * z
    halves = ((yy + zz, xy + wz, xz - wy), (xy - wz, xx + zz, yz + wx), (xz + wy, yz - wx, xx + yy))
    rows = np.empty((3, 3, len(quaternions)), quaternions.dtype)
    for axis in range(3):
        for component, half in enumerate(halves[axis]):
            np.add(half, half, out=rows[axis, component])
        np.subtract(1, rows[axis, axis], out=rows[axis, axis])
    return rows


def unit(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) of length 1; the zero quaternion becomes the identity, NaN stays."""
    wide = quaternions.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    wide = np.where(length == 0, (1.0, 0.0, 0.0, 0.0), wide / np.where(length == 0, 1, length))
    return wide.astype(np.float32)

"""Sorting of splats so that neighbours in space are adjacent in memory, which renders faster."""

from __future__ import annotations

import numpy as np

from ..core.arrays import in_chunks, mapped_zeros


def is_spatially_ordered(means: np.ndarray) -> bool:
    """Whether consecutive positions (N, 3) are neighbours already, as in Dreamzoom's own files."""
    step = max(1, len(means) // 4096)
    few, following = means[:-1:step], means[1::step]
    away = np.linalg.norm(following - few, axis=-1)
    apart = np.linalg.norm(few - few[::-1], axis=-1)
    return bool(np.median(away) < np.median(apart) / 30)


def morton_order(means: np.ndarray) -> np.ndarray:
    """Indices (N,) that sort positions (N, 3) along a Morton curve through 32³ cells."""
    low, high = (np.array([bound(column) for column in means.T]) for bound in (np.min, np.max))
    scale = np.float32(32 / max(float((high - low).max()), 1e-30))
    codes = mapped_zeros((len(means),), np.uint16)

    def number(where: slice):
        cells = ((means[where] - low) * scale).astype(np.uint8)
        x, y, z = _SPREAD[np.minimum(cells, 31)].T
        codes[where] = x | y << 1 | z << 2

    in_chunks(number, len(means), 1 << 15)
    return np.argsort(codes, kind="stable")  # 15 bits, which numpy sorts by radix


_SPREAD = np.array([sum((cell >> bit & 1) << 3 * bit for bit in range(5)) for cell in range(32)], np.uint16)
"""The bits of a cell's index along one axis, with two free bits between them."""

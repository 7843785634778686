"""Resampling operators between the pictures of neighbouring levels.

A level's picture of H × W pixels covers 1/p of the width and height of the coarser level's picture, about a given
centre, at p times its resolution. All operators are separable: one `Axis` for rows and one for columns, with small
matrices. Pixels are areas: a coarse pixel is the mean of the area it covers, for any p > 1 and any sub-pixel centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Axis:
    """The operators along one image axis: n pixels in both levels, m coarse pixels entirely inside the fine level.

    Attributes:
        start: Index of the first of the m coarse pixels.
        down: (m, n) float32, rows sum to 1: the area mean of the fine pixels in each coarse one.
        lift: (n, m) float32: smooth interpolation with down @ lift = identity.
        low: (m, m) float32: low-pass filter of the window. The coarse level's low frequencies are the more reliable
            ones, because its picture extends beyond the window.
        place: The arguments of `make_axis`.
    """

    start: int
    down: torch.Tensor
    lift: torch.Tensor
    low: torch.Tensor
    place: tuple[int, float, float]

    @cached_property
    def white(self) -> torch.Tensor:
        """(m, n), orthonormal rows: maps the noise of the fine pixels to the noise of the coarse ones.

        Computed on first use: it takes seconds for large pictures, and noise is only drawn at the size of latents.
        """
        return _white(*self.place).to(self.down.device)


@lru_cache(maxsize=64)
def make_axis(size: int, factor: float, centre: float) -> Axis | None:
    """The operators along one axis between two levels.

    Args:
        size: n, pixels of both levels.
        factor: p.
        centre: Centre of the finer level, in pixels of the coarser one.

    Returns:
        None if no coarse pixel lies entirely inside the finer level.
    """
    found = _means(size, factor, centre)
    if found is None:
        return None
    first, down, smooth = found
    lift = smooth @ np.linalg.inv(down @ smooth)
    down, lift, low = (torch.from_numpy(matrix.astype(np.float32)) for matrix in (down, lift, _low(len(down))))
    return Axis(first, down, lift, low, (size, factor, centre))


@lru_cache(maxsize=64)
def _white(size: int, factor: float, centre: float) -> torch.Tensor:
    found = _means(size, factor, centre)
    assert found is not None
    return torch.from_numpy(closest_white(found[1]).astype(np.float32))


def closest_white(means: np.ndarray) -> np.ndarray:
    """The matrix with orthonormal rows that is closest to `means` (m, n), rows scaled to unit length.

    Closest in the Frobenius norm: the polar factor. For integer p a coarse pixel's noise is p times the mean of the
    p × p fine pixels in it: it has unit variance, and coarse pixels share no fine ones, so they are uncorrelated. For
    other p neighbouring coarse pixels share fine ones, and there are these alternatives:

    - area means scaled to unit variance are correlated (1/9 per axis for p = 2.5);
    - means over disjoint groups are white, but have shifted positions and unequal areas;
    - splitting shared pixels at random is white, but no longer a function of the fine noise (correlation √0.9 per
      axis).

    The matrix used here gives exactly white noise that is an exact function of the finer level's, correlated 0.998 with
    the ideal means at p = 2.5; for integer p it is the box filter.
    """
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    u, _, v = np.linalg.svd(unit, full_matrices=False)
    return u @ v


def _means(size: int, factor: float, centre: float) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Index of the first coarse pixel entirely in the finer level, area means (m, n), cubic interpolation (n, m)."""
    origin = centre - size / factor / 2
    first = max(math.ceil(origin - 1e-6), 0)
    last = min(math.floor(origin + size / factor + 1e-6), size)
    if last <= first:
        return None
    edges = origin + np.arange(size + 1) / factor
    coarse = np.arange(first, last)[:, None]
    overlap = np.minimum(edges[None, 1:], coarse + 1) - np.maximum(edges[None, :-1], coarse)
    down = np.maximum(overlap, 0)
    down[down < 1e-9] = 0
    down /= down.sum(1, keepdims=True)
    return first, down, _cubic((edges[:-1] + edges[1:]) / 2 - first - 0.5, last - first)


@lru_cache(maxsize=8)
def cosine_basis(count: int, device: torch.device = CPU) -> torch.Tensor:
    """The orthonormal DCT-II matrix (count, count) float32: row k is the cosine with k / 2 periods."""
    if device != CPU:
        return cosine_basis(count).to(device)
    k, j = np.arange(count)[:, None], np.arange(count)[None, :]
    basis = np.cos(math.pi * k * (2 * j + 1) / (2 * count)) * math.sqrt(2 / count)
    basis[0] /= math.sqrt(2)
    return torch.from_numpy(basis.astype(np.float32))


def _low(count: int) -> np.ndarray:
    """A low-pass filter (count, count) around half the Nyquist frequency, with a linear ramp from 1/4 to 3/4 of it."""
    share = np.clip(1.5 - 2 * np.arange(count) / count, 0, 1)
    basis = cosine_basis(count).numpy().astype(np.float64)
    return basis.T @ (share[:, None] * basis)


def _cubic(position: np.ndarray, count: int) -> np.ndarray:
    """Catmull-Rom weights (len(position), count) for `position` (in samples); end samples are repeated."""
    base = np.floor(position).astype(int)
    t = position - base
    weights = np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]
    )
    matrix = np.zeros((len(position), count))
    for k, weight in enumerate(weights):
        np.add.at(matrix, (np.arange(len(position)), np.clip(base + k - 1, 0, count - 1)), weight)
    return matrix


@dataclass(frozen=True)
class Nest:
    """The operators between levels i and i+1.

    Pictures are (C, H, W) tensors; the "window" is the part (C, my, mx) of the coarser picture that both levels show.

    Attributes:
        y, x: The operators along rows and columns.
    """

    y: Axis
    x: Axis

    def window(self, coarse: torch.Tensor) -> torch.Tensor:
        """The part of the coarse picture that the finer level covers, (C, my, mx); a view, not a copy."""
        y, x = self.y.start, self.x.start
        return coarse[..., y : y + len(self.y.down), x : x + len(self.x.down)]

    def down(self, fine: torch.Tensor) -> torch.Tensor:
        """D: the finer picture (C, H, W) averaged to the coarse pixels of the window, (C, my, mx)."""
        return _both(self.y.down, fine, self.x.down)

    def lift(self, window: torch.Tensor) -> torch.Tensor:
        """A smooth fine picture (C, H, W) whose `down` is `window`."""
        return _both(self.y.lift, window, self.x.lift)

    def low(self, window: torch.Tensor) -> torch.Tensor:
        """The window's low frequencies, below about half its Nyquist frequency."""
        return _both(self.y.low, window, self.x.low)

    def white_down(self, fine: torch.Tensor) -> torch.Tensor:
        """Π_noise: unit white noise of the finer level (C, H, W) to that of the window (C, my, mx)."""
        return _both(self.y.white, fine, self.x.white)

    def white_up(self, window: torch.Tensor) -> torch.Tensor:
        """The adjoint of `white_down`."""
        return _both(self.y.white.T, window, self.x.white.T)

    def on(self, device: torch.device) -> Nest:
        """The same operators on another device."""
        if self.y.down.device == device:
            return self
        return Nest(_moved(self.y, device), _moved(self.x, device))


def _moved(axis: Axis, device: torch.device) -> Axis:
    return Axis(axis.start, axis.down.to(device), axis.lift.to(device), axis.low.to(device), axis.place)


def _both(rows: torch.Tensor, picture: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return rows.to(picture.dtype) @ picture @ columns.T.to(picture.dtype)


def make_nest(size: tuple[int, int], factor: float, centre: tuple[float, float] | None = None) -> Nest | None:
    """The operators between two pictures of the same size.

    Args:
        size: (H, W) of both.
        factor: p.
        centre: Pixel (x, y) of the coarser picture at the centre of the finer one; the middle if None.

    Returns:
        Operators that couple the common part; None if there is none.

    Raises:
        ValueError: p is not above 1.
    """
    if not factor > 1:
        raise ValueError(f"the zoom factor must be above 1, got {factor}")
    height, width = size
    x, y = (width / 2, height / 2) if centre is None else centre
    rows, columns = (make_axis(n, float(factor), round(float(at), 6)) for n, at in ((height, y), (width, x)))
    return None if rows is None or columns is None else Nest(rows, columns)

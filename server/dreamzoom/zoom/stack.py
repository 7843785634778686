"""The zoom stack: where one level's picture lies in the one before it, and how pictures pass from scale to scale.

A level's picture of H × W pixels covers 1/p of the picture of the level before, about a centre that may drift, at p
times its resolution. Everything is separable: one `Axis` for rows and one for columns, whose small matrices say how
fine pixels make coarse ones. Pixels are areas: a coarse pixel is the mean of what lies in it, for any p > 1 and any
sub-pixel centre.
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
    """One direction of a nest, n pixels in both levels, m coarse pixels wholly inside the fine level.

    Attributes:
        start: Index of the first of the m coarse pixels.
        down: (m, n), rows sum to 1: the mean of the fine pixels in a coarse one.
        lift: (n, m), smooth, with down @ lift = 1: adds to a fine picture what its coarse one lacks.
        low: (m, m): the low frequencies of the window, which the coarse level knows better since it sees more around.
        place: What it was made for: `make_axis`'s arguments.
    """

    start: int
    down: torch.Tensor
    lift: torch.Tensor
    low: torch.Tensor
    place: tuple[int, float, float]

    @cached_property
    def white(self) -> torch.Tensor:
        """(m, n), orthonormal rows: the noise of the coarse pixels from that of the fine ones.

        Found when it is first asked for, since it takes seconds for large pictures, and noise is drawn for latents.
        """
        return _white(*self.place).to(self.down.device)


@lru_cache(maxsize=64)
def make_axis(size: int, factor: float, centre: float) -> Axis | None:
    """The operators between two levels of `size` pixels, the finer one centred at `centre` (in coarse pixels).

    Returns None where no coarse pixel lies wholly in the finer level.
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
    """The matrix with orthonormal rows closest to `means` (m, n) with its rows scaled to unit length, in the Frobenius
    norm: its polar factor.

    For p an integer a coarse pixel's noise is p times the mean of the p × p fine pixels in it: unit variance, and
    coarse pixels share no fine one, so nothing is correlated. For p not an integer neighbouring coarse pixels share
    fine ones. Their plain area means, scaled to unit variance, are then correlated (1/9 per axis for p = 2.5); means
    over disjoint groups are white but belong to shifted places and uneven areas; splitting shared pixels at random is
    white but no longer a function of the fine noise (correlation √0.9 per axis). This matrix is exactly white, an exact
    function of the finer level, correlated 0.998 with the ideal means at p = 2.5, and for integer p the box filter
    itself.
    """
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    u, _, v = np.linalg.svd(unit, full_matrices=False)
    return u @ v


def _means(size: int, factor: float, centre: float) -> tuple[int, np.ndarray, np.ndarray] | None:
    """The first coarse pixel wholly in the finer level, the means (m, n) and a smooth interpolation back (n, m)."""
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
    """(count, count) orthonormal DCT-II: row k is the wave of k / 2 periods."""
    if device != CPU:
        return cosine_basis(count).to(device)
    k, j = np.arange(count)[:, None], np.arange(count)[None, :]
    basis = np.cos(math.pi * k * (2 * j + 1) / (2 * count)) * math.sqrt(2 / count)
    basis[0] /= math.sqrt(2)
    return torch.from_numpy(basis.astype(np.float32))


def _low(count: int) -> np.ndarray:
    """(count, count): keeps the frequencies well below half the Nyquist frequency, a smooth step from 1/4 to 3/4 of
    it.
    """
    share = np.clip(1.5 - 2 * np.arange(count) / count, 0, 1)
    basis = cosine_basis(count).numpy().astype(np.float64)
    return basis.T @ (share[:, None] * basis)


def _cubic(position: np.ndarray, count: int) -> np.ndarray:
    """Rows of Catmull-Rom weights that interpolate `count` samples at `position` (in samples), ends held."""
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
    """How level i+1 lies in level i. Pictures are (C, H, W) tensors; a "window" is the (C, my, mx) part both levels
    see.
    """

    y: Axis
    x: Axis

    def window(self, coarse: torch.Tensor) -> torch.Tensor:
        """The part of the coarse picture that the finer level sees; a view."""
        y, x = self.y.start, self.x.start
        return coarse[..., y : y + len(self.y.down), x : x + len(self.x.down)]

    def down(self, fine: torch.Tensor) -> torch.Tensor:
        """D: the finer picture at the coarse pixels of the window."""
        return _both(self.y.down, fine, self.x.down)

    def lift(self, window: torch.Tensor) -> torch.Tensor:
        """A smooth fine picture whose `down` is `window`."""
        return _both(self.y.lift, window, self.x.lift)

    def low(self, window: torch.Tensor) -> torch.Tensor:
        """The window's low frequencies, below about half its Nyquist frequency."""
        return _both(self.y.low, window, self.x.low)

    def white_down(self, fine: torch.Tensor) -> torch.Tensor:
        """The window's unit white noise from the finer level's (Π_noise)."""
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
    """The nest of two pictures of `size` (H, W), the finer one centred at pixel `centre` (x, y) of the coarser one.

    The default centre is the middle. Where the finer picture hangs over the coarser one's edge only the common part is
    coupled; None where nothing is.

    Raises:
        ValueError: p is not above 1.
    """
    if not factor > 1:
        raise ValueError(f"the zoom factor must be above 1, got {factor}")
    height, width = size
    x, y = (width / 2, height / 2) if centre is None else centre
    rows, columns = (make_axis(n, float(factor), round(float(at), 6)) for n, at in ((height, y), (width, x)))
    return None if rows is None or columns is None else Nest(rows, columns)

"""Smooth interpolation of scattered values: the screened Laplace equation on the pixel grid, solved by multigrid.

The field g minimises  Σ w (g − t)² + Σ r (g − g_right)² + Σ d (g − g_down)²  over the pixels, by conjugate gradients
preconditioned with one V-cycle over 2×2 aggregates. Where the weight r or d of a link between two pixels is near zero
the field may jump. All arrays are (H, W) float64; values have the unit of the targets, weights are relative.
"""

from __future__ import annotations

import numpy as np

from dreamzoom.jit import njit
from dreamzoom.progress import check

COARSEST = 64
"""Grids of at most this many pixels are the coarsest level, solved by 16 Gauss-Seidel sweeps."""


def solve(
    weight: np.ndarray,
    target: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    *,
    start: np.ndarray | None = None,
    tolerance: float = 3e-3,
    rounds: int = 40,
) -> np.ndarray:
    """Solve for the field g, (H, W) float64.

    Args:
        weight: (H, W) w ≥ 0, positive at some pixel: the weight of each pixel's target.
        target: (H, W) t; any finite value where the weight is 0.
        right, down: (H, W) r and d ≥ 0, weights of the links to the pixel on the right and below; the last column of
            `right` and the last row of `down` are ignored.
        start: (H, W) initial field; if None the solution starts on the coarsest grid (full multigrid).
        tolerance: Stop when the preconditioned residual norm is below this fraction of the right-hand side's.
        rounds: Maximum number of conjugate gradient steps.
    """
    check()
    right, down = np.array(right, np.float64), np.array(down, np.float64)
    right[:, -1], down[-1] = 0, 0
    weight = np.ascontiguousarray(weight, np.float64)
    levels = _hierarchy(weight, right, down)
    loads = [weight * target]
    for _ in levels[1:]:
        loads.append(pooled(loads[-1]))
    if start is not None:
        return _descend(levels, 0, loads[0], np.array(start, np.float64), tolerance, rounds)
    field = np.zeros_like(loads[-1])
    for depth in range(len(levels) - 1, -1, -1):
        field = _descend(levels, depth, loads[depth], field, tolerance, rounds)
        if depth > 0:
            finer = np.zeros_like(loads[depth - 1])
            _prolong(finer, field)
            field = finer
    return field


def _descend(levels, depth, load, field, tolerance, rounds):
    """Preconditioned conjugate gradients on one level of the hierarchy; changes `field` in place and returns it."""
    operator = levels[depth][:3]
    first = _cycle(levels, depth, load)
    goal = tolerance**2 * max(float(np.vdot(load, first)), 1e-300)
    residual = load - _apply(field, *operator)
    guide = _cycle(levels, depth, residual)
    direction, energy = guide.copy(), float(np.vdot(residual, guide))
    for _ in range(rounds):
        check()
        if energy <= goal:
            break
        image = _apply(direction, *operator)
        step = energy / np.vdot(direction, image)
        field += step * direction
        residual -= step * image
        guide = _cycle(levels, depth, residual)
        energy, before = float(np.vdot(residual, guide)), energy
        direction = guide + (energy / before) * direction
    return field


def pooled(values):
    """Sums over 2×2 aggregates: (H, W) to (⌈H/2⌉, ⌈W/2⌉)."""
    height, width = values.shape
    values = np.pad(values, ((0, height % 2), (0, width % 2)))
    return values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]


def _hierarchy(weight, right, down):
    """The grids from fine to coarse, each (weight, right, down, diagonal).

    Link weights are halved on each coarser grid, because piecewise constant aggregation overestimates stiffness.
    """
    levels = [(weight, right, down, _diagonal(weight, right, down))]
    while weight.size > COARSEST:
        height, width = weight.shape
        pad = ((0, height % 2), (0, width % 2))
        right, down = (np.pad(a, pad) for a in (right, down))
        weight = pooled(weight)
        right, down = 0.5 * (right[::2, 1::2] + right[1::2, 1::2]), 0.5 * (down[1::2, ::2] + down[1::2, 1::2])
        right, down = np.ascontiguousarray(right), np.ascontiguousarray(down)
        levels.append((weight, right, down, _diagonal(weight, right, down)))
    return levels


def _diagonal(weight, right, down):
    diagonal = weight + right + down
    diagonal[:, 1:] += right[:, :-1]
    diagonal[1:] += down[:-1]
    return np.maximum(diagonal, 1e-30)


def _cycle(levels, depth, load):
    """One symmetric V-cycle from zero for the right-hand side `load` (h, w); approximates the inverse operator."""
    weight, right, down, diagonal = levels[depth]
    field = np.zeros_like(load)
    if depth + 1 == len(levels):
        for _ in range(8):
            _sweep(field, load, right, down, diagonal, False)
            _sweep(field, load, right, down, diagonal, True)
        return field
    _sweep(field, load, right, down, diagonal, False)
    coarse = _restrict(field, load, weight, right, down)
    _prolong(field, _cycle(levels, depth + 1, coarse))
    _sweep(field, load, right, down, diagonal, True)
    return field


@njit(cache=True, nogil=True)
def _apply(field, weight, right, down):
    """The left-hand side of the normal equations for `field` (h, w) and weights (h, w): (h, w)."""
    height, width = field.shape
    out = np.empty_like(field)
    for i in range(height):
        for j in range(width):
            here = field[i, j]
            value = weight[i, j] * here
            if j + 1 < width:
                value += right[i, j] * (here - field[i, j + 1])
            if j > 0:
                value += right[i, j - 1] * (here - field[i, j - 1])
            if i + 1 < height:
                value += down[i, j] * (here - field[i + 1, j])
            if i > 0:
                value += down[i - 1, j] * (here - field[i - 1, j])
            out[i, j] = value
    return out


@njit(cache=True, nogil=True)
def _sweep(field, load, right, down, diagonal, backward):
    """One Gauss-Seidel sweep of `field` (h, w) in place, in row-major order or, if `backward`, in reverse."""
    height, width = field.shape
    for row in range(height):
        i = height - 1 - row if backward else row
        for column in range(width):
            j = width - 1 - column if backward else column
            value = load[i, j]
            if j + 1 < width:
                value += right[i, j] * field[i, j + 1]
            if j > 0:
                value += right[i, j - 1] * field[i, j - 1]
            if i + 1 < height:
                value += down[i, j] * field[i + 1, j]
            if i > 0:
                value += down[i - 1, j] * field[i - 1, j]
            field[i, j] = value / diagonal[i, j]


@njit(cache=True, nogil=True)
def _restrict(field, load, weight, right, down):
    """The residual (h, w) summed over 2×2 aggregates."""
    height, width = field.shape
    coarse = np.zeros(((height + 1) // 2, (width + 1) // 2))
    image = _apply(field, weight, right, down)
    for i in range(height):
        for j in range(width):
            coarse[i // 2, j // 2] += load[i, j] - image[i, j]
    return coarse


@njit(cache=True, nogil=True)
def _prolong(field, coarse):
    """Add a coarse correction to `field` (h, w) in place, constant over each 2×2 aggregate."""
    height, width = field.shape
    for i in range(height):
        for j in range(width):
            field[i, j] += coarse[i // 2, j // 2]

"""Π_noise: noise that is exactly white in every level's picture and the same in all of them.

For p an integer a coarse pixel's noise is p times the mean of the p × p fine pixels in it: unit variance, and coarse
pixels share no fine one, so nothing is correlated. For p not an integer neighbouring coarse pixels share fine ones.
Their plain area means, scaled to unit variance, are then correlated (1/9 per axis for p = 2.5); means over disjoint
groups are white but belong to shifted places and uneven areas; splitting shared pixels at random is white but no
longer a function of the fine noise (correlation √0.9 per axis). `closest_white` takes the matrix with orthonormal rows
that is closest to the area means
in the Frobenius norm: exactly white, an exact function of the finer level, correlated 0.998 with the ideal means at p
    = 2.5,
and for integer p the box filter itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from dreamzoom.zoom.stack import Nest


def closest_white(means: np.ndarray) -> np.ndarray:
    """The matrix with orthonormal rows closest to `means` (m, n) with its rows scaled to unit length: its polar
    factor.
    """
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    u, _, v = np.linalg.svd(unit, full_matrices=False)
    return u @ v


def finer(noise: torch.Tensor, nest: Nest | None, fresh: torch.Tensor) -> torch.Tensor:
    """The finer level's white noise, given the coarser level's and fresh white noise for what that leaves open.

    With C = `white_down`, n' = g + Cᵀ(window(n) − C g): white because the rows of C are orthonormal, and C n' =
    window(n). So a stack of any depth is drawn from the outside in, holding two levels at a time.
    """
    if nest is None:
        return fresh
    return fresh + nest.white_up(nest.window(noise) - nest.white_down(fresh))


def stack_noise(fresh: list[torch.Tensor], nests: list[Nest | None]) -> list[torch.Tensor]:
    """Noise for levels 0, 1, ... from independent noise: each white, each equal to the next where both see."""
    noise = fresh[:1]
    for own, nest in zip(fresh[1:], nests):
        noise.append(finer(noise[-1], nest, own))
    return noise


def draw(shape: tuple[int, ...], seed: int, *stream: int) -> torch.Tensor:
    """Unit white noise named by a seed and numbers, the same on every machine; float32 on the CPU."""
    rng = np.random.default_rng([seed, *stream])
    return torch.from_numpy(rng.standard_normal(shape, np.float32))

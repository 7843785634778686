"""Π_noise: noise that is exactly white in every level's picture and consistent between levels.

It uses `Nest.white_down` between neighbouring levels (see `level_resampling.closest_white`).
"""

from __future__ import annotations

import numpy as np
import torch

from dreamzoom.sampling.level_resampling import Nest


def finer(noise: torch.Tensor, nest: Nest | None, fresh: torch.Tensor) -> torch.Tensor:
    """The finer level's white noise n' (C, H, W), consistent with the coarser level's.

    With C = `white_down`, n' = g + Cᵀ(window(n) − C g): it is white because the rows of C are orthonormal, and
    C n' = window(n). So noise for any number of levels is drawn from coarse to fine with two levels in memory.

    Args:
        noise: n, (C, H, W) white noise of the coarser level.
        nest: The operators between the levels; None if they are independent.
        fresh: g, (C, H, W) independent white noise.
    """
    if nest is None:
        return fresh
    return fresh + nest.white_up(nest.window(noise) - nest.white_down(fresh))


def stack_noise(fresh: list[torch.Tensor], nests: list[Nest | None]) -> list[torch.Tensor]:
    """Consistent white noise for levels 0, 1, ... from independent noise (C, H, W) per level."""
    noise = fresh[:1]
    for own, nest in zip(fresh[1:], nests):
        noise.append(finer(noise[-1], nest, own))
    return noise


def draw(shape: tuple[int, ...], seed: int, *stream: int) -> torch.Tensor:
    """Unit white noise, float32 on the CPU, determined by a seed and stream numbers; the same on every machine."""
    rng = np.random.default_rng([seed, *stream])
    return torch.from_numpy(rng.standard_normal(shape, np.float32))

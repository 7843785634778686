"""Π_noise: noise that is exactly white in every level's picture and the same in all of them.

`Nest.white_down` of neighbouring levels makes it so (`stack.closest_white` says how).
"""

from __future__ import annotations

import numpy as np
import torch

from dreamzoom.zoom.stack import Nest


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

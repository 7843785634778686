"""A diffusion model as the samplers see it, and how it is asked: in batches, with guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from dreamzoom.zoom.codec import Codec
from dreamzoom.zoom.schedule import Prediction, Schedule, to_clean

UNGUIDED = 0.28
"""Noise ratio below which guidance no longer shows, so that the network is asked once, not twice (Kynkäänniemi et al.
2024, "Applying guidance in a limited interval": SDXL is best guided between 0.28 and 5.42)."""

Prompt = tuple[tuple[str, float], ...]
"""Words with weights that sum to 1: (("forest", 0.5), ("leaf", 0.5)) lies halfway between the two."""


class Denoiser(Protocol):
    """A diffusion model as the sampler sees it."""

    @property
    def schedule(self) -> Schedule:
        """Its noise."""
        ...

    @property
    def prediction(self) -> Prediction:
        """What its output means."""
        ...

    @property
    def codec(self) -> Codec:
        """Between its latents and pictures."""
        ...

    @property
    def multiple(self) -> int:
        """Heights and widths of pictures must be multiples of this."""
        ...

    @property
    def native(self) -> int | None:
        """The side of the square pictures that it was trained on; None where any size will do."""
        ...

    @property
    def device(self) -> torch.device:
        """Where latents must lie."""
        ...

    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The model's output, (B, C, h, w), for latents z at the schedule's `times` (B,), a prompt each."""
        ...

    def one_world(self, coarse: Prompt, fine: Prompt) -> bool:
        """Whether pictures of these prompts, at neighbouring scales, are views of one world of which the model knows a
        part, of any size, as well as a whole picture.
        """
        ...


def predict(
    denoiser: Denoiser, z: Sequence[torch.Tensor], ratios: Sequence[float], prompts: Sequence[Prompt], batch: int
) -> list[torch.Tensor]:
    """x̂ for every z/α at its ratio and prompt, at most `batch` in one call of the model."""
    schedule, answers = denoiser.schedule, []
    for i in range(0, len(z), batch):
        part = slice(i, i + batch)
        times = schedule.time(np.array(ratios[part]))
        alpha, sigma = schedule.alpha(times), schedule.sigma(times)
        noisy = torch.stack([one * float(a) for one, a in zip(z[part], alpha)])
        output = denoiser(noisy, times, prompts[part])
        scales = (torch.as_tensor(v, dtype=noisy.dtype, device=noisy.device) for v in (alpha, sigma))
        shaped = (scale[:, None, None, None] for scale in scales)
        answers.extend(to_clean(denoiser.prediction, output, noisy, *shaped))
    return answers


def guided(
    denoiser: Denoiser,
    z: Sequence[torch.Tensor],
    ratios: Sequence[float],
    prompts: Sequence[Prompt],
    negatives: Sequence[Prompt],
    guidance: Sequence[float],
    batch: int,
) -> list[torch.Tensor]:
    """`predict` with classifier-free guidance (Ho and Salimans 2022): x̂⁻ + g (x̂ − x̂⁻), one g each; where it is 1, or
    the noise ratio below UNGUIDED, the negative prompt is not asked.
    """
    asked = [(i, prompt) for i, prompt in enumerate(prompts)]
    asked += [(i, negatives[i]) for i, g in enumerate(guidance) if g != 1 and ratios[i] >= UNGUIDED]
    chosen = [i for i, _ in asked]
    answers = predict(denoiser, [z[i] for i in chosen], [ratios[i] for i in chosen], [p for _, p in asked], batch)
    result = answers[: len(z)]
    for i, against in zip(chosen[len(z) :], answers[len(z) :]):
        result[i] = against + guidance[i] * (result[i] - against)
    return result

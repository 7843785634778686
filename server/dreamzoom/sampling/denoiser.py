"""The interface of diffusion models for the samplers, and their evaluation in batches with classifier-free guidance.

Latents are (C, h, w) float32 tensors. The samplers use z/α = x + ρ·n with the noise ratio ρ = σ/α (`schedule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from dreamzoom.sampling.codec import Codec
from dreamzoom.sampling.schedule import Prediction, Schedule, to_clean

UNGUIDED = 0.28
"""Noise ratio below which guidance has no visible effect, so that one network evaluation suffices (Kynkäänniemi et al.
2024, "Applying guidance in a limited interval": SDXL is best guided between 0.28 and 5.42)."""

Prompt = tuple[tuple[str, float], ...]
"""Texts with weights that sum to 1: (("forest", 0.5), ("leaf", 0.5)) is halfway between the two."""


class Denoiser(Protocol):
    """The interface of a diffusion model."""

    @property
    def schedule(self) -> Schedule:
        """The noise schedule."""
        ...

    @property
    def prediction(self) -> Prediction:
        """The meaning of the model's output."""
        ...

    @property
    def codec(self) -> Codec:
        """Converts between pictures and latents."""
        ...

    @property
    def multiple(self) -> int:
        """Heights and widths of pictures, in pixels, must be multiples of this."""
        ...

    @property
    def native(self) -> int | None:
        """The side, in pixels, of the square pictures that it was trained on; None if it supports any size."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that latents must be on."""
        ...

    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Evaluate the model.

        Args:
            z: (B, C, h, w) noisy latents α·x + σ·n.
            times: (B,) times of the schedule.
            prompts: B prompts.

        Returns:
            (B, C, h, w), with the meaning that `prediction` states.
        """
        ...

    def one_world(self, coarse: Prompt, fine: Prompt) -> bool:
        """Whether pictures of these prompts at neighbouring scales have one common distribution.

        Then the model also gives valid estimates for crops of any size (see `blend.merge`, `overlaps`).
        """
        ...


def predict(
    denoiser: Denoiser, z: Sequence[torch.Tensor], ratios: Sequence[float], prompts: Sequence[Prompt], batch: int
) -> list[torch.Tensor]:
    """Estimates x̂ of the clean latents, (C, h, w) each.

    Args:
        denoiser: The model.
        z: Noisy latents z/α, (C, h, w) each.
        ratios: Noise ratio ρ of each.
        prompts: Prompt of each.
        batch: Most latents per call of the model.
    """
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
    """`predict` with classifier-free guidance (Ho and Salimans 2022): x̂⁻ + g (x̂ − x̂⁻), with one g per latent.

    Where g is 1 or the noise ratio is below UNGUIDED, the negative prompt is not evaluated.
    """
    asked = [(i, prompt) for i, prompt in enumerate(prompts)]
    asked += [(i, negatives[i]) for i, g in enumerate(guidance) if g != 1 and ratios[i] >= UNGUIDED]
    chosen = [i for i, _ in asked]
    answers = predict(denoiser, [z[i] for i in chosen], [ratios[i] for i in chosen], [p for _, p in asked], batch)
    result = answers[: len(z)]
    for i, against in zip(chosen[len(z) :], answers[len(z) :]):
        result[i] = against + guidance[i] * (result[i] - against)
    return result

"""Diffusion models in closed form: Gaussian pictures, whose exact posterior mean is a Wiener filter.

With x ~ N(μ, K) and z = α·x + σ·n the best guess is E[x | z] = μ + K (K + ρ²)⁻¹ (z/α − μ), ρ = σ/α. Sampling with it
is real
diffusion whose result is known: a sample of N(μ, K). Nothing is trained and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dreamzoom.sampling.codec import Codec, PixelCodec
from dreamzoom.sampling.level_resampling import cosine_basis
from dreamzoom.sampling.schedule import Prediction, Schedule, VariancePreserving

Prompt = Sequence[tuple[str, float]]


def to_waves(picture: torch.Tensor) -> torch.Tensor:
    """DCT of (..., H, W)."""
    rows, columns = (cosine_basis(count, picture.device) for count in picture.shape[-2:])
    return rows @ picture @ columns.T


def from_waves(waves: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_waves`."""
    rows, columns = (cosine_basis(count, waves.device) for count in waves.shape[-2:])
    return rows.T @ waves @ columns


class Field:
    """Pictures whose cosine waves are independent: mean (3,), colour axes, and a power for every wave.

    Attributes:
        mean: (3,) in model units.
        mixing: (3, 3): colour = mean + mixing @ (three independent fields of unit power law).
        power: (H, W) variance of each wave.
    """

    def __init__(self, mean: torch.Tensor, mixing: torch.Tensor, power: torch.Tensor):
        self.mean, self.mixing, self.power = mean, mixing, power
        variance, axes = torch.linalg.eigh((mixing @ mixing.T).cpu().double())
        self.axes = axes.float().to(mixing.device)
        self.variance = variance.clamp_min(1e-12).float().to(mixing.device)
        self._copy: Field | None = None

    def on(self, device: torch.device) -> Field:
        """The same field on another device; the last such copy is kept."""
        if self.power.device == device:
            return self
        if self._copy is None or self._copy.power.device != device:
            self._copy = Field(*(part.to(device) for part in (self.mean, self.mixing, self.power)))
        return self._copy

    def filter(self, noisy: torch.Tensor, ratio: float) -> torch.Tensor:
        """E[x | x + ρ n] for (3, H, W)."""
        centred = torch.einsum("ca,chw->ahw", self.axes, noisy - self.mean[:, None, None])
        signal = self.variance[:, None, None] * self.power
        waves = to_waves(centred) * (signal / (signal + ratio**2))
        return torch.einsum("ca,ahw->chw", self.axes, from_waves(waves)) + self.mean[:, None, None]

    def covary(self, picture: torch.Tensor) -> torch.Tensor:
        """K x for (3, H, W) without the mean."""
        colour = torch.einsum("cd,dhw->chw", self.mixing @ self.mixing.T, picture)
        return from_waves(to_waves(colour) * self.power)

    def sample(self, white: torch.Tensor) -> torch.Tensor:
        """X from unit white noise (3, H, W)."""
        field = from_waves(to_waves(white) * self.power.sqrt())
        return torch.einsum("cd,dhw->chw", self.mixing, field) + self.mean[:, None, None]


class FieldDenoiser:
    """The exact denoiser of a `Field` per prompt; see `sampling.denoiser.Denoiser`.

    Args:
        field: From a prompt and a size (H, W) to its field in −1..1; a mix of prompts gives the mix of estimates'
            fields.
        schedule: Any; the estimate depends on ρ alone.
        prediction: What to answer: the clean picture, or what a trained network would (noise, angular, velocity).
        device: Where it computes.
    """

    multiple: int = 1
    native: int | None = None

    def __init__(
        self,
        field: Callable[[Prompt, tuple[int, int]], Field],
        schedule: Schedule | None = None,
        prediction: Prediction = Prediction.CLEAN,
        device: torch.device | None = None,
    ):
        self.field, self.device = field, device or torch.device("cpu")
        self.schedule = schedule or VariancePreserving.scaled_linear()
        self.prediction = prediction
        self.codec: Codec = PixelCodec()

    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The estimate for z (B, 3, H, W) at times (B,)."""
        alphas, sigmas = self.schedule.alpha(times), self.schedule.sigma(times)
        clean = [
            self.field(tuple(prompt), (one.shape[-2], one.shape[-1])).on(one.device).filter(one / a, s / a)
            for one, a, s, prompt in zip(z, alphas, sigmas, prompts)
        ]
        return from_clean(self.prediction, torch.stack(clean), z, alphas, sigmas)

    def one_world(self, coarse: Prompt, fine: Prompt) -> bool:
        """Of one prompt: its field is the same at every scale."""
        return tuple(coarse) == tuple(fine)


def from_clean(
    prediction: Prediction, clean: torch.Tensor, z: torch.Tensor, alphas: np.ndarray, sigmas: np.ndarray
) -> torch.Tensor:
    """What a network of that kind would answer if its estimate were `clean` (B, C, H, W)."""
    if prediction is Prediction.CLEAN:
        return clean
    alpha, sigma = (torch.as_tensor(v, dtype=z.dtype, device=z.device)[:, None, None, None] for v in (alphas, sigmas))
    noise = (z - alpha * clean) / sigma
    if prediction is Prediction.NOISE:
        return noise
    return alpha * noise - sigma * clean if prediction is Prediction.ANGULAR else noise - clean


def pixel_power(size: tuple[int, int], spectrum: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: int = 2):
    """Power of the cosine waves of pixels that are areas of a continuous field.

    Args:
        size: (H, W).
        spectrum: Spectral density of the field at frequencies (y, x) in periods per pixel.
        reach: Aliases summed on each side.

    Returns:
        (H, W) float64: Σ_n S(f + n) sinc²(f_y + n_y) sinc²(f_x + n_x).
    """
    height, width = size
    fy, fx = np.arange(height)[:, None] / (2 * height), np.arange(width)[None, :] / (2 * width)
    power = np.zeros(size)
    for ny in range(-reach, reach + 1):
        for nx in range(-reach, reach + 1):
            y, x = fy + ny, fx + nx
            power += spectrum(y, x) * np.sinc(y) ** 2 * np.sinc(x) ** 2
    return power

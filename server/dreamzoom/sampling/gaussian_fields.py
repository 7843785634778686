"""Diffusion models in closed form: Gaussian random fields, whose exact posterior mean is a Wiener filter.

With x ~ N(μ, K) and z = α·x + σ·n the posterior mean is E[x | z] = μ + K (K + ρ²)⁻¹ (z/α − μ), ρ = σ/α. Sampling with
it is a genuine diffusion process with a known result, a sample of N(μ, K), without training or approximation.
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
    """The 2D DCT of (..., H, W), orthonormal."""
    rows, columns = (cosine_basis(count, picture.device) for count in picture.shape[-2:])
    return rows @ picture @ columns.T


def from_waves(waves: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_waves`."""
    rows, columns = (cosine_basis(count, waves.device) for count in waves.shape[-2:])
    return rows.T @ waves @ columns


class Field:
    """A Gaussian distribution of pictures whose DCT coefficients are independent.

    Attributes:
        mean: (3,) mean colour, −1..1.
        mixing: (3, 3): colour = mean + mixing @ (three independent fields with variances `power`).
        power: (H, W) variance of each DCT coefficient.
    """

    def __init__(self, mean: torch.Tensor, mixing: torch.Tensor, power: torch.Tensor):
        self.mean, self.mixing, self.power = mean, mixing, power
        variance, axes = torch.linalg.eigh((mixing @ mixing.T).cpu().double())
        self.axes = axes.float().to(mixing.device)
        self.variance = variance.clamp_min(1e-12).float().to(mixing.device)
        self._copy: Field | None = None

    def on(self, device: torch.device) -> Field:
        """The same field on another device; the last copy is cached."""
        if self.power.device == device:
            return self
        if self._copy is None or self._copy.power.device != device:
            self._copy = Field(*(part.to(device) for part in (self.mean, self.mixing, self.power)))
        return self._copy

    def filter(self, noisy: torch.Tensor, ratio: float) -> torch.Tensor:
        """The posterior mean E[x | x + ρ n] for a noisy picture (3, H, W) at noise ratio ρ."""
        centred = torch.einsum("ca,chw->ahw", self.axes, noisy - self.mean[:, None, None])
        signal = self.variance[:, None, None] * self.power
        waves = to_waves(centred) * (signal / (signal + ratio**2))
        return torch.einsum("ca,ahw->chw", self.axes, from_waves(waves)) + self.mean[:, None, None]

    def covary(self, picture: torch.Tensor) -> torch.Tensor:
        """K x, the covariance applied to a picture (3, H, W)."""
        colour = torch.einsum("cd,dhw->chw", self.mixing @ self.mixing.T, picture)
        return from_waves(to_waves(colour) * self.power)

    def sample(self, white: torch.Tensor) -> torch.Tensor:
        """A sample x (3, H, W), from unit white noise (3, H, W)."""
        field = from_waves(to_waves(white) * self.power.sqrt())
        return torch.einsum("cd,dhw->chw", self.mixing, field) + self.mean[:, None, None]


class FieldDenoiser:
    """The exact denoiser of a `Field` per prompt; see `sampling.denoiser.Denoiser`.

    Args:
        field: Maps a prompt (which may be a mix) and a size (H, W) to a field in −1..1.
        schedule: Any; the estimate depends only on ρ.
        prediction: The output to return: the clean picture, or that of another kind of network.
        device: The device of the latents.
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
        """The output (B, 3, H, W) for z (B, 3, H, W) at times (B,)."""
        alphas, sigmas = self.schedule.alpha(times), self.schedule.sigma(times)
        clean = [
            self.field(tuple(prompt), (one.shape[-2], one.shape[-1])).on(one.device).filter(one / a, s / a)
            for one, a, s, prompt in zip(z, alphas, sigmas, prompts)
        ]
        return from_clean(self.prediction, torch.stack(clean), z, alphas, sigmas)

    def one_world(self, coarse: Prompt, fine: Prompt) -> bool:
        """True for equal prompts: the field of a prompt is the same at every scale."""
        return tuple(coarse) == tuple(fine)


def from_clean(
    prediction: Prediction, clean: torch.Tensor, z: torch.Tensor, alphas: np.ndarray, sigmas: np.ndarray
) -> torch.Tensor:
    """The output of a network of kind `prediction` whose estimate is `clean` (B, C, H, W); inverse of `to_clean`.

    `z` is (B, C, H, W); `alphas` and `sigmas` are (B,).
    """
    if prediction is Prediction.CLEAN:
        return clean
    alpha, sigma = (torch.as_tensor(v, dtype=z.dtype, device=z.device)[:, None, None, None] for v in (alphas, sigmas))
    noise = (z - alpha * clean) / sigma
    if prediction is Prediction.NOISE:
        return noise
    return alpha * noise - sigma * clean if prediction is Prediction.ANGULAR else noise - clean


def pixel_power(size: tuple[int, int], spectrum: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: int = 2):
    """Variances of the DCT coefficients if each pixel is the mean of a continuous field over its area.

    Args:
        size: (H, W).
        spectrum: Spectral density of the field at frequencies (y, x) in periods per pixel.
        reach: Number of aliases summed on each side.

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

"""Noise schedules: signal and noise in a model's z_t, and conversion of its output to an estimate of the clean picture.

Every schedule is z_t = α(t)·x + σ(t)·n with n unit white noise. The sampler works on z_t / α(t) = x + ρ·n with the
noise ratio ρ = σ/α. In that form variance preserving models (DDPM) and flow matching differ only in the map between t
and ρ, so a joint step that is correct for one is correct for the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import torch


class Prediction(StrEnum):
    """The meaning of a model's output, given z = α·x + σ·n."""

    CLEAN = "clean"  # x
    NOISE = "noise"  # n (DDPM's ε)
    ANGULAR = "angular"  # α·n − σ·x (Salimans and Ho 2022, v-prediction)
    VELOCITY = "velocity"  # dz/dt = n − x of a straight flow (α = 1 − t, σ = t)


class Schedule(Protocol):
    """A noise schedule. Times are in the model's convention, larger is noisier.

    Arguments are scalars or arrays, results are float64 arrays of the same shape.
    """

    @property
    def ratio_min(self) -> float:
        """The lowest ρ, at which the picture is finished."""
        ...

    @property
    def ratio_max(self) -> float:
        """The highest ρ, at which z is practically pure noise."""
        ...

    def alpha(self, time: np.ndarray) -> np.ndarray:
        """α, the factor of the picture in z."""
        ...

    def sigma(self, time: np.ndarray) -> np.ndarray:
        """σ, the factor of the unit noise in z."""
        ...

    def time(self, ratio: np.ndarray) -> np.ndarray:
        """The time at which σ/α is `ratio`."""
        ...


@dataclass(frozen=True)
class VariancePreserving:
    """DDPM: α² + σ² = 1, tabulated at times 0, 1, ..., T − 1 and interpolated in log ρ (Ho et al. 2020).

    Attributes:
        ratios: (T,) float64, increasing: ρ at each time.
    """

    ratios: np.ndarray

    @staticmethod
    def from_betas(betas: np.ndarray) -> VariancePreserving:
        """From the model's β_t, (T,)."""
        kept = np.cumprod(1 - np.asarray(betas, np.float64))
        return VariancePreserving(np.sqrt((1 - kept) / kept))

    @staticmethod
    def scaled_linear(count: int = 1000, first: float = 0.00085, last: float = 0.012) -> VariancePreserving:
        """The schedule of Stable Diffusion 1, 2 and XL."""
        return VariancePreserving.from_betas(np.linspace(first**0.5, last**0.5, count) ** 2)

    @property
    def ratio_min(self) -> float:
        """ρ at time 0."""
        return float(self.ratios[0])

    @property
    def ratio_max(self) -> float:
        """ρ at the last time."""
        return float(self.ratios[-1])

    def ratio(self, time: np.ndarray) -> np.ndarray:
        """ρ at `time`."""
        return np.exp(np.interp(time, np.arange(len(self.ratios)), np.log(self.ratios)))

    def alpha(self, time: np.ndarray) -> np.ndarray:
        """1 / √(1 + ρ²)."""
        return 1 / np.sqrt(1 + self.ratio(time) ** 2)

    def sigma(self, time: np.ndarray) -> np.ndarray:
        """ρ / √(1 + ρ²)."""
        return self.ratio(time) * self.alpha(time)

    def time(self, ratio: np.ndarray) -> np.ndarray:
        """By interpolation in log ρ."""
        return np.interp(np.log(ratio), np.log(self.ratios), np.arange(len(self.ratios), dtype=np.float64))


@dataclass(frozen=True)
class Flow:
    """Flow matching, rectified flow: α = 1 − t, σ = t, t in 0..1 (Liu et al. 2022, Lipman et al. 2022)."""

    ratio_min: float = 0.01
    ratio_max: float = 200.0

    def alpha(self, time: np.ndarray) -> np.ndarray:
        """1 − t."""
        return 1 - np.asarray(time, np.float64)

    def sigma(self, time: np.ndarray) -> np.ndarray:
        """σ = t."""
        return np.asarray(time, np.float64)

    def time(self, ratio: np.ndarray) -> np.ndarray:
        """ρ / (1 + ρ)."""
        return np.asarray(ratio, np.float64) / (1 + np.asarray(ratio, np.float64))


def to_clean(
    prediction: Prediction, output: torch.Tensor, z: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """The estimate x̂ from a model's output at z = α·x + σ·n; all of one shape or broadcastable."""
    if prediction is Prediction.CLEAN:
        return output
    if prediction is Prediction.NOISE:
        return (z - sigma * output) / alpha
    if prediction is Prediction.ANGULAR:
        return (alpha * z - sigma * output) / (alpha**2 + sigma**2)
    return (z - sigma * output) / (alpha + sigma)

"""Supersampled pictures: averaging over the samples of each pixel, and the adjoint."""

from __future__ import annotations

import numpy as np


def averaged(values: np.ndarray, samples: int) -> np.ndarray:
    """Means over samples × samples blocks: (H · samples, W · samples, ...) to (H, W, ...)."""
    if samples == 1:
        return values
    height, width = values.shape[0] // samples, values.shape[1] // samples
    return values.reshape(height, samples, width, samples, *values.shape[2:]).mean((1, 3))


def repeated(values: np.ndarray, samples: int) -> np.ndarray:
    """The adjoint of `averaged`: repeats each pixel samples × samples times, divided by samples²."""
    return values if samples == 1 else values.repeat(samples, 0).repeat(samples, 1) / np.float32(samples * samples)

"""Pictures of several samples a pixel: means over a pixel's samples, and a pixel's share for each of them."""

from __future__ import annotations

import numpy as np


def averaged(values: np.ndarray, samples: int) -> np.ndarray:
    """Means over samples × samples blocks of (H, W, ...)."""
    if samples == 1:
        return values
    height, width = values.shape[0] // samples, values.shape[1] // samples
    return values.reshape(height, samples, width, samples, *values.shape[2:]).mean((1, 3))


def repeated(values: np.ndarray, samples: int) -> np.ndarray:
    """Every pixel samples × samples times, as if each had its share."""
    return values if samples == 1 else values.repeat(samples, 0).repeat(samples, 1) / np.float32(samples * samples)

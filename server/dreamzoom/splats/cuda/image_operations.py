"""The sRGB curve and supersampling on the GPU, as in `core.colour` and `splats.supersampling`."""

from __future__ import annotations

import torch


def srgb_to_linear(rgb: torch.Tensor) -> torch.Tensor:
    """Decode sRGB values in 0..1 to linear light. Any shape."""
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(rgb_linear: torch.Tensor) -> torch.Tensor:
    """Encode linear light as sRGB; values above 1 are not clipped. Any shape."""
    bent = 1.055 * rgb_linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(rgb_linear <= 0.0031308, rgb_linear * 12.92, bent)


def averaged(values: torch.Tensor, samples: int) -> torch.Tensor:
    """Means over samples × samples blocks: (H · samples, W · samples, ...) to (H, W, ...)."""
    if samples == 1:
        return values
    height, width = values.shape[0] // samples, values.shape[1] // samples
    return values.reshape(height, samples, width, samples, *values.shape[2:]).mean((1, 3))


def repeated(values: torch.Tensor, samples: int) -> torch.Tensor:
    """The adjoint of `averaged`: repeats each pixel samples × samples times, divided by samples²."""
    if samples == 1:
        return values
    return values.repeat_interleave(samples, 0).repeat_interleave(samples, 1) / (samples * samples)

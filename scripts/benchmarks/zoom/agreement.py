"""How well neighbouring levels agree, in dB."""

from __future__ import annotations

import numpy as np
import torch

from dreamzoom.zoom.stack import make_nest


def psnr(error: torch.Tensor) -> float:
    """Of a difference of pictures in 0..1, dB."""
    return float(-10 * torch.log10((error.double() ** 2).mean().clamp_min(1e-12)))


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def agreement(pictures, factor: float = 2.0) -> list[float]:
    """PSNR of D(x_{k+1}) against the window of x_k."""
    nest = make_nest(pictures[0].shape[:2], factor)
    pairs = zip(pictures, pictures[1:])
    return [psnr(nest.down(tensor(fine)) - nest.window(tensor(coarse))) for coarse, fine in pairs]

"""The loss of the fit on the GPU, equivalent to `splats.fitting.loss`: four kernels and two sums."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dreamzoom.splats.cuda.driver import Card
from dreamzoom.splats.cuda.image_operations import linear_to_srgb
from dreamzoom.splats.cuda.layout import ROW_THREADS
from dreamzoom.splats.cuda.raster import blocks, uploaded
from dreamzoom.splats.fitting import loss as cpu


@dataclass(frozen=True)
class Goal:
    """A `splats.fitting.loss.Goal` on the GPU, and the blur's window (11,) float32."""

    rgb: torch.Tensor
    mask: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor
    pixels: int
    window: torch.Tensor


def prepared(card: Card, goal: cpu.Goal) -> Goal:
    """Copy a goal to the GPU."""
    rgb, mask, mean, square, window = (
        uploaded(card, array) for array in (goal.rgb, goal.mask, goal.mean, goal.square, cpu.WINDOW)
    )
    return Goal(rgb, mask, mean, square, goal.pixels, window)


def loss(card: Card, linear: torch.Tensor, goal: Goal) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of a linear picture (H, W, 3) float32, as a scalar tensor, and its gradient (H, W, 3) float32."""
    linear = linear.contiguous()
    shown = linear_to_srgb(linear)
    height, width = goal.mask.shape
    shape, count = (blocks(height * width), ROW_THREADS), 3 * max(goal.pixels, 1)
    half, planes = (torch.empty((height, width, 9), device=card.device) for _ in range(2))
    unlike, apart = (torch.empty((height, width), device=card.device) for _ in range(2))
    out = torch.empty_like(linear)
    card.launch("blur_products", *shape, shown, goal.rgb, goal.mask, goal.window, half)
    card.launch("ssim", *shape, half, goal.mean, goal.square, goal.mask, goal.window, planes, unlike)
    card.launch("blur_rows", *shape, planes, goal.window, half)
    pictures = linear, shown, goal.rgb, goal.mask, goal.window
    weights = (1 - cpu.SHARE) / count, cpu.SHARE / (2 * count)
    card.launch("loss_gradient", *shape, half, *pictures, *weights, out, apart)
    value = ((1 - cpu.SHARE) * apart.sum(dtype=torch.float64) + cpu.SHARE * unlike.sum(dtype=torch.float64) / 2) / count
    return value, out

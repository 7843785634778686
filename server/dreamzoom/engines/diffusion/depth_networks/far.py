"""What a network calls sky or without depth is placed as far away as the rest of the picture reaches."""

from __future__ import annotations

import torch
from torch import Tensor

FAR_QUANTILE = 0.99
FEW = 10
"""With at most so many pixels on either side there is nothing to place, or nothing to tell from how far."""
MOST = 100_000
"""The most values that are sorted."""


def with_far(depth: Tensor, near: Tensor) -> Tensor:
    """Depth (H, W) with the quantile of its near part wherever it is not `near` (H, W), bool.

    Left as unknown, a sky would take the depth of whatever stands before it next to each pixel, and would tear as the
    camera moves.
    """
    values = depth[near]
    if values.numel() <= FEW or depth.numel() - values.numel() <= FEW:
        return depth
    values = values[:: -(-values.numel() // MOST)]
    return torch.where(near, depth, torch.quantile(values, FAR_QUANTILE))

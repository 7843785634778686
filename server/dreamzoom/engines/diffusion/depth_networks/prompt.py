"""The prompt of Prompt Depth Anything (Lin et al. 2024): depth that is known already, coarse and without holes."""

from __future__ import annotations

import numpy as np

from dreamzoom.engines.diffusion.canvas import fill, resized

LEAST = 0.05
"""With a smaller share of known pixels there is no prompt."""
TAILS = (0.2, 99.8)
"""Percentiles between which known depth is taken; the network answers within the range of its prompt."""
FLAT = 0.01
"""A prompt whose range is a smaller share of its middle says nothing about relief."""
COARSER = 4
"""The prompt's sides are so much smaller than the picture that the network sees: it was trained on 192 × 256 values of
a phone's sensor beside 756 × 1008 pixels."""


def prompt_of(known: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    """A prompt for a picture that is shown to the network at a size (H, W).

    Args:
        known: (h, w) z-depth, not finite where unknown, in any unit; None for nothing known.
        size: In pixels.

    Returns:
        (H / 4, W / 4) float32 in the same unit: averages of what is known, continued smoothly over what is not. None
        where too little is known, or what is known is flat.
    """
    if known is None:
        return None
    good = np.isfinite(known) & (known > 0)
    if good.mean() < LEAST:
        return None
    low, high = np.percentile(known[good], TAILS)
    if high - low < FLAT * (high + low) / 2:
        return None
    logarithm = np.log(np.where(good, np.clip(known, low, high), 1.0)).astype(np.float32)
    whole = fill(logarithm[..., None], good)
    height, width = (max(1, -(-side // COARSER)) for side in size)
    return np.clip(np.exp(resized(whole, (height, width))[..., 0]), low, high).astype(np.float32)

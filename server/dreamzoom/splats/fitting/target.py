"""The input pictures of a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera


@dataclass(frozen=True)
class Target:
    """A picture to match.

    Attributes:
        camera: In the splats' frame.
        rgb: (H, W, 3) float32 sRGB in 0..1.
        mask: (H, W) bool; the pixels that supervise the fit.
        solid: (H, W) bool; pixels that must be opaque, of any colour. The mask if None.
    """

    camera: Camera
    rgb: np.ndarray
    mask: np.ndarray
    solid: np.ndarray | None = None

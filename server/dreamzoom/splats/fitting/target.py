"""What a fit is to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera


@dataclass(frozen=True)
class Target:
    """A picture to be matched.

    Attributes:
        camera: In the splats' frame.
        rgb: (H, W, 3) float32 sRGB.
        mask: (H, W) bool; only True pixels supervise, the others may look as they like.
        solid: (H, W) bool; where nothing may shine through, whatever colour it has. The mask where None.
    """

    camera: Camera
    rgb: np.ndarray
    mask: np.ndarray
    solid: np.ndarray | None = None

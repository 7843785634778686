"""The levels' frames and the gauge: position and scale of each level at a zoom u. All in float64.

The frame of level k+1 is a similarity of its parent's: X_{k+1} = p · (X_k − c_k), where p is the zoom factor and c_k
the focus of level k (zero for a straight zoom). The gauge at zoom u, with k = floor(u) clamped to the levels and
t = u − k, is X_g = p^t · (X_k − o_k(t)) with o_k(t) = c_k · (1 − p^−t) / (1 − p^−1): a pure zoom about the point that
stays fixed between the two frames, so that a drifting focus moves at constant apparent speed too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .camera import Similarity


@dataclass(frozen=True)
class LevelFrames:
    """The coordinate frames of N levels.

    Attributes:
        factor: p > 1, how much larger the world appears per unit of zoom.
        focuses: (N, 3) float64; row k is c_k, the focus of level k's child in level k's frame.
        loop: The zoom is endless: the first level follows the last, and any integer k stands for level k mod N.
    """

    factor: float
    focuses: np.ndarray
    loop: bool = field(default=False, kw_only=True)

    @property
    def levels(self) -> int:
        """N, the number of levels."""
        return len(self.focuses)

    def gauge(self, zoom: float, level: int) -> Similarity:
        """The similarity from the gauge at `zoom` to the frame of `level`."""
        base = math.floor(zoom) if self.loop else min(max(math.floor(zoom), 0), self.levels - 1)
        part = zoom - base
        p = self.factor
        drift = self.focuses[base % self.levels] * ((1 - p**-part) / (1 - 1 / p))
        to_base = Similarity(p**-part, -(p**part) * drift)
        return to_base.then(self.between(base, level))

    def between(self, source: int, target: int) -> Similarity:
        """The similarity from the frame of level `source` to the frame of level `target`."""
        if source > target:
            return self.between(target, source).inverse()
        step = Similarity(1.0, np.zeros(3))
        for level in range(source, target):
            step = step.then(Similarity(self.factor, self.focuses[level % self.levels]))
        return step

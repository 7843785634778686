"""A view that is to be dreamed, what its pixels are known to show, and what a depth model says of its picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from core.camera import Camera

UNKNOWN, COARSE, KNOWN = 0, 1, 2
"""The values of a mask M, (H, W) uint8: paint freely; keep the low frequencies and add detail; keep."""


class DepthKind(StrEnum):
    """What a depth model's values mean, so that align knows what may be unknown."""

    METRIC = "metric"  # z-depth, its unit about right: align uses a prior towards scale 1
    SCALE = "scale"  # z-depth up to a factor
    AFFINE = "affine"  # z-depth up to a factor and a shift
    DISPARITY = "disparity"  # 1 / z-depth up to a factor and a shift


@dataclass(frozen=True)
class View:
    """One camera to be dreamed.

    Attributes:
        name: Unique in the job, "002/anchor", "002/side-1": the source of randomness beside the seed.
        level: k; the camera stands in the frame of this level.
        zoom: u on the path (k for an anchor view).
        camera: In the frame of level k.
    """

    name: str
    level: int
    zoom: float
    camera: Camera


@dataclass(frozen=True)
class DepthMap:
    """What a depth model says of a picture: values (H, W) float32, larger is farther unless `kind` is DISPARITY."""

    values: np.ndarray
    kind: DepthKind

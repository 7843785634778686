"""Types shared by the geometry: views to generate, pixel masks, and depth maps from models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from core.camera import Camera

UNKNOWN, COARSE, KNOWN = 0, 1, 2
"""Values of a mask M, (H, W) uint8.

UNKNOWN pixels are generated freely, COARSE ones keep their low frequencies and gain detail, KNOWN ones are kept.
"""


class DepthKind(StrEnum):
    """What a depth model's values mean; it decides which of scale and shift alignment has to fit."""

    METRIC = "metric"  # z-depth, its unit approximately right: alignment uses a prior towards scale 1
    SCALE = "scale"  # z-depth up to a factor
    AFFINE = "affine"  # z-depth up to a factor and a shift
    DISPARITY = "disparity"  # 1 / z-depth up to a factor and a shift


@dataclass(frozen=True)
class View:
    """A camera whose picture is to be generated.

    Attributes:
        name: Unique in the job, "002/anchor", "002/side-1"; together with the job's seed it seeds the random numbers.
        level: k; the camera is in the frame of this level.
        zoom: u on the path (k for an anchor view).
        camera: In the frame of level k.
    """

    name: str
    level: int
    zoom: float
    camera: Camera


@dataclass(frozen=True)
class DepthMap:
    """A depth model's output for a picture.

    Attributes:
        values: (H, W) float32; larger is farther, unless `kind` is DISPARITY.
        kind: What the values mean.
    """

    values: np.ndarray
    kind: DepthKind

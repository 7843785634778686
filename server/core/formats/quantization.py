"""Shared by the compressed formats: quantised opacities, colours, "smallest three" quaternions; spatial order."""

from __future__ import annotations

import numpy as np

from ..spherical_harmonics import SH_C0

LEAST_OPACITY = np.float32(1e-6)
"""Opacity bytes 0 and 255 decode to this much above 0 and below 1, so that the logit is finite."""

SQRT_HALF = np.float32(np.sqrt(0.5))
"""The largest magnitude that any but the largest component of a unit quaternion can have."""

_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def to_byte(values: np.ndarray) -> np.ndarray:
    """Round to uint8, clipped."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def opacity_bytes(logits: np.ndarray) -> np.ndarray:
    """Encode logit-opacities (N,) as opacity bytes (N,) uint8."""
    return to_byte(255 / (1 + np.exp(-np.clip(logits, -30, 30))))


def logits_of(opacity: np.ndarray) -> np.ndarray:
    """Decode opacity bytes (N,) to finite logits (N,) float32."""
    alpha = np.clip(opacity.astype(np.float32) / np.float32(255), LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(alpha / (1 - alpha))


def colour_of(sh: np.ndarray) -> np.ndarray:
    """The sRGB colour (N, 3), not clipped, of the degree-0 coefficient of `sh` (N, K, 3)."""
    return np.float32(0.5) + np.float32(SH_C0) * sh[:, 0]


def constant_of(rgb: np.ndarray) -> np.ndarray:
    """The degree-0 coefficient (N, 3) float32 of sRGB colours (N, 3) in 0..1."""
    return ((rgb - np.float32(0.5)) / np.float32(SH_C0)).astype(np.float32)


def smallest_three(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split unit quaternions (N, 4) into the index of the largest component (N,) and the other three in order (N, 3).

    The sign of q is chosen so that the largest component is positive; the others then lie in ±`SQRT_HALF`.
    """
    largest = np.argmax(np.abs(quaternions), -1)
    sign = np.where(np.take_along_axis(quaternions, largest[:, None], -1) < 0, np.float32(-1), np.float32(1))
    return largest, np.take_along_axis(quaternions, _OTHERS[largest], -1) * sign


def from_smallest_three(largest: np.ndarray, three: np.ndarray) -> np.ndarray:
    """Rebuild unit quaternions (N, 4) from the output of `smallest_three`."""
    quaternions = np.empty((len(three), 4), np.float32)
    np.put_along_axis(quaternions, _OTHERS[largest], three, -1)
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", three, three)))
    np.put_along_axis(quaternions, largest[:, None], rest[:, None], -1)
    return quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)


def morton(points: np.ndarray) -> np.ndarray:
    """Morton codes (N,) uint64 of points (N, 3) within their bounding box, 21 bits per axis."""
    if not len(points):
        return np.zeros(0, np.uint64)
    low = points.min(0).astype(np.float64)
    cells = (points - low) / np.maximum(points.max(0) - low, 1e-30) * ((1 << 21) - 1)
    code = np.zeros(len(points), np.uint64)
    for axis, cell in enumerate(cells.astype(np.uint64).T):
        for shift, mask in (
            (32, 0x1F00000000FFFF),
            (16, 0x1F0000FF0000FF),
            (8, 0x100F00F00F00F00F),
            (4, 0x10C30C30C30C30C3),
            (2, 0x1249249249249249),
        ):
            cell = (cell | cell << np.uint64(shift)) & np.uint64(mask)
        code |= cell << np.uint64(axis)
    return code

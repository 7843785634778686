"""Rotations of splats: unit quaternions wxyz, (N, 4), from a splat's local axes to the axes of its frame."""

from __future__ import annotations

import numpy as np


def unit(quaternions: np.ndarray) -> np.ndarray:
    """Normalise quaternions (N, 4); float32. The zero quaternion becomes the identity, NaN stays NaN."""
    wide = quaternions.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    wide = np.where(length == 0, (1.0, 0.0, 0.0, 0.0), wide / np.where(length == 0, 1, length))
    return wide.astype(np.float32)


def axes_of(quaternions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three local axes, (N, 3) each, in frame coordinates, of unit quaternions (N, 4)."""
    first, second, third = (np.ascontiguousarray(axis.T) for axis in components_of(quaternions))
    return first, second, third


def components_of(quaternions: np.ndarray) -> np.ndarray:
    """The local axes of `axes_of` as (3 axes, 3 components, N), contiguous per component."""
    w, x, y, z = np.ascontiguousarray(quaternions.T)
    xx, yy, zz, xy, xz, yz = x * x, y * y, z * z, x * y, x * z, y * z
    wx, wy, wz = w * x, w * y, w * z
    halves = ((yy + zz, xy + wz, xz - wy), (xy - wz, xx + zz, yz + wx), (xz + wy, yz - wx, xx + yy))
    rows = np.empty((3, 3, len(quaternions)), quaternions.dtype)
    for axis in range(3):
        for component, half in enumerate(halves[axis]):
            np.add(half, half, out=rows[axis, component])
        np.subtract(1, rows[axis, axis], out=rows[axis, axis])
    return rows


def third_axes(quaternions: np.ndarray) -> np.ndarray:
    """The third local axis (N, 3) of unit quaternions (N, 4): a surfel's normal."""
    w, x, y, z = quaternions.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)


def from_axes(axes: np.ndarray) -> np.ndarray:
    """Unit quaternions (N, 4) float32 of matrices (N, 3, 3) whose columns are orthonormal axes.

    Where the determinant is negative the third axis is negated; a Gaussian is symmetric, so this changes nothing.
    """
    m = np.where((np.linalg.det(axes) < 0)[:, None, None], axes * np.array([1, 1, -1]), axes)
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    # Four times the outer product of each quaternion with itself; the row with the largest diagonal is most accurate.
    outer = np.empty((len(m), 4, 4))
    outer[:, 0, 0], outer[:, 1, 1] = 1 + xx + yy + zz, 1 + xx - yy - zz
    outer[:, 2, 2], outer[:, 3, 3] = 1 - xx + yy - zz, 1 - xx - yy + zz
    for row, column, value in (
        (0, 1, m[:, 2, 1] - m[:, 1, 2]),
        (0, 2, m[:, 0, 2] - m[:, 2, 0]),
        (0, 3, m[:, 1, 0] - m[:, 0, 1]),
        (1, 2, m[:, 0, 1] + m[:, 1, 0]),
        (1, 3, m[:, 0, 2] + m[:, 2, 0]),
        (2, 3, m[:, 1, 2] + m[:, 2, 1]),
    ):
        outer[:, row, column] = outer[:, column, row] = value
    best = outer[np.arange(len(m)), np.argmax(outer.diagonal(axis1=1, axis2=2), -1)]
    return (best / np.linalg.norm(best, axis=-1, keepdims=True)).astype(np.float32)

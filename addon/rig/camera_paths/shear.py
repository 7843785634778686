"""Cameras that an unevenly scaled parent shears, as rotations under one linear map that stays the same.

Blender shows a camera by the columns of its world matrix, made unit vectors (`cameras`). A keyed camera cannot be
sheared itself, but its parent's inverse matrix can be any linear map L: if L⁻¹ makes the axes of all frames orthogonal,
the camera needs only a location and a rotation under it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mathutils import Matrix

from ...core.errors import DreamzoomError
from .. import cameras

TOLERANCE = 1e-5
"""Largest cosine between axes that counts as orthogonal after L⁻¹: 0.02 pixels in 2,000."""


def common_stretch(axes: Sequence[np.ndarray]) -> np.ndarray:
    """The symmetric linear map L (3, 3) after whose inverse the axes of all frames are orthogonal.

    For axes a_i of a frame and W = (L Lᵀ)⁻¹ this means a_iᵀ W a_j = 0 for i ≠ j, which is linear in W: of all solutions
    the one nearest to the identity is taken.

    Args:
        axes: (3, 3) each, unit columns.

    Raises:
        DreamzoomError: There is none, since the shear changes from frame to frame.
    """
    stack = np.asarray(axes)
    if all(cameras.is_rigid(one) for one in stack):
        return np.eye(3)
    rows, columns = np.triu_indices(3)
    parts = np.where(rows == columns, 1.0, 2.0) ** 0.5  # so that the norm of a vector is that of the matrix
    pairs = [(0, 1), (0, 2), (1, 2)]
    outer = [np.einsum("fa,fb->fab", stack[:, :, i], stack[:, :, j]) for i, j in pairs]
    system = np.concatenate([(one + one.transpose(0, 2, 1))[:, rows, columns] / 2 * parts for one in outer])
    _, sizes, directions = np.linalg.svd(system)
    free = directions[
        np.append(sizes, np.zeros(6 - len(sizes))) <= TOLERANCE * max(sizes[0], 1e-30) * len(stack) ** 0.5
    ]
    nearest = free.T @ (free @ (np.eye(3)[rows, columns] * parts)) / parts
    w = np.zeros((3, 3))
    w[rows, columns] = w[columns, rows] = nearest
    values, vectors = np.linalg.eigh(w)
    if values[0] > 1e-9 * values[-1] > 0:
        stretch = vectors @ np.diag(values**-0.5) @ vectors.T
        stretch /= np.cbrt(np.linalg.det(stretch))
        if all(_is_orthogonal(np.linalg.solve(stretch, one)) for one in stack):
            return stretch
    raise DreamzoomError(
        "The camera is sheared by parents whose uneven scale changes during the flight",
        "Give the camera's parents one scale on all axes, or a scale that is not animated",
    )


def without(stretch: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The pose (4, 4), rigid, of a camera under a parent with the map `stretch`, from its pose without that parent."""
    found = pose.copy()
    inner = np.linalg.solve(stretch, pose[:3])
    left, _, right = np.linalg.svd(inner[:, :3] / np.linalg.norm(inner[:, :3], axis=0))
    found[:3, :3], found[:3, 3] = left @ right, inner[:, 3]
    return found


def as_matrix(stretch: np.ndarray) -> Matrix:
    """The map as a 4×4 matrix of Blender."""
    return Matrix([[*row, 0.0] for row in stretch.tolist()] + [[0.0, 0.0, 0.0, 1.0]])


def _is_orthogonal(axes: np.ndarray) -> bool:
    unit = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() < TOLERANCE)

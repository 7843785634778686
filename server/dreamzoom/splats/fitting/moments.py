"""Merging of groups of splats by their moments, and spatial sorting."""

from __future__ import annotations

import numpy as np

from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.progress import check
from dreamzoom.splats.threads import by_rows

DEPTH = 20
"""Bits per axis of a Morton code."""
FLATNESS = 1e-3
SOLID = 0.98
"""Maximum opacity of a merged splat; above it the splat grows instead, so that closed surfaces stay closed."""


def _morton(means: np.ndarray) -> np.ndarray:
    """Morton codes (N,) uint64 of points (N, 3)."""
    low = means.min(0).astype(np.float64)
    size = max(float((means.max(0) - low).max()), 1e-12) * (1 + 1e-6)
    cells = ((means - low) / size * (1 << DEPTH)).astype(np.uint64)
    codes = np.zeros(len(means), np.uint64)
    for bit in range(DEPTH):
        check()
        for axis in range(3):
            codes |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return codes


def morton_order(means: np.ndarray) -> np.ndarray:
    """Row indices (N,) that sort points (N, 3) in Morton order, in which consecutive points are close."""
    return np.argsort(_morton(means), kind="stable")


def _mass(splats: Gaussians) -> np.ndarray:
    """Opacity × area, (N,) float64."""
    return np.maximum(splats.opacities * np.exp(splats.log_scales.astype(np.float64)[:, :2].sum(1)), 1e-300)


def merged(splats: Gaussians, group: np.ndarray) -> Gaussians:
    """Merge each group of splats to one surfel.

    Mean, covariance (flattened) and colour (in linear light) are the group's, weighted by opacity × area; the opacity
    preserves the sum of opacity × area. Extra columns are taken from the group's first splat; harmonics above degree 0
    are dropped. Groups of one splat keep its geometry.

    Args:
        splats: Sorted by group.
        group: (N,) consecutive group numbers from 0.
    """
    mass = _mass(splats)
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    single = np.diff(np.append(starts, len(group))) == 1
    total = np.add.reduceat(mass, starts)

    def mean(values):
        weight = mass.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values * weight, starts) / total.reshape(-1, *[1] * (values.ndim - 1))

    positions = splats.means.astype(np.float64)
    centres = mean(positions)
    away = positions - centres[group]
    covariance = mean(_covariances(splats) + away[:, :, None] * away[:, None, :])
    spread, axes = _spread(covariance)
    sigma = np.sqrt(np.maximum(spread[:, [2, 1]], 1e-24))
    opacity = total / (sigma[:, 0] * sigma[:, 1])
    sigma *= np.sqrt(np.maximum(opacity / SOLID, 1))[:, None]
    opacity = np.clip(opacity, 1e-4, SOLID)
    logs = np.log(np.concatenate([sigma, sigma[:, 1:] * FLATNESS], 1))
    rgb = linear_to_srgb(mean(srgb_to_linear(np.clip(splats.rgb, 0, 1).astype(np.float64))))
    fewer = Gaussians(
        centres.astype(np.float32),
        logs.astype(np.float32),
        quaternions_of_axes(axes[:, :, ::-1]),
        np.log(opacity / (1 - opacity)).astype(np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :],
        {name: column[starts] for name, column in splats.extra.items()},
    )
    kept = splats[starts]
    for name in ("means", "log_scales", "quaternions", "logit_opacities"):
        getattr(fewer, name)[single] = getattr(kept, name)[single]
    return fewer


def axes_of(splats: Gaussians) -> np.ndarray:
    """The local axes of each splat as columns, (N, 3, 3) float64."""
    from scipy.spatial.transform import Rotation

    def matrices(quaternions: np.ndarray) -> np.ndarray:
        return Rotation.from_quat(np.roll(quaternions.astype(np.float64), -1, axis=1)).as_matrix()

    return by_rows(matrices, splats.quaternions)


def _covariances(splats: Gaussians) -> np.ndarray:
    """Covariance matrices (N, 3, 3) float64."""
    scaled = axes_of(splats) * np.exp(splats.log_scales.astype(np.float64))[:, None, :]
    return by_rows(lambda rows: rows @ np.swapaxes(rows, 1, 2), scaled)


def _spread(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (N, 3), ascending, and eigenvectors as columns (N, 3, 3)."""

    def both_of(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([part.reshape(len(rows), -1) for part in np.linalg.eigh(rows)], 1)

    both = by_rows(both_of, covariances)
    return both[:, :3], both[:, 3:].reshape(-1, 3, 3)


def quaternions_of_axes(axes: np.ndarray) -> np.ndarray:
    """Orthonormal axes (N, 3, 3), made right-handed if necessary, to quaternions (N, 4) wxyz float32."""
    from scipy.spatial.transform import Rotation

    def quaternions(rows: np.ndarray) -> np.ndarray:
        rows = rows * np.where(np.linalg.det(rows) < 0, -1, 1)[:, None, None]
        return np.roll(Rotation.from_matrix(rows).as_quat(), 1, axis=1).astype(np.float32)

    return by_rows(quaternions, axes)

"""Fewer splats for a budget or a far level: an octree over what the splats occupy, one splat a leaf.

The idea is that of DiffGS (Zhou et al. 2024), which draws Gaussians from an octree over an occupancy function: space is
divided where there is most to show, and each leaf is shown by one Gaussian with the moments of what lies in it.
"""

from __future__ import annotations

import numpy as np

from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0

DEPTH = 20
"""Levels of the octree."""
FLATNESS = 1e-3
SOLID = 0.98
"""The most opaque that a merged splat gets; beyond it grows instead, so that closed surfaces stay closed."""


def resampled(splats: Gaussians, count: int) -> Gaussians:
    """At most `count` splats (and not many fewer) that look alike; the given ones where they are few enough.

    Moments are matched per leaf: mean, covariance (kept flat), colour in linear light, and the opacity that keeps
    opacity × area. Extra columns are those of the leaf's first splat; harmonics above degree 0 are dropped.
    """
    if len(splats) <= count:
        return splats
    if count < 1:
        return splats[:0]
    mass = _mass(splats)
    codes, size = _morton(splats.means)
    order = np.argsort(codes, kind="stable")
    leaf = _leaves(codes[order], mass[order], size, count)
    return merged(splats[order], leaf)


def _morton(means: np.ndarray) -> tuple[np.ndarray, float]:
    """Interleaved cell numbers (N,) uint64 at full depth, and the root's side."""
    low = means.min(0).astype(np.float64)
    size = max(float((means.max(0) - low).max()), 1e-12) * (1 + 1e-6)
    cells = ((means - low) / size * (1 << DEPTH)).astype(np.uint64)
    codes = np.zeros(len(means), np.uint64)
    for bit in range(DEPTH):
        for axis in range(3):
            codes |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return codes, size


def morton_order(means: np.ndarray) -> np.ndarray:
    """Rows (N,) along a space-filling curve: what follows one another lies together."""
    return np.argsort(_morton(means)[0], kind="stable")


def _leaves(codes: np.ndarray, mass: np.ndarray, size: float, count: int) -> np.ndarray:
    """The leaf (N,) of each of the sorted splats, numbered in order: at most `count` leaves.

    A cell is divided while its need, mass times side, is above a threshold. A little noise by the cell's number keeps
    regular grids from being divided all at once.
    """
    needs = np.empty((DEPTH + 1, len(codes)))
    for depth in range(DEPTH + 1):
        cell = codes >> np.uint64(3 * (DEPTH - depth))
        starts = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))
        sizes = np.diff(np.append(starts, len(cell)))
        hashed = (cell[starts] + np.uint64(depth)) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)
        noise = 1 + hashed.astype(np.float64) / (1 << 24)
        needs[depth] = np.repeat(np.add.reduceat(mass, starts) * size / 2.0**depth * noise, sizes)
    np.minimum.accumulate(needs, axis=0, out=needs)
    low, high = np.log(needs.min()) - 1, np.log(needs.max()) + 1
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _numbered(codes, (needs > np.exp(middle)).sum(0))[-1] + 1 > count:
            low = middle
        else:
            high = middle
    return _numbered(codes, (needs > np.exp(high)).sum(0))


def _numbered(codes: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Leaf numbers of sorted codes, each cut to its depth; at full depth equal codes share a leaf."""
    shift = (3 * (DEPTH - np.minimum(depth, DEPTH))).astype(np.uint64)
    cell = codes >> shift
    new = (cell[1:] != cell[:-1]) | (shift[1:] != shift[:-1])
    return np.concatenate([[0], np.cumsum(new)])


def _mass(splats: Gaussians) -> np.ndarray:
    """Opacity × area, (N,) float64."""
    return np.maximum(splats.opacities * np.exp(splats.log_scales.astype(np.float64)[:, :2].sum(1)), 1e-300)


def merged(splats: Gaussians, leaf: np.ndarray) -> Gaussians:
    """One surfel a leaf, with the leaf's moments; `leaf` (N,) numbers them in the splats' order, none left out."""
    mass = _mass(splats)
    starts = np.flatnonzero(np.concatenate([[True], leaf[1:] != leaf[:-1]]))
    single = np.diff(np.append(starts, len(leaf))) == 1
    total = np.add.reduceat(mass, starts)

    def mean(values):
        weight = mass.reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(values * weight, starts) / total.reshape(-1, *[1] * (values.ndim - 1))

    positions = splats.means.astype(np.float64)
    centres = mean(positions)
    away = positions - centres[leaf]
    covariance = mean(_covariances(splats) + away[:, :, None] * away[:, None, :])
    spread, axes = np.linalg.eigh(covariance)
    sigma = np.sqrt(np.maximum(spread[:, [2, 1]], 1e-24))
    opacity = total / (sigma[:, 0] * sigma[:, 1])
    sigma *= np.sqrt(np.maximum(opacity / SOLID, 1))[:, None]
    opacity = np.clip(opacity, 1e-4, SOLID)
    logs = np.log(np.concatenate([sigma, sigma[:, 1:] * FLATNESS], 1))
    rgb = linear_to_srgb(mean(srgb_to_linear(np.clip(splats.rgb, 0, 1).astype(np.float64))))
    fewer = Gaussians(
        centres.astype(np.float32),
        logs.astype(np.float32),
        _quaternions(axes[:, :, ::-1]),
        np.log(opacity / (1 - opacity)).astype(np.float32),
        ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :],
        {name: column[starts] for name, column in splats.extra.items()},
    )
    kept = splats[starts]
    for name in ("means", "log_scales", "quaternions", "logit_opacities"):
        getattr(fewer, name)[single] = getattr(kept, name)[single]
    return fewer


def axes_of(splats: Gaussians) -> np.ndarray:
    """Each splat's own axes as columns, (N, 3, 3) float64."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.roll(splats.quaternions.astype(np.float64), -1, axis=1)).as_matrix()


def _covariances(splats: Gaussians) -> np.ndarray:
    """(N, 3, 3) float64."""
    scaled = axes_of(splats) * np.exp(splats.log_scales.astype(np.float64))[:, None, :]
    return scaled @ np.swapaxes(scaled, 1, 2)


def _quaternions(axes: np.ndarray) -> np.ndarray:
    """Orthonormal axes (N, 3, 3), made right-handed, to quaternions (N, 4) wxyz float32."""
    from scipy.spatial.transform import Rotation

    axes = axes * np.where(np.linalg.det(axes) < 0, -1, 1)[:, None, None]
    return np.roll(Rotation.from_matrix(axes).as_quat(), 1, axis=1).astype(np.float32)

"""Relocation of transparent splats to opaque, large ones, and addition of new splats up to a cap.

After Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo", eq. 9: if a splat of opacity o is
replaced by n copies, each gets opacity 1 − (1 − o)^(1/n) and smaller scales, so that the picture hardly changes.
"""

from __future__ import annotations

import math

import numpy as np

from dreamzoom.splats.fitting.adam import Surfels

DEAD = 0.01
"""Splats with a lower opacity are relocated."""
GROWTH = 0.05
"""Largest relative growth of the number of splats per call."""
_MOST = 32


def _shrink(opacity: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 9 for splats of `opacity` (N,) with `copies` (N,): the new opacities and the factors on the scales, (N,)."""
    new = 1 - (1 - opacity) ** (1 / copies)
    total = np.zeros_like(opacity)
    for i in range(1, _MOST + 1):
        inner = sum(math.comb(i - 1, k) * (-1) ** k * new ** (k + 1) / math.sqrt(k + 1) for k in range(i))
        total += np.where(i <= copies, inner, 0)
    return new, np.clip(opacity / np.maximum(total, 1e-12), 0.1, 1)


def relocate(surfels: Surfels, floor: np.ndarray, cap: int, rng: np.random.Generator) -> np.ndarray:
    """Relocate transparent splats and add new ones, in place.

    Args:
        surfels: The N splats being fitted.
        floor: (N,) lower limit of each one's log-scales.
        cap: Maximum number of splats.
        rng: Random numbers for the choice of sources and for the scattering.

    Returns:
        The limits (N',) of the splats afterwards.
    """
    opacity = 1 / (1 + np.exp(-surfels.logit_opacities[:, 0].astype(np.float64)))
    dead = np.flatnonzero(opacity < DEAD)
    room = min(int(GROWTH * len(surfels)), cap - len(surfels))
    alive = np.flatnonzero((opacity >= DEAD) & (surfels.log_scales.max(1) > floor + 0.4))
    if not len(alive) or len(dead) + max(room, 0) == 0:
        return floor
    area = np.exp(surfels.log_scales[alive].sum(1) - 2 * floor[alive])
    chance = opacity[alive] * np.minimum(area, 50)
    sources = rng.choice(alive, len(dead) + max(room, 0), p=chance / chance.sum())
    copies = np.bincount(sources, minlength=len(surfels))
    chosen = np.flatnonzero(copies)
    new, factor = _shrink(opacity[chosen], np.minimum(copies[chosen] + 1, _MOST).astype(np.float64))
    new = np.clip(new, DEAD, 1 - 1e-4)
    surfels.logit_opacities[chosen, 0] = np.log(new / (1 - new))
    surfels.log_scales[chosen] += np.log(factor)[:, None].astype(np.float32)
    surfels.replaced(dead, sources[: len(dead)])
    added = sources[len(dead) :]
    moved = np.concatenate([dead, len(surfels) + np.arange(len(added))])
    floor = floor.copy()
    floor[dead] = floor[sources[: len(dead)]]
    if len(added):
        surfels.grown(added)
        floor = np.concatenate([floor, floor[added]])
    _scatter(surfels, moved, rng)
    return floor


def _scatter(surfels: Surfels, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Displace rows randomly within their planes, since copies at the same position would get equal gradients."""
    w, x, y, z = surfels.quaternions[rows].T
    first = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], 1)
    second = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], 1)
    step = (rng.normal(size=(len(rows), 2)) * np.exp(surfels.log_scales[rows])).astype(np.float32)
    surfels.means[rows] += step[:, :1] * first + step[:, 1:] * second

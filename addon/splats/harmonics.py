"""Real spherical harmonics to degree 3, in the signs of 3DGS: evaluated by numpy or by nodes, and turned.

The sum over the basis is a colour's difference from its constant part, in sRGB, as seen along a unit direction that
goes away from the eye.
"""

from __future__ import annotations

import numpy as np

MOST_DEGREE = 3


def basis(x, y, z, degree: int) -> list:
    """The basis above degree 0 at a unit direction, in the order of the files.

    x, y, z are whatever adds and multiplies: numpy arrays, numbers, or the sockets of a node tree.
    """
    values = []
    if degree >= 1:
        c = 0.4886025119029199
        values += [y * -c, z * c, x * -c]
    if degree >= 2:
        xx, yy, zz, xy = x * x, y * y, z * z, x * y
        c = 1.0925484305920792
        round_z = zz * 2.0 - xx - yy
        values += [xy * c, y * z * -c, round_z * 0.31539156525252005, x * z * -c, (xx - yy) * 0.5462742152960396]
    if degree >= 3:
        tall_z = zz * 4.0 - xx - yy
        values += [
            y * (xx * 3.0 - yy) * -0.5900435899266435,
            xy * z * 2.890611442640554,
            y * tall_z * -0.4570457994644658,
            z * (zz * 2.0 - xx * 3.0 - yy * 3.0) * 0.3731763325901154,
            x * tall_z * -0.4570457994644658,
            z * (xx - yy) * 1.445305721320277,
            x * (xx - yy * 3.0) * -0.5900435899266435,
        ]
    return values


def degree_of(sh: np.ndarray) -> int:
    """The degree of coefficients (N, (degree + 1)², 3)."""
    return round(sh.shape[1] ** 0.5) - 1


def turned(sh: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Coefficients of the same colours after the splats were turned by `rotation` (3, 3): (N, K, 3), degrees to 3.

    Per degree the new coefficients c' solve Y(d) c' = Y(Rᵀ d) c over a few directions d; the space of one degree is
    closed under rotation, so the solution is exact.
    """
    degree = degree_of(sh)
    directions = _spread_directions(32)
    new, old = (np.stack(basis(*d.T, degree), -1) for d in (directions, directions @ rotation)) if degree else ((), ())
    result = sh.copy()
    for band in range(1, degree + 1):
        part = slice(band * band - 1, (band + 1) ** 2 - 1)
        matrix = np.linalg.lstsq(new[:, part], old[:, part], rcond=None)[0].astype(np.float32)
        result[:, 1:][:, part] = np.einsum("kj,njc->nkc", matrix, sh[:, 1:][:, part])
    return result


def _spread_directions(count: int) -> np.ndarray:
    """Unit directions spread evenly along a spiral, (count, 3)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    ring = np.sqrt(1 - height * height)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), height], -1)

"""Real spherical harmonics to degree 3, in the order and signs of 3D Gaussian Splatting (Kerbl et al. 2023).

A splat's sRGB colour is 0.5 + Σ coefficient · basis function, evaluated at the unit direction from the camera to the
splat. The server's rasterisers contain the same basis, with its derivatives, as compiled code.
"""

from __future__ import annotations

import numpy as np

MOST_DEGREE = 3

SH_C0 = 0.28209479177387814
"""The constant basis function of degree 0."""

C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


def basis(x, y, z, degree: int) -> list:
    """The basis functions of degrees 1 to `degree` at a unit direction (x, y, z), in the order of 3DGS files.

    x, y, z may be any type with +, − and ·: numpy arrays, numbers, or the sockets of a node tree.
    """
    values = []
    if degree >= 1:
        values += [y * -C1, z * C1, x * -C1]
    if degree < 2:
        return values
    xx, yy, zz, xy = x * x, y * y, z * z, x * y
    round_z = zz * 2.0 - xx - yy
    values += [xy * C2[0], y * z * C2[1], round_z * C2[2], x * z * C2[3], (xx - yy) * C2[4]]
    if degree < 3:
        return values
    tall_z = zz * 4.0 - xx - yy
    return [
        *values,
        y * (xx * 3.0 - yy) * C3[0],
        xy * z * C3[1],
        y * tall_z * C3[2],
        z * (zz * 2.0 - xx * 3.0 - yy * 3.0) * C3[3],
        x * tall_z * C3[4],
        z * (xx - yy) * C3[5],
        x * (xx - yy * 3.0) * C3[6],
    ]


def degree_of(sh: np.ndarray) -> int:
    """The degree of coefficients of shape (N, (degree + 1)², 3)."""
    return round(sh.shape[1] ** 0.5) - 1


def turned(sh: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Rotate coefficients (N, K, 3) by `rotation` R (3, 3), for degrees up to 3.

    Per degree the new coefficients c' solve Y(d) c' = Y(Rᵀ d) c over a set of directions d; the space of one degree is
    closed under rotation, so the solution is exact.
    """
    degree = degree_of(sh)
    result = sh.copy()
    if not degree:
        return result
    directions = _spread_directions(32)
    new, old = (_basis_along(d, degree) for d in (directions, directions @ rotation))
    for band in range(1, degree + 1):
        part = slice(band * band - 1, (band + 1) ** 2 - 1)
        matrix = np.linalg.lstsq(new[:, part], old[:, part], rcond=None)[0].astype(np.float32)
        result[:, 1:][:, part] = np.einsum("kj,njc->nkc", matrix, sh[:, 1:][:, part])
    return result


def _basis_along(directions: np.ndarray, degree: int) -> np.ndarray:
    """The basis functions above degree 0 at unit directions (N, 3): (N, K − 1)."""
    x, y, z = directions.T
    return np.stack(basis(x, y, z, degree), -1)


def _spread_directions(count: int) -> np.ndarray:
    """Unit directions (count, 3), spread evenly over the sphere on a Fibonacci spiral."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    ring = np.sqrt(1 - height * height)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), height], -1)

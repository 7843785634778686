"""The shape of each style, compiled: height over the plane in the style's own frame, zero at the focus.

`base` is smooth and level at the focus, so it may stay beneath finer levels for ever; `detail` is what finer levels calm down.
"""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, mix, ridged, smooth


@njit
def base(P, x, y):
    """The smooth underlying form of a style."""
    style = int(P[R.STYLE])
    r2 = x * x + y * y
    if style == R.SPACE:
        r = math.sqrt(r2)
        if r < 0.62:
            return max(math.sqrt(0.62 * 0.62 - r2) - 0.62, -0.45)
        return -0.45
    if style == R.PLANET:
        return 1.1 * (math.sqrt(max(1.0 - 0.16 * r2, 0.04)) - 1.0)
    if style == R.MOUNTAINS:
        return 0.05 * r2 / (1.0 + 0.25 * r2)
    return 0.0


@njit
def land(P, seed, x, y, fp):
    """The planet's and the continent's height over the sea, before it is clipped: positive is land."""
    f = 1.15
    wx = x * f + 0.35 * fbm(x * 1.3, y * 1.3, seed + 11, 3, 0.5, fp * 1.3)
    wy = y * f + 0.35 * fbm(x * 1.3 + 9.0, y * 1.3, seed + 12, 3, 0.5, fp * 1.3)
    n = fbm(wx, wy, seed + 13, 8, 0.52, fp * f)
    return n + 0.05 + 0.4 * math.exp(-(x * x + y * y) / 0.16)


@njit
def detail(P, seed, x, y, fp):
    """The relief of a style."""
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return _space(P, seed, x, y, fp)
    if style == R.PLANET:
        return _planet(P, seed, x, y, fp)
    if style == R.FOREST:
        return _forest(P, seed, x, y, fp)
    return _mountains(P, seed, x, y, fp)


@njit
def _space(P, seed, x, y, fp):
    r = math.sqrt(x * x + y * y)
    out = smooth(0.62, 1.2, r)
    n = 0.0
    if out > 0.0:
        n = out * 0.16 * fbm(x * 1.1, y * 1.1, seed + 1, 4, 0.5, fp)
    ring = smooth(0.78, 0.8, r) * (1.0 - smooth(1.12, 1.14, r))
    return n + 0.06 * ring


@njit
def _planet(P, seed, x, y, fp):
    n = land(P, seed, x, y, fp)
    return 0.10 * max(n, 0.0) ** 1.3


@njit
def _mountains(P, seed, x, y, fp):
    f = 0.9
    wx = x * f + 0.18 * gradient(x * 1.7, y * 1.7, seed + 3)
    wy = y * f + 0.18 * gradient(x * 1.7, y * 1.7, seed + 4)
    n = ridged(wx, wy, seed + 5, 9, 0.5, fp * f)
    return 0.62 * n * n * smooth(0.1, 1.2, math.sqrt(x * x + y * y))


@njit
def _forest(P, seed, x, y, fp):
    hills = 0.10 * fbm(x * 0.8, y * 0.8, seed + 6, 3, 0.5, fp)
    f = 7.0
    f1, f2, dx, dy, ix, iy = cells(x * f, y * f, seed + 7, 0.8)
    size = 0.6 + 0.6 * hash01(ix, iy, seed + 8)
    crown = max(1.0 - f1 / (0.62 * size), 0.0)
    return hills + 0.17 * size * math.sqrt(crown) * (0.9 + 0.1 * gradient(x * 40, y * 40, seed + 9))

"""The look of each style, compiled: albedo and emission, linear RGB, as functions of the place alone."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, mix, smooth
from dreamzoom.engines.procedural.relief import land


@njit(inline="always")
def _colour(P, i):
    k = R.COLOURS + 3 * i
    return P[k], P[k + 1], P[k + 2]


@njit(inline="always")
def _mix3(a, b, t):
    return (mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t))


@njit(inline="always")
def _mul3(a, s):
    return (a[0] * s, a[1] * s, a[2] * s)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """What a style looks like at a place of its frame.

    Args:
        P, seed: The recipe and its seed.
        x, y, z: The place in the style's frame.
        nz: The surface normal's upward part.
        fp: Footprint.

    Returns:
        Albedo (3), emission (3), gloss (0..1).
    """
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return _space(P, seed, x, y, z, nz, fp)
    if style == R.PLANET:
        return _planet(P, seed, x, y, z, nz, fp)
    if style == R.FOREST:
        return _forest(P, seed, x, y, z, nz, fp)
    return _mountains(P, seed, x, y, z, nz, fp)


@njit
def stars(x, y, seed, fp):
    """Light of stars at a place of a plane: round glows of many sizes, about 0..3."""
    total = 0.0
    f = 3.0
    for layer in range(3):
        f1, f2, dx, dy, ix, iy = cells(x * f, y * f, seed + layer, 0.8)
        bright = hash01(ix, iy, seed + 7 + layer) ** 4
        radius = max(0.012 + 0.03 * bright, 0.6 * fp * f)
        gain = (0.012 + 0.03 * bright) / radius
        total += bright * gain * gain * 3.0 * math.exp(-(f1 * f1) / (radius * radius))
        f *= 2.3
    return total


@njit
def _space(P, seed, x, y, z, nz, fp):
    r = math.sqrt(x * x + y * y)
    if r < 0.60:
        s = 3.0
        wx = fbm(x * s, y * s, seed + 21, 3, 0.5, fp * s)
        n = fbm(x * s + 0.8 * wx, y * s * 1.6 - 0.5 * wx, seed + 22, 6, 0.55, fp * s)
        c = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.4, 0.15, n))
        c = _mix3(c, _colour(P, 2), smooth(0.15, 0.7, n))
        rim = smooth(0.42, 0.6, r)
        return c, _mul3(P[R.SKY : R.SKY + 3], 0.0), 0.1
    ring = smooth(0.78, 0.8, r) * (1.0 - smooth(1.12, 1.14, r))
    wx = fbm(x * 0.9, y * 0.9, seed + 23, 4, 0.5, fp)
    n = fbm(x * 1.1 + wx, y * 1.1 - 0.7 * wx, seed + 24, 6, 0.5, fp)
    neb = smooth(-0.1, 0.8, n)
    e = _mul3(_mix3(_colour(P, 3), _colour(P, 4), smooth(-0.5, 0.5, wx)), 0.35 * neb * neb + 0.01)
    s = stars(x, y, seed + 25, fp) * (1.0 - ring)
    band = 0.5 + 0.5 * gradient(r * 30.0, 0.5, seed + 26)
    a = _mix3((0.01, 0.01, 0.015), _mul3(_colour(P, 2), 0.2 + 0.8 * band), ring)
    return a, (e[0] * (1 - ring) + s, e[1] * (1 - ring) + s * 0.95, e[2] * (1 - ring) + s * 0.9), 0.0


@njit
def _planet(P, seed, x, y, z, nz, fp):
    n = land(P, seed, x, y, fp)
    m = fbm(x * 2.2, y * 2.2, seed + 31, 5, 0.5, fp * 2.2)
    sea = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.35, 0.0, n))
    ground = _mix3(_colour(P, 2), _colour(P, 3), smooth(-0.3, 0.35, m))
    ground = _mix3(ground, _colour(P, 4), smooth(0.35, 0.8, n + 0.3 * m))
    shore = smooth(-0.01, 0.015, n)
    wx = fbm(x * 1.2, y * 1.2, seed + 32, 3, 0.5, fp * 1.2)
    cloud = smooth(0.1, 0.75, fbm(x * 1.3 + 0.9 * wx, y * 2.1 - 0.6 * wx, seed + 33, 6, 0.55, fp * 1.6))
    c = _mix3(_mix3(sea, ground, shore), (0.85, 0.87, 0.9), cloud)
    return c, (0.0, 0.0, 0.0), (1.0 - shore) * (1.0 - cloud)


@njit
def _mountains(P, seed, x, y, z, nz, fp):
    m = fbm(x * 3.0, y * 3.0, seed + 41, 6, 0.55, fp * 3)
    rock = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.4, 0.5, m + 0.3 * math.sin(z * 40 + 3 * m)))
    grass = _mix3(_colour(P, 2), _colour(P, 3), smooth(-0.5, 0.5, m))
    c = _mix3(rock, grass, smooth(0.72, 0.9, nz + 0.06 * m) * (1.0 - smooth(0.12, 0.25, z + 0.05 * m)))
    line = 0.26 - 0.25 * P[R.SNOW]
    snow = smooth(line, line + 0.07, z + 0.05 * m) * smooth(0.5, 0.72, nz)
    return _mix3(c, _colour(P, 4), snow), (0.0, 0.0, 0.0), 0.1 * snow


@njit
def _forest(P, seed, x, y, z, nz, fp):
    f = 7.0
    f1, f2, dx, dy, ix, iy = cells(x * f, y * f, seed + 7, 0.8)
    h = hash01(ix, iy, seed + 51)
    c = _mix3(_colour(P, 0), _colour(P, 1), h)
    c = _mix3(c, _colour(P, 2), smooth(0.75, 1.0, h))
    m = fbm(x * 12, y * 12, seed + 52, 4, 0.6, fp * 12)
    return _mul3(c, 0.85 + 0.45 * m), (0.0, 0.0, 0.0), 0.05

"""Whole planets, and continents seen from orbit; both use the same land and sea."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, mix, ridged, smooth
from dreamzoom.engines.procedural.styles.space import stars


@njit
def land(seed, x, y, fp):
    """Height of a planet's or continent's ground above sea level, before clipping: positive is land."""
    f = 1.05
    wx = x * f + 0.3 * fbm(x * 1.2, y * 1.2, seed + 11, 3, 0.5, fp * 1.2)
    wy = y * f + 0.3 * fbm(x * 1.2 + 9.0, y * 1.2, seed + 12, 3, 0.5, fp * 1.2)
    n = fbm(wx, wy, seed + 13, 9, 0.56, fp * f)
    return 1.1 * n - 0.02 + 0.35 * math.exp(-(x * x + y * y) / 0.2)


@njit
def ranges(seed, x, y, fp):
    """Strength of mountain ranges at a point of a continent, 0..1."""
    a = 1.0 - abs(gradient(x * 0.75 + 0.3 * gradient(x * 1.5, y * 1.5, seed + 15), y * 0.75, seed + 14))
    return smooth(0.72, 0.98, a)


@njit
def _clouds(x, y, seed, fp):
    """Cover of swirling clouds, 0..1."""
    wx = fbm(x * 1.1, y * 1.1, seed, 3, 0.5, fp)
    return smooth(0.12, 0.8, fbm(x * 1.2 + 1.1 * wx, y * 1.9 - 0.8 * wx, seed + 1, 8, 0.58, fp * 1.9))


@njit
def planet_height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    return 0.07 * max(land(seed, x, y, fp), 0.0) ** 1.2


@njit
def planet_surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    r = math.sqrt(x * x + y * y)
    edge = P[R.BASE] * smooth(1.85, 1.99, r)
    n = land(seed, x, y, fp)
    m = fbm(x * 2.2, y * 2.2, seed + 31, 7, 0.55, fp * 2.2)
    sea = mix3(colour(P, 0), colour(P, 1), smooth(-0.22, 0.0, n) ** 2)
    ground = mix3(colour(P, 2), colour(P, 3), smooth(-0.25, 0.3, m + 0.3 * gradient(x * 0.9, y * 0.9, seed + 34)))
    ground = mix3(ground, mul3(colour(P, 3), 0.5), smooth(0.45, 0.8, n))
    ground = mix3(ground, colour(P, 4), smooth(0.72, 0.95, n + 0.25 * m + 0.6 * P[R.SNOW]))
    shore = smooth(-0.012, 0.012, n)
    cloud = 0.92 * _clouds(x, y, seed + 32, fp)
    c = mix3(mix3(sea, ground, shore), (0.86, 0.88, 0.92), cloud)
    rim = P[R.BASE] * smooth(0.9, 1.85, r)
    e = mul3(P[R.HAZE : R.HAZE + 3], 0.6 * rim * rim)
    if P[R.NIGHT] > 0.0:
        town = smooth(0.45, 0.75, fbm(x * 7.0, y * 7.0, seed + 35, 5, 0.7, fp * 7.0)) * shore * (1.0 - cloud)
        e = (e[0] + 1.6 * town, e[1] + 0.95 * town, e[2] + 0.4 * town)
    if edge > 0.0:
        s = stars(x, y, seed + 36, fp) * edge
        halo = edge * math.exp(-max(r - 1.95, 0.0) * 5.0) * 0.5
        c = mix3(c, (0.004, 0.005, 0.01), edge)
        h = P[R.HAZE : R.HAZE + 3]
        e = (mix(e[0], s + h[0] * halo, edge), mix(e[1], s + h[1] * halo, edge), mix(e[2], s + h[2] * halo, edge))
    return c, (e[0], e[1], e[2]), (1.0 - shore) * (1.0 - cloud) * (1.0 - edge)


@njit
def continent_height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    n = land(seed, x, y, fp)
    if n <= 0.0:
        return 0.0
    inland = smooth(0.0, 0.3, n)
    high = ranges(seed, x, y, fp)
    peaks = ridged(x * 2.6, y * 2.6, seed + 16, 7, 0.52, fp * 2.6) if high > 0.0 else 0.0
    hills = 0.5 + 0.5 * fbm(x * 3.0, y * 3.0, seed + 17, 6, 0.5, fp * 3.0)
    return 0.022 * smooth(0.0, 0.04, n) + inland * (0.05 * max(hills, 0.0) + 0.17 * high * peaks)


@njit
def continent_surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    n = land(seed, x, y, fp)
    m = fbm(x * 3.0, y * 3.0, seed + 37, 7, 0.55, fp * 3.0)
    sea = mix3(colour(P, 0), colour(P, 1), smooth(-0.16, 0.0, n + 0.03 * m) ** 1.5)
    foam = smooth(-0.022, -0.004, n) * 0.5
    sea = mix3(sea, (0.8, 0.9, 0.9), foam)
    dry = smooth(-0.3, 0.3, gradient(x * 0.8, y * 0.8, seed + 38) + 0.5 * m)
    green = mix3(mul3(colour(P, 2), 0.55), colour(P, 2), smooth(-0.3, 0.3, m))
    ground = mix3(green, colour(P, 3), dry)
    f1, f2, _, _, ix, iy = cells(x * 13.0, y * 13.0, seed + 39, 0.9)
    fields = smooth(0.0, 0.2, gradient(x * 1.7, y * 1.7, seed + 40)) * smooth(0.93, 0.99, nz)
    tone = 0.75 + 0.5 * hash01(ix, iy, seed + 41)
    ground = mix3(ground, mul3(mix3(colour(P, 2), colour(P, 3), hash01(ix, iy, seed + 42)), tone), 0.45 * fields)
    river = abs(gradient(x * 1.6 + 0.12 * m, y * 1.6, seed + 43))
    wet = (1.0 - smooth(0.012, 0.012 + 0.012 + 0.5 * fp, river)) * (1.0 - smooth(0.07, 0.12, z))
    ground = mix3(ground, mul3(colour(P, 1), 0.6), 0.85 * wet)
    high = ranges(seed, x, y, fp)
    ground = mix3(ground, (0.16, 0.13, 0.11), smooth(0.05, 0.5, high) * (1.0 - smooth(0.86, 0.97, nz)))
    snow = smooth(0.15 - 0.13 * P[R.SNOW], 0.22 - 0.13 * P[R.SNOW], z + 0.03 * m) * smooth(0.4, 0.7, nz)
    ground = mix3(ground, colour(P, 4), snow)
    beach = smooth(0.045, 0.01, n)
    ground = mix3(ground, (0.62, 0.50, 0.32), 0.7 * beach)
    shore = smooth(-0.004, 0.006, n)
    cloud = 0.75 * smooth(0.35, 0.95, _clouds(x * 0.8, y * 0.8, seed + 44, fp))
    c = mix3(mix3(sea, ground, shore), (0.9, 0.91, 0.93), cloud)
    return c, DARK, (1.0 - shore) * (1.0 - cloud)

"""A planet with a ring among stars and nebulae."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, ridged, smooth


@njit
def stars(x, y, seed, fp):
    """Brightness of stars at a point of a plane: round glows of different sizes."""
    total = 0.0
    f = 2.6
    for layer in range(3):
        f1, _, _, _, ix, iy = cells(x * f, y * f, seed + layer, 0.8)
        bright = hash01(ix, iy, seed + 7 + layer) ** 5
        radius = 0.010 + 0.022 * bright
        wide = max(radius, 0.7 * fp * f)
        gain = (radius / wide) ** 2
        total += bright * gain * (4.0 * math.exp(-((f1 / wide) ** 2)) + 0.25 * math.exp(-f1 / (4.0 * wide)))
        f *= 2.3
    return total


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    r = math.sqrt(x * x + y * y)
    ring = smooth(0.76, 0.78, r) * (1.0 - smooth(1.08, 1.1, r))
    out = smooth(1.05, 1.8, r)
    n = 0.0
    if out > 0.0:
        n = out * 0.2 * fbm(x * 0.9, y * 0.9, seed + 1, 4, 0.45, fp)
    return n + 0.05 * ring


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    r = math.sqrt(x * x + y * y)
    if r < 0.605:
        s = 2.6
        wx = fbm(x * s, y * s, seed + 21, 3, 0.5, fp * s)
        n = fbm(x * s * 0.8 + 0.9 * wx, y * s * 1.7 - 0.6 * wx, seed + 22, 8, 0.56, fp * s * 1.7)
        c = mix3(mul3(colour(P, 0), 0.7), colour(P, 1), smooth(-0.45, 0.1, n))
        c = mix3(c, colour(P, 2), smooth(0.08, 0.55, n))
        rim = smooth(0.35, 0.6, r)
        return c, mul3((0.10, 0.28, 0.65), 0.35 * rim * rim), 0.25
    ring = smooth(0.76, 0.78, r) * (1.0 - smooth(1.08, 1.1, r))
    glow = math.exp(-max(r - 0.61, 0.0) * 14.0)
    wx = fbm(x * 0.7, y * 0.7, seed + 23, 5, 0.5, fp)
    n = fbm(x * 0.9 + 0.9 * wx, y * 0.9 - 0.7 * wx, seed + 24, 8, 0.55, fp)
    lanes = ridged(x * 1.3 + 0.6 * wx, y * 1.3, seed + 27, 6, 0.55, fp * 1.3)
    cloud = smooth(-0.25, 0.75, n)
    e = mix3(colour(P, 3), colour(P, 4), smooth(-0.3, 0.35, wx))
    e = mul3(e, (0.03 + 0.75 * cloud * cloud) * (0.35 + 0.65 * smooth(0.25, 0.8, lanes)) * (1.0 + P[R.GLOW]))
    core = smooth(0.45, 1.0, n)
    e = (e[0] + 0.7 * core * core, e[1] + 0.42 * core * core, e[2] + 0.3 * core * core)
    s = stars(x, y, seed + 25, fp)
    band = 0.5 + 0.35 * gradient(r * 26.0, 0.5, seed + 26) + 0.3 * gradient(r * 90.0, 0.5, seed + 28) * kept(0.02, fp)
    gap = 1.0 - 0.8 * smooth(0.012, 0.004, abs(r - 0.96))
    a = mix3((0.012, 0.012, 0.02), mul3(colour(P, 2), max(band, 0.05) * gap), ring)
    k = 1.0 - ring
    halo = 0.3 * glow * k
    return a, (k * (e[0] + s) + 0.12 * halo, k * (e[1] + s * 0.94) + 0.4 * halo, k * (e[2] + s * 0.88) + halo), 0.0

"""A meadow with flowers, a path and bushes."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, ridged, smooth
from dreamzoom.engines.procedural.styles.forest import tree


@njit
def flower(P, seed, x, y, f):
    """The flower at a point: coverage by petals 0..1, by its centre 0..1, and its number."""
    f1, f2, dx, dy, ix, iy = cells(x * f, y * f, seed, 0.7)
    number = hash01(ix, iy, seed + 1)
    meadow = 0.42 - 0.3 * P[R.BLOOM] + 0.35 * gradient(ix * 0.21, iy * 0.21, seed + 2)
    if number < meadow or f1 > 0.4:
        return 0.0, 0.0, number
    petals = 5.0 + math.floor(4.0 * hash01(ix, iy, seed + 3))
    radius = (0.26 + 0.14 * hash01(ix, iy, seed + 4)) * (
        0.72 + 0.28 * math.cos(petals * math.atan2(dy, dx) + 6.0 * number)
    )
    return 1.0 - smooth(0.85, 1.0, f1 / radius), 1.0 - smooth(0.075, 0.1, f1), number


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    hills = 0.22 * fbm(x * 0.7, y * 0.7, seed + 30, 4, 0.42, fp)
    wind = gradient(x * 1.5, y * 1.5, seed + 31)
    u, v = x + 0.05 * wind, y
    grass = 0.0
    if kept(0.03, fp) > 0.0:
        grass = 0.045 * ridged(u * 16.0, v * 9.0, seed + 32, 4, 0.65, fp * 16.0)
    petal, heart, number = flower(P, seed + 33, x, y, 9.0)
    small, _, _ = flower(P, seed + 37, x, y, 19.0)
    low = grass + 0.03 * petal + 0.018 * heart + 0.012 * small
    bush = smooth(0.2, 0.5, gradient(x * 0.8, y * 0.8, seed + 42)) * smooth(0.5, 0.9, math.sqrt(x * x + y * y))
    if bush <= 0.0:
        return hills + max(low, 0.0)
    top, _, _ = tree(seed + 41, x, y, 1.9, fp)
    leafy = 0.05 * fbm(x * 11.0, y * 11.0, seed + 43, 5, 0.6, fp * 11.0) if top > 0.0 else 0.0
    return hills + max(low, bush * (0.24 * top + leafy))


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    m = fbm(x * 2.0, y * 2.0, seed + 64, 6, 0.55, fp * 2.0)
    blade = ridged(x * 16.0, y * 9.0, seed + 32, 4, 0.65, fp * 16.0)
    c = mix3(colour(P, 0), colour(P, 1), smooth(-0.45, 0.45, m))
    c = mix3(c, colour(P, 2), 0.55 * smooth(0.25, 0.8, m + 0.3 * blade))
    c = mul3(c, 0.55 + 0.75 * blade)
    path = abs(y * 0.4 + x * 0.9 - 0.9 + 0.35 * gradient(x * 0.9, y * 0.9, seed + 65))
    c = mix3(c, (0.32, 0.23, 0.13), 0.75 * smooth(0.09, 0.05, path + 0.04 * m))
    bush = smooth(0.2, 0.5, gradient(x * 0.8, y * 0.8, seed + 42)) * smooth(0.5, 0.9, math.sqrt(x * x + y * y))
    if bush > 0.15:
        top, n, _ = tree(seed + 41, x, y, 1.9, fp)
        leafy = fbm(x * 24.0, y * 24.0, seed + 66, 4, 0.65, fp * 24.0)
        crown = mul3(mix3(mul3(colour(P, 0), 0.6), colour(P, 1), 0.6 * n), 0.8 + 0.6 * leafy)
        if top > 0.1:
            return crown, DARK, 0.05
    small, _, n2 = flower(P, seed + 37, x, y, 19.0)
    c = mix3(c, mix3(colour(P, 4), (0.75, 0.55, 0.05), 1.0 if n2 > 0.75 else 0.0), 0.9 * small * kept(0.03, fp))
    petal, heart, n = flower(P, seed + 33, x, y, 9.0)
    tone = n * 9.7 % 1.0
    bloom = mix3(colour(P, 3), colour(P, 4), 1.0 if tone > 0.62 else 0.0)
    bloom = mix3(bloom, (0.30, 0.12, 0.55), 1.0 if tone < 0.28 else 0.0)
    c = mix3(c, bloom, petal)
    return mix3(c, (0.85, 0.50, 0.04), heart * petal), DARK, 0.0

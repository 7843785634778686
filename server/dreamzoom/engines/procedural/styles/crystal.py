"""A field of crystals."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import fbm, hash01, ridged, smooth


@njit
def prism(seed, x, y, f):
    """The tallest crystal at a point: height in units of 1/f, whether the point is on a slanted facet, its number."""
    best, side, number = 0.0, 0.0, 0.0
    u, v = x * f, y * f
    fx, fy = int(math.floor(u)), int(math.floor(v))
    for j in range(-1, 2):
        for i in range(-1, 2):
            a, n = hash01(fx + i, fy + j, seed), hash01(fx + i, fy + j, seed + 2)
            b, t = hash01(fx + i, fy + j, seed + 1), hash01(fx + i, fy + j, seed + 3)
            dx, dy = u - (fx + i + 0.2 + 0.6 * a), v - (fy + j + 0.2 + 0.6 * b)
            radius = 0.2 + 0.32 * n
            if dx * dx + dy * dy > 1.34 * radius * radius:
                continue
            lean = (t - 0.5) * 1.1
            c, s = math.cos(6.0 * a), math.sin(6.0 * a)
            px, py = abs(dx * c + dy * s), abs(dy * c - dx * s)
            slant = 0.5 * px + 0.8660254 * py
            far, facet = max(px, slant), 1.0 if slant > px else 0.0
            if far < radius:
                h = (0.3 + 1.5 * n * t) - (0.5 + 0.6 * b) * max(far - 0.1 * radius, 0.0) + lean * dx
                if h > best:
                    best, side, number = h, facet, hash01(fx + i, fy + j, seed + 4)
    return best, side, number


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    big, _, _ = prism(seed + 100, x, y, 2.2)
    mid, _, _ = prism(seed + 110, x, y, 5.5)
    grit = 0.02 * fbm(x * 9.0, y * 9.0, seed + 120, 4, 0.5, fp * 9.0)
    return max(max(big / 2.0, mid / 5.0), 0.05 + grit) - 0.05


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    big, side, number = prism(seed + 100, x, y, 2.2)
    mid, side2, number2 = prism(seed + 110, x, y, 5.5)
    if mid / 5.0 > big / 2.0:
        side, number, big = side2, number2, 2.0 * mid / 5.0
    m = fbm(x * 5.0, y * 5.0 + 2.0 * z, seed + 121, 6, 0.6, fp * 5.0)
    if big < 0.12:
        c = mix3(mul3(colour(P, 0), 0.5), (0.12, 0.10, 0.10), smooth(-0.3, 0.4, m))
        glint = smooth(0.55, 0.8, m)
        return mix3(c, colour(P, 1), glint), DARK, 0.4
    depth = smooth(0.0, 0.75, 0.5 * big)
    c = mix3(colour(P, 0), colour(P, 1), depth + 0.1 * m)
    c = mix3(c, colour(P, 2), depth * depth)
    c = mix3(c, colour(P, 3), 0.55 * smooth(0.7, 0.95, number))
    c = mul3(c, 0.85 + 0.25 * hash01(int(side), int(number * 4096.0), seed + 122))
    flaw = smooth(0.75, 0.95, ridged(x * 4.0 + z, y * 4.0 - z, seed + 123, 4, 0.6, fp * 4.0))
    c = mix3(c, colour(P, 4), 0.15 * flaw)
    inner = (1.0 - depth) * 0.22 + 0.10 + 0.4 * P[R.GLOW]
    return c, mul3(mix3(colour(P, 1), colour(P, 3), smooth(0.4, 1.0, number)), inner), 0.9

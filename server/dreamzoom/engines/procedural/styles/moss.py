"""Cushions of moss with stalks."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, hash01, own_seed, smooth


@njit
def stalk(seed, x, y):
    """The moss stalk at a point: height 0..1 (0 outside), and whether the point is on the capsule."""
    f = 4.2
    f1, ix, iy = own_seed(x * f, y * f, seed + 70, 0.8)
    if hash01(ix, iy, seed + 71) < 0.62:
        return 0.0, 0.0
    r = f1 / f
    tall = 0.6 + 0.4 * hash01(ix, iy, seed + 72)
    capsule = 0.0238
    if r < capsule:
        return tall * (0.82 + 0.18 * math.sqrt(1.0 - (r / capsule) ** 2)), 1.0
    return 0.0, 0.0


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    wx = x + 0.1 * fbm(x * 1.5, y * 1.5, seed + 62, 3, 0.5, fp * 1.5)
    wy = y + 0.1 * fbm(x * 1.5 + 5.0, y * 1.5, seed + 63, 3, 0.5, fp * 1.5)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.7, wy * 1.7, seed + 64, 0.85)
    cushion = math.sqrt(max(1.0 - (f1 / 0.85) ** 2, 0.0)) * (0.16 + 0.16 * hash01(ix, iy, seed + 65))
    g1, g2, ex, ey, jx, jy = cells(x * 13.0, y * 13.0, seed + 66, 0.9)
    star = 0.75 + 0.25 * math.cos(6.0 * math.atan2(ey, ex) + 6.0 * hash01(jx, jy, seed + 67))
    tuft = max(1.0 - g1 / (0.75 * star), 0.0) * (0.03 + 0.025 * hash01(jx, jy, seed + 68))
    fuzz = 0.012 * fbm(x * 48.0, y * 48.0, seed + 69, 3, 0.6, fp * 48.0)
    soft = cushion + tuft + fuzz
    up, _ = stalk(seed, x, y)
    return max(soft, 0.42 * up) - 0.19


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    up, capsule = stalk(seed, x, y)
    if capsule > 0.0:
        h = smooth(-0.08, 0.2, z)
        return mix3(mul3(colour(P, 1), 0.7), colour(P, 3), h), mul3(colour(P, 3), 0.12 * h), 0.4
    g1, g2, ex, ey, jx, jy = cells(x * 13.0, y * 13.0, seed + 66, 0.9)
    m = fbm(x * 1.4, y * 1.4, seed + 77, 5, 0.55, fp * 1.4)
    n = hash01(jx, jy, seed + 78)
    tip = smooth(0.55, 0.05, g1)
    c = mix3(colour(P, 0), colour(P, 1), smooth(-0.4, 0.4, m) * 0.6 + 0.4 * n)
    c = mix3(mul3(c, 0.5), mix3(c, colour(P, 2), 0.75 * smooth(-0.2, 0.6, m + 0.4 * n)), tip)
    fuzz = fbm(x * 48.0, y * 48.0, seed + 69, 3, 0.6, fp * 48.0)
    c = mul3(c, 1.0 + 0.5 * fuzz)
    return c, mul3(colour(P, 4), 0.5 * P[R.GLOW] * tip * tip), 0.15

"""Plant cells with nuclei and grains."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, smooth


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    wx = x + 0.1 * gradient(x * 2.1, y * 2.1, seed + 90)
    wy = y + 0.1 * gradient(x * 2.1, y * 2.1, seed + 91)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.9, wy * 1.9, seed + 92, 0.75)
    gap = f2 - f1
    dome = math.sqrt(max(1.0 - (f1 / 0.95) ** 2, 0.0)) * math.sqrt(smooth(-0.02, 0.32, gap))
    pillow = 0.24 * dome * (0.8 + 0.4 * hash01(ix, iy, seed + 93))
    nucleus = 0.02 * smooth(0.24, 0.17, f1) - 0.02 * smooth(0.3, 0.25, f1)
    g1, g2, _, _, jx, jy = cells(x * 15.0, y * 15.0, seed + 94, 0.9)
    n = hash01(jx, jy, seed + 95)
    grain = 0.02 * n * max(1.0 - (g1 / (0.2 + 0.22 * n)) ** 2, 0.0) * smooth(0.1, 0.3, gap)
    skin = 0.006 * fbm(x * 22.0, y * 22.0, seed + 96, 4, 0.55, fp * 22.0)
    return pillow + nucleus + grain * smooth(0.24, 0.3, f1) + skin - 0.2


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    wx = x + 0.1 * gradient(x * 2.1, y * 2.1, seed + 90)
    wy = y + 0.1 * gradient(x * 2.1, y * 2.1, seed + 91)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.9, wy * 1.9, seed + 92, 0.75)
    gap = f2 - f1
    n = hash01(ix, iy, seed + 93)
    m = fbm(x * 6.0, y * 6.0, seed + 97, 6, 0.6, fp * 6.0)
    body = mix3(colour(P, 0), colour(P, 1), smooth(0.05, 0.6, gap + 0.12 * m))
    body = mix3(body, colour(P, 2), 0.6 * smooth(0.55, 0.8, n))
    body = mul3(body, 1.0 + 0.35 * m)
    g1, _, _, _, jx, jy = cells(x * 15.0, y * 15.0, seed + 94, 0.9)
    k = hash01(jx, jy, seed + 95)
    grain = smooth(0.34, 0.24, g1) * smooth(0.12, 0.3, gap) * (1.0 if k > 0.35 else 0.0)
    tone = mix3(colour(P, 3), colour(P, 4), smooth(0.5, 0.8, k))
    body = mix3(body, tone, 0.6 * grain)
    core = smooth(0.23, 0.19, f1)
    fibre = smooth(-0.2, 0.5, fbm(x * 13.0, y * 13.0, seed + 98, 4, 0.6, fp * 13.0))
    body = mix3(body, mix3(mul3(colour(P, 2), 0.6), colour(P, 3), fibre), 0.9 * core)
    halo = math.exp(-((f1 / 0.24) ** 2))
    skin = 1.0 - smooth(0.0, 0.07, gap)
    e = mul3(colour(P, 2), halo * (0.5 + 0.5 * P[R.GLOW]))
    t = mul3(colour(P, 4), (0.32 + P[R.GLOW]) * skin * (0.6 + 0.4 * m) + 0.35 * grain * (1.0 if k > 0.85 else 0.0))
    return body, (e[0] + t[0], e[1] + t[1], e[2] + t[2]), 0.6

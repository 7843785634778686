"""A forest with a glade, and the trees that other styles use."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, mix, smooth


@njit
def tree(seed, x, y, f, fp):
    """The tallest tree at a point: height in crown sizes (0 between trees), a random number 0..1, conifer or not."""
    best, number, conifer = 0.0, 0.0, 0.0
    u, v = x * f, y * f
    fx, fy = int(math.floor(u)), int(math.floor(v))
    for j in range(-1, 2):
        for i in range(-1, 2):
            a = hash01(fx + i, fy + j, seed)
            b = hash01(fx + i, fy + j, seed + 1)
            c = hash01(fx + i, fy + j, seed + 2)
            dx, dy = u - (fx + i + 0.15 + 0.7 * a), v - (fy + j + 0.15 + 0.7 * b)
            radius = 0.38 + 0.34 * c
            d = math.sqrt(dx * dx + dy * dy) / radius
            if d < 1.0:
                kind = 1.0 if hash01(fx + i, fy + j, seed + 3) > 0.45 else 0.0
                tall = (0.75 + 0.9 * c * hash01(fx + i, fy + j, seed + 4)) * (1.0 + 0.5 * kind)
                form = (1.0 - d) ** 0.85 if kind > 0.5 else 0.45 + 0.55 * math.sqrt(1.0 - d * d)
                if kind > 0.5:
                    form *= 1.0 - 0.10 * math.sin(d * 26.0 + 5.0 * a) * kept(0.25 / f, fp)
                if tall * form > best:
                    best, number, conifer = tall * form, hash01(fx + i, fy + j, seed + 5), kind
    return best, number, conifer


@njit
def glade(seed, x, y):
    """The share of open ground at a point in the forest, 0..1."""
    r = math.sqrt(x * x + y * y)
    return 1.0 - smooth(0.16, 0.3, r + 0.12 * gradient(x * 3.0, y * 3.0, seed + 20))


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    hills = 0.16 * fbm(x * 0.7, y * 0.7, seed + 6, 3, 0.5, fp)
    f = 8.5
    top, number, conifer = tree(seed + 21, x, y, f, fp)
    rough = 0.022 * fbm(x * 34.0, y * 34.0, seed + 22, 3, 0.6, fp * 34.0)
    open_ = glade(seed, x, y)
    under = 0.012 * fbm(x * 14.0, y * 14.0, seed + 23, 4, 0.6, fp * 14.0)
    return hills + mix(0.145 * top + rough * min(top * 3.0, 1.0), under, open_)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    top, number, conifer = tree(seed + 21, x, y, 8.5, fp)
    m = fbm(x * 22.0, y * 22.0, seed + 52, 4, 0.65, fp * 22.0)
    area = gradient(x * 1.1, y * 1.1, seed + 53)
    c = mix3(colour(P, 0), colour(P, 1), smooth(0.0, 1.0, number + 0.4 * area - 0.35 * conifer))
    c = mix3(c, colour(P, 2), smooth(0.62, 1.1, number + 0.35 * area) * (1.0 - 0.8 * conifer))
    c = mul3(c, (0.62 + 0.5 * min(top, 1.0)) * (1.0 + 0.5 * m))
    soil = mix3(mul3(colour(P, 3), 0.35), mul3(colour(P, 0), 0.6), smooth(-0.2, 0.3, m))
    c = mix3(soil, c, smooth(0.02, 0.15, top))
    lawn = mix3(colour(P, 1), colour(P, 4), smooth(-0.1, 0.7, m + 0.3 * area))
    e = 0.0
    if P[R.GLOW] > 0.0:
        f1, _, _, _, ix, iy = cells(x * 14.0, y * 14.0, seed + 54, 0.9)
        e = P[R.GLOW] * 2.0 * math.exp(-((f1 / 0.12) ** 2)) * (1.0 if hash01(ix, iy, seed + 55) > 0.75 else 0.0)
    return mix3(c, lawn, glade(seed, x, y)), (0.7 * e, 0.9 * e, 0.3 * e), 0.05

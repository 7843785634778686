"""Rock in blocks and layers, with lichen and moss."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, ridged, smooth


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    wx = x + 0.12 * fbm(x * 2.0, y * 2.0, seed + 50, 4, 0.5, fp * 2.0)
    wy = y + 0.12 * fbm(x * 2.0 + 7.0, y * 2.0, seed + 51, 4, 0.5, fp * 2.0)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.5, wy * 1.5, seed + 52, 0.85)
    a, b = hash01(ix, iy, seed + 53) - 0.5, hash01(ix, iy, seed + 54) - 0.5
    big = smooth(-0.04, 0.42, f2 - f1) * (0.17 + 0.16 * hash01(ix, iy, seed + 55) + 0.34 * (a * dx + b * dy))
    g1, g2, ex, ey, jx, jy = cells(wx * 5.3 + 3.0, wy * 5.3, seed + 56, 0.9)
    c, d = hash01(jx, jy, seed + 57) - 0.5, hash01(jx, jy, seed + 58) - 0.5
    small = smooth(-0.05, 0.3, g2 - g1) * (0.03 + 0.02 * c + 0.09 * (c * ex + d * ey))
    layer = 0.012 * math.sin(62.0 * (0.35 * x + 0.2 * y) + 5.0 * gradient(x * 2.0, y * 2.0, seed + 59)) * kept(0.2, fp)
    rough = 0.03 * fbm(x * 4.0, y * 4.0, seed + 60, 7, 0.47, fp * 5.0)
    crack = ridged(x * 1.9, y * 1.9, seed + 61, 4, 0.6, fp * 1.9)
    big -= 0.19
    return big + small * (0.4 + 0.6 * smooth(0.0, 0.3, f2 - f1)) + layer + rough - 0.05 * smooth(0.82, 1.0, crack)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    m = fbm(x * 3.0, y * 3.0, seed + 67, 8, 0.62, fp * 3.0)
    q = fbm(x * 1.1, y * 1.1, seed + 68, 4, 0.5, fp)
    c = mix3(colour(P, 0), colour(P, 1), smooth(-0.4, 0.4, m + 0.5 * q))
    c = mix3(c, colour(P, 2), 0.7 * smooth(0.15, 0.6, m - 0.4 * q))
    vein = 1.0 - smooth(0.01, 0.035 + fp, abs(gradient(x * 1.4 + 0.2 * m, y * 1.4, seed + 69)))
    c = mix3(c, (0.62, 0.58, 0.52), 0.35 * vein)
    speck = gradient(x * 42.0, y * 42.0, seed + 73) * kept(0.024, fp)
    c = mul3(c, 1.0 + 0.35 * speck)
    f1, f2, _, _, ix, iy = cells(x * 3.6 + 0.25 * m, y * 3.6 + 0.25 * m, seed + 74, 0.9)
    spot = smooth(0.36, 0.26, f1 + 0.12 * m) * (1.0 if hash01(ix, iy, seed + 75) > 0.6 else 0.0) * smooth(0.6, 0.8, nz)
    c = mix3(c, mix3(colour(P, 3), colour(P, 4), hash01(ix, iy, seed + 76)), 0.75 * spot)
    moss = smooth(0.12, -0.02, z + 0.06 * m) * smooth(0.1, 0.4, q + 0.5 * m) * smooth(0.5, 0.8, nz)
    return mix3(c, (0.06, 0.10, 0.025), 0.85 * moss), DARK, 0.15 + 0.7 * P[R.WET]

"""Dunes."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import fbm, gradient, kept, smooth


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    warp = 0.28 * fbm(x * 0.8, y * 0.8, seed + 150, 3, 0.45, fp)
    s = 1.15 * (0.9 * x + 0.35 * y) + 1.6 * warp
    t = s - math.floor(s)
    dune = t / 0.72 if t < 0.72 else (1.0 - t) / 0.28
    dune = dune * dune * (3.0 - 2.0 * dune) * 0.5 + 0.5 * dune
    tall = 0.6 + 0.5 * gradient(x * 0.6, y * 0.6, seed + 151)
    ripple = 0.0035 * math.sin(150.0 * (0.8 * x + 0.3 * y + 0.7 * warp) + 3.0 * gradient(x * 5.0, y * 5.0, seed + 152))
    return (
        0.3 * (dune - 0.5) * tall
        + ripple * kept(0.045, fp)
        + 0.02 * fbm(x * 2.5, y * 2.5, seed + 153, 4, 0.45, fp * 2.5)
    )


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    m = fbm(x * 2.0, y * 2.0, seed + 154, 7, 0.55, fp * 2.0)
    c = mix3(colour(P, 0), colour(P, 1), smooth(0.0, 0.2, z + 0.08 * m))
    c = mix3(c, colour(P, 2), smooth(0.1, 0.35, z + 0.1 * m))
    c = mix3(c, colour(P, 3), 0.4 * smooth(0.2, 0.6, m) * smooth(0.2, 0.0, z))
    speck = gradient(x * 60.0, y * 60.0, seed + 155) * kept(0.017, fp)
    return mul3(c, 1.0 + 0.15 * speck + 0.12 * m), DARK, 0.05

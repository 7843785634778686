"""Mountains around a valley with meadows."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import fbm, gradient, kept, ridged, smooth


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    f = 0.75
    wx = x * f + 0.11 * fbm(x * 1.4, y * 1.4, seed + 3, 2, 0.5, fp * 1.4)
    wy = y * f + 0.11 * fbm(x * 1.4, y * 1.4, seed + 4, 2, 0.5, fp * 1.4)
    n = ridged(wx, wy, seed + 5, 9, 0.5, fp * f)
    broad = 0.5 + 0.5 * gradient(x * 0.5, y * 0.5, seed + 2)
    valley = smooth(0.15, 1.15, math.sqrt(x * x + y * y) + 0.25 * gradient(x * 1.3, y * 1.3, seed + 6))
    meadow = 0.03 * fbm(x * 3.0, y * 3.0, seed + 7, 5, 0.5, fp * 3.0)
    return meadow + (0.08 + 0.52 * n * (0.4 + 0.6 * n)) * (0.6 + 0.5 * broad) * valley


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    m = fbm(x * 3.0, y * 3.0, seed + 41, 8, 0.58, fp * 3.0)
    strata = math.sin(z * 55.0 + 4.0 * m + 6.0 * x) * kept(0.1, fp)
    rock = mix3(colour(P, 0), colour(P, 1), smooth(-0.5, 0.5, m + 0.22 * strata))
    green = mix3(mul3(colour(P, 2), 0.8), colour(P, 3), smooth(-0.45, 0.5, m + 0.4 * gradient(x * 7, y * 7, seed + 42)))
    spots = smooth(
        0.1, 0.35, fbm(x * 9.0, y * 9.0, seed + 43, 4, 0.6, fp * 9.0) + 0.5 * gradient(x * 2.0, y * 2.0, seed + 44)
    )
    green = mix3(green, (0.018, 0.035, 0.014), 0.85 * spots)
    c = mix3(rock, green, smooth(0.6, 0.8, nz + 0.12 * m) * (1.0 - smooth(0.14, 0.26, z + 0.06 * m)))
    line = 0.33 - 0.35 * P[R.SNOW]
    snow = smooth(line, line + 0.09, z + 0.09 * m) * smooth(0.35, 0.6, nz + 0.08 * m)
    return mix3(c, colour(P, 4), snow), DARK, 0.1 * snow

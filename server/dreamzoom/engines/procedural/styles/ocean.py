"""The open sea."""

from __future__ import annotations

from numba import njit

from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import fbm, gradient, ridged, smooth


@njit
def swell(seed, x, y, fp):
    """Height of the waves, about 0..1, with sharp crests."""
    u, v = 0.86 * x + 0.5 * y, -0.5 * x + 0.86 * y
    u += 0.12 * fbm(x * 1.1, y * 1.1, seed + 140, 3, 0.5, fp)
    long = 1.0 - abs(gradient(u * 2.1, v * 0.8, seed + 141))
    return 0.65 * long * long + 0.35 * ridged(u * 3.6, v * 2.3, seed + 142, 6, 0.5, fp * 3.6)


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    return 0.17 * (swell(seed, x, y, fp) - 0.6) + 0.05 * fbm(x * 0.6, y * 0.6, seed + 143, 2, 0.5, fp)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    h = swell(seed, x, y, fp)
    m = fbm(x * 6.0, y * 6.0, seed + 144, 7, 0.62, fp * 6.0)
    deep = smooth(0.1, 0.85, h + 0.12 * m)
    reef = smooth(0.05, 0.5, fbm(x * 0.7, y * 0.7, seed + 145, 4, 0.5, fp) + 0.1)
    c = mix3(colour(P, 0), colour(P, 1), 0.75 * deep + 0.35 * reef)
    c = mix3(c, colour(P, 2), 0.45 * smooth(0.7, 1.0, h) + 0.2 * reef * deep)
    net = ridged(x * 5.0 + 0.5 * m, y * 5.0, seed + 146, 5, 0.6, fp * 5.0)
    foam = smooth(0.78, 0.98, h + 0.2 * m) * smooth(0.45, 0.8, net)
    return mix3(c, colour(P, 4), 0.9 * foam), mul3(colour(P, 2), 0.06 * deep), 0.9 * (1.0 - foam)

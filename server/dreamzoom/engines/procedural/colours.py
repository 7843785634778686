"""Operations on colours as linear RGB tuples, for compiled code."""

from __future__ import annotations

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.noise import mix

DARK = (0.0, 0.0, 0.0)


@njit
def colour(P, i):
    """Colour number `i` (0..4) of the palette in recipe `P`, linear RGB."""
    k = R.COLOURS + 3 * i
    return P[k], P[k + 1], P[k + 2]


@njit
def mix3(a, b, t):
    """Linear interpolation between two colours: `a` at t = 0, `b` at t = 1."""
    return (mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t))


@njit
def mul3(a, s):
    """Multiply a colour by a number."""
    return (a[0] * s, a[1] * s, a[2] * s)

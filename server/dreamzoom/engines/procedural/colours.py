"""Colours as tuples of linear RGB, for compiled code."""

from __future__ import annotations

from numba import njit

from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.noise import mix

DARK = (0.0, 0.0, 0.0)


@njit
def colour(P, i):
    """Colour i of the recipe's palette, linear RGB."""
    k = R.COLOURS + 3 * i
    return P[k], P[k + 1], P[k + 2]


@njit
def mix3(a, b, t):
    """The colour a share t of the way from a to b."""
    return (mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t))


@njit
def mul3(a, s):
    """A colour times a number."""
    return (a[0] * s, a[1] * s, a[2] * s)

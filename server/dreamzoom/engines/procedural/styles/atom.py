"""Atoms in a hexagonal lattice, with a standing electron wave."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import colour, mix3, mul3
from dreamzoom.engines.procedural.noise import gradient, hash01, smooth


@njit
def lattice(x, y, a):
    """The nearest point of a hexagonal lattice of spacing `a`: distance in spacings, lattice coordinates."""
    h = a * 0.8660254
    best, bi, bj = 9.0, 0, 0
    j0 = int(math.floor(y / h + 0.5))
    for j in range(j0 - 1, j0 + 2):
        shift = 0.5 * a * (j & 1)
        i = int(math.floor((x - shift) / a + 0.5))
        dx, dy = x - (i * a + shift), y - j * h
        d = math.sqrt(dx * dx + dy * dy)
        if d < best:
            best, bi, bj = d, i, j
    return best / a, bi, bj


@njit
def waves(seed, x, y):
    """The standing electron wave, about −1..1: rings around the focus and around two other points."""
    r = math.sqrt(x * x + y * y)
    a = math.sqrt((x - 1.3) ** 2 + (y + 0.7) ** 2)
    b = math.sqrt((x + 1.1) ** 2 + (y - 1.2) ** 2)
    return (
        (math.cos(13.0 * r) / (1.0 + r)) + 0.5 * math.cos(11.0 * a) / (1.0 + a) + 0.5 * math.cos(12.0 * b) / (1.0 + b)
    )


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    d, i, j = lattice(x, y, 0.2)
    n = hash01(i, j, seed + 130)
    ball = 0.1 * math.sqrt(max(1.0 - (d / 0.5) ** 2, 0.0)) - 0.07 + (0.025 if n > 0.93 and d < 0.5 else 0.0)
    swell = 0.16 * gradient(x * 0.8, y * 0.8, seed + 131)
    return ball + swell + 0.045 * waves(seed, x, y)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    d, i, j = lattice(x, y, 0.2)
    n = hash01(i, j, seed + 130)
    wave = waves(seed, x, y)
    odd = 1.0 if n > 0.93 else 0.0
    hill = 0.5 + 0.5 * wave
    c = mix3(colour(P, 0), colour(P, 1), smooth(0.15, 0.9, hill))
    ball = math.sqrt(max(1.0 - (d / 0.5) ** 2, 0.0))
    c = mix3(mul3(c, 0.5), colour(P, 2), ball * (0.05 + 0.5 * smooth(0.4, 1.0, hill)))
    c = mix3(c, colour(P, 3), odd * smooth(0.0, 0.3, ball))
    r = math.sqrt(x * x + y * y)
    orbit = 0.0
    for k in range(3):
        a = 1.05 * k + 0.4
        u, v = x * math.cos(a) + y * math.sin(a), -x * math.sin(a) + y * math.cos(a)
        e = math.sqrt((u / 1.0) ** 2 + (v / 0.42) ** 2)
        wide = 0.010 + fp
        s = math.atan2(v / 0.42, u)
        orbit += (
            (0.3 + 0.7 * (0.5 + 0.5 * math.cos(s + 2.1 * k)))
            * math.exp(-(((e - 0.95) * 0.55 / wide) ** 2))
            * 0.014
            / wide
        )
    core = math.exp(-((r / 0.16) ** 2))
    cloud = math.exp(-r * 1.6) * (0.5 + 0.5 * math.cos(13.0 * r))
    g = 1.0 + P[R.GLOW]
    b, o = colour(P, 2), colour(P, 3)
    rim = (1.0 - ball) * ball * 0.5 + 0.22 * max(wave, 0.0)
    power = (0.6 * cloud + rim * 0.9 + 1.2 * orbit) * g
    warm = (0.9 * core + odd * ball * 0.5) * g
    return c, (b[0] * power + o[0] * warm, b[1] * power + o[1] * warm, b[2] * power + o[2] * warm), 0.8

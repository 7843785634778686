"""Fallen leaves with veins and drops of dew."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, hash01, kept, own_seed, smooth


@njit
def leaf_at(seed, x, y):
    """The topmost leaf at a point.

    Returns:
        (height, u, v, width, number): height above the soil, −1 if there is no leaf; position along the leaf, 0..1;
        signed distance across it, in units; half its width there; a random number of the leaf.
    """
    top, bu, bv, bw, bn = -1.0, 0.0, 0.0, 1.0, 0.0
    space = 0.62
    fx, fy = int(math.floor(x / space)), int(math.floor(y / space))
    for k in range(10):  # the leaves of nine lattice squares, and the large one at the focus
        hero = k == 9
        ix, iy = (0, 0) if hero else (fx + k % 3 - 1, fy + k // 3 - 1)
        if not hero and ix == 0 and iy == 0:
            continue
        n = hash01(ix, iy, seed)
        size = 1.9 if hero else 0.73 + 0.5 * n
        a, b = x, y
        if not hero:
            a -= (ix + 0.2 + 0.6 * hash01(ix, iy, seed + 1)) * space
            b -= (iy + 0.2 + 0.6 * hash01(ix, iy, seed + 2)) * space
        if a * a + b * b > 0.36 * size * size:
            continue
        turn = 0.5 + 0.5 * n if hero else 6.2832 * hash01(ix, iy, seed + 3)
        c, s = math.cos(turn), math.sin(turn)
        u, v = (a * c + b * s) / size + 0.5, -a * s + b * c
        if u <= 0.0 or u >= 1.0 or abs(v) > 0.43 * size:
            continue
        v += 0.10 * size * math.sin(3.0 * u + 6.0 * n)
        t = u * (1.38 - 0.38 * u)
        g = 4.0 * t * (1.0 - t)
        w = size * 0.31 * g * (1.15 - 0.15 * g) * (1.0 + 0.045 * abs(math.sin(u * 46.0)))
        if abs(v) >= w:
            continue
        q = v / max(w, 1e-6)
        layer = 0.2 if hero else 0.15 * hash01(ix, iy, seed + 4)
        h = layer + 0.10 * size * abs(v) * (1.0 + 0.6 * math.sin(9.0 * n)) - 0.05 * size * (2.0 * u - 1.0) ** 2
        h += 0.018 * size * math.sin(10.0 * u + 8.0 * n) * q * q
        if h > top:
            top, bu, bv, bw, bn = h, u, v, w, n
    return top, bu, bv, bw, bn


@njit
def veins(seed, u, v, w, fp):
    """Strength of the veins at a point of a leaf, 0..1: midrib, side ribs, and the mesh between them."""
    mid = math.exp(-((v / (0.006 + 0.012 * (1.0 - u) + 0.5 * fp)) ** 2))
    q = abs(v)
    s = (u * 1.0 - 0.75 * q) * 11.0
    d = abs(s - math.floor(s + 0.5)) / 11.0
    rib = math.exp(-((d / (0.0045 + 0.6 * fp)) ** 2)) * (1.0 - 0.5 * q / w) * 0.8
    f1, f2, _, _, _, _ = cells(u * 34.0, v * 34.0, seed + 81, 0.9)
    mesh = (1.0 - smooth(0.02, 0.16, f2 - f1)) * 0.45 * kept(0.035, fp)
    return max(mid, max(rib, mesh))


@njit
def dew(seed, x, y):
    """The water drop at a point: height as a share of its radius, 0..1 (0 outside), and its radius in units."""
    f = 3.4
    f1, ix, iy = own_seed(x * f, y * f, seed + 84, 0.8)
    n = hash01(ix, iy, seed + 85)
    if n < 0.5:
        return 0.0, 1.0
    r, radius = f1 / f, 0.012 + 0.034 * (n - 0.5)
    return (math.sqrt(1.0 - (r / radius) ** 2) if r < radius else 0.0), radius


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    h, u, v, w, number = leaf_at(seed, x, y)
    if h < 0.1:  # the soil is never higher
        soil = 0.03 * fbm(x * 6.0, y * 6.0, seed + 82, 5, 0.6, fp * 6.0) - 0.09
        if h < soil:
            return soil - 0.17
    drop, radius = dew(seed, x, y)
    return h - 0.2 - 0.012 * veins(seed, u, v, w, fp) + 0.8 * radius * drop


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    h, u, v, w, number = leaf_at(seed, x, y)
    if h < -0.05:
        m = fbm(x * 9.0, y * 9.0, seed + 86, 5, 0.62, fp * 9.0)
        return mul3(mix3((0.035, 0.022, 0.012), (0.10, 0.06, 0.03), smooth(-0.3, 0.5, m)), 1.0), DARK, 0.05
    net = veins(seed, u, v, w, fp)
    q = abs(v) / w
    m = fbm(x * 5.0, y * 5.0, seed + 87, 6, 0.6, fp * 5.0)
    old = smooth(0.66, 0.95, number + 0.15 * m) if h < 0.12 else 0.0
    c = mix3(colour(P, 0), colour(P, 1), smooth(-0.4, 0.6, m + 0.5 * (1.0 - q)))
    c = mix3(c, mix3(colour(P, 3), (0.55, 0.30, 0.06), smooth(0.1, 0.7, m + q - 0.4)), 0.85 * old)
    spots = smooth(0.42, 0.62, fbm(x * 7.0, y * 7.0, seed + 88, 4, 0.6, fp * 7.0))
    c = mix3(c, mul3(colour(P, 3), 0.5), 0.6 * spots)
    c = mix3(c, colour(P, 2), 0.75 * net)
    c = mix3(c, mul3(colour(P, 3), 0.9), 0.5 * smooth(0.9, 1.0, q))
    drop, radius = dew(seed, x, y)
    if drop > 0.0:
        c = mix3(c, (0.75, 0.85, 0.8), 0.2 + 0.35 * (1.0 - drop))
    shine = mul3(colour(P, 2), 0.10 * (1.0 - net) * (1.0 - old) + P[R.GLOW] * net)
    c = mix3((0.02, 0.022, 0.008), c, smooth(0.15, 0.5, nz))
    return c, shine, 0.45 + 0.55 * (1.0 if drop > 0.0 else 0.0)

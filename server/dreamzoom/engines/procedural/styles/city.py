"""A city of blocks, streets and parks."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.colours import DARK, colour, mix3, mul3
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, mix, smooth
from dreamzoom.engines.procedural.styles.forest import tree


@njit
def lot(seed, x, y):
    """The lot or street at a point.

    Returns:
        (kind, inside, number, u, v, tall): kind 0 street, 1 building, 2 park; the distance to the lot's edge (for
        streets to the kerb, negative); a random number of the lot; coordinates along the blocks; the relative height
        of buildings, 0..1.
    """
    turn = 0.5
    u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    u += 0.06 * math.sin(v * 1.1)
    v += 0.06 * math.sin(u * 0.9 + 1.0)
    size, street = 0.34, 0.03
    bi, bj = math.floor(u / size + 0.5), math.floor(v / size + 0.5)
    a, b = u - bi * size, v - bj * size
    half = 0.5 * size - street
    kerb = half - max(abs(a), abs(b))
    block = hash01(int(bi), int(bj), seed)
    park = (bi == 0.0 and bj == 0.0) or block < 0.09
    if kerb < 0.0:
        return 0.0, kerb, block, u, v, 0.0
    if park:
        return 2.0, kerb, block, u, v, 0.0
    nu = 1.0 + math.floor(3.0 * hash01(int(bi), int(bj), seed + 1))
    nv = 1.0 + math.floor(3.0 * hash01(int(bi), int(bj), seed + 2))
    la, lb = (a + half) / (2.0 * half) * nu, (b + half) / (2.0 * half) * nv
    ia, ib = math.floor(la), math.floor(lb)
    number = hash01(int(bi * 8 + ia), int(bj * 8 + ib), seed + 3)
    wide, deep = 2.0 * half / nu, 2.0 * half / nv
    inside = min(min(la - ia, ia + 1.0 - la) * wide, min(lb - ib, ib + 1.0 - lb) * deep) - 0.004
    centre = gradient(bi * 0.31, bj * 0.31, seed + 4) + 0.5 - 0.16 * math.sqrt(bi * bi + bj * bj)
    return 1.0, inside, number, u, v, smooth(-0.4, 0.5, centre)


@njit
def height(P, seed, x, y, fp):
    """Detail height in the style's own frame, without its base shape; see `heightfields.detail`."""
    kind, inside, number, u, v, tall = lot(seed, x, y)
    ground = 0.0
    if kind == 2.0:
        top, _, _ = tree(seed + 21, x, y, 16.0, fp)
        return ground + 0.055 * top * smooth(0.01, 0.03, inside)
    if kind == 0.0 or inside <= 0.0:
        return ground
    h = 0.06 + 0.08 * number + tall * 0.62 * (number * 1.7 % 1.0) ** 2.2
    if h > 0.2:
        steps = smooth(0.016, 0.018, inside)
        h = h * (0.72 + 0.28 * steps)
        if h > 0.35:
            h += 0.10 * smooth(0.035, 0.037, inside)
    box = hash01(int(math.floor(u * 42.0)), int(math.floor(v * 42.0)), seed + 5)
    if box > 0.72 and inside > 0.012:
        h += 0.014 * box
    edge = 0.006 if inside < 0.004 else 0.0
    return ground + h + edge


@njit
def surface(P, seed, x, y, z, nz, fp):
    """Albedo, emission and gloss; see `surface.surface`."""
    kind, inside, number, u, v, tall = lot(seed, x, y)
    grain = fbm(x * 30.0, y * 30.0, seed + 58, 3, 0.6, fp * 30.0)
    dark = P[R.NIGHT]
    if kind == 2.0 or kind == 0.0 or inside <= -0.001:
        if kind == 2.0:
            top, n, _ = tree(seed + 21, x, y, 16.0, fp)
            c = mix3((0.10, 0.17, 0.04), (0.05, 0.10, 0.025), smooth(0.1, 0.5, top))
            c = mul3(mix3(c, (0.20, 0.16, 0.03), 0.6 * smooth(0.7, 1.0, n) * smooth(0.1, 0.5, top)), 1.0 + 0.4 * grain)
            path = smooth(0.012, 0.006, abs(inside - 0.03))
            return mix3(c, (0.42, 0.36, 0.27), path * smooth(0.3, 0.1, top)), DARK, 0.0
        lane = kept(0.02, fp) * smooth(0.003, 0.001, abs(inside + 0.03)) if kind == 0.0 else 0.0
        walk = smooth(-0.012, -0.008, inside) if kind == 0.0 else 1.0
        c = mix3(mul3((0.055, 0.055, 0.06), 1.0 + 0.3 * grain), (0.25, 0.24, 0.22), walk)
        c = mix3(c, (0.6, 0.55, 0.4), 0.6 * lane)
        f1, _, _, _, ix, iy = cells(u * 26.0, v * 26.0, seed + 59, 0.5)
        lamp = math.exp(-((f1 / 0.16) ** 2)) * (0.25 + dark * 2.5) * (1.0 if hash01(ix, iy, seed + 60) > 0.45 else 0.0)
        glow = 0.10 * dark
        return c, (1.0 * lamp + glow, 0.62 * lamp + 0.55 * glow, 0.25 * lamp + 0.2 * glow), 0.1
    base = mix3(colour(P, 0), colour(P, 1), smooth(0.2, 0.8, number))
    base = mix3(base, colour(P, 2), smooth(0.8, 0.9, number * 7.3 % 1.0))
    if nz > 0.72:
        roof = mix3(mul3(base, 0.75), colour(P, 3), 1.0 if number * 5.1 % 1.0 > 0.62 and tall < 0.6 else 0.0)
        return mul3(roof, 0.9 + 0.35 * grain), DARK, 0.05
    row, along = z / 0.024, (u + v) / 0.02
    frame = smooth(0.12, 0.3, row - math.floor(row)) * smooth(0.12, 0.3, along - math.floor(along))
    frame = mix(0.6, frame, kept(0.03, fp))
    lit = hash01(int(math.floor(row)), int(math.floor(along)), seed + 61)
    on = smooth(0.9 - 0.35 * dark, 0.92 - 0.35 * dark, lit) * frame * smooth(0.5, 0.4, nz)
    wall = mul3(base, 0.85)
    glass = mix3(wall, (0.03, 0.06, 0.10), 0.85 * frame)
    warm = mul3(
        mix3(colour(P, 4), (0.6, 0.8, 1.0), smooth(0.8, 1.0, lit * 9.7 % 1.0)),
        on * (0.35 + 0.9 * dark + P[R.GLOW]) * (0.4 + lit),
    )
    return glass, warm, 0.6 * frame

"""The look of each style, compiled: albedo and emission, linear RGB, as functions of the place alone."""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, mix, ridged, smooth
from dreamzoom.engines.procedural.relief import (
    dew,
    flower,
    glade,
    land,
    lattice,
    leaf_at,
    lot,
    prism,
    ranges,
    stalk,
    swell,
    tree,
    veins,
    waves,
)

DARK = (0.0, 0.0, 0.0)


@njit
def _colour(P, i):
    k = R.COLOURS + 3 * i
    return P[k], P[k + 1], P[k + 2]


@njit
def _mix3(a, b, t):
    return (mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t))


@njit
def _mul3(a, s):
    return (a[0] * s, a[1] * s, a[2] * s)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """What a style looks like at a place of its frame.

    Args:
        P, seed: The recipe and its seed.
        x, y, z: The place in the style's frame.
        nz: The surface normal's upward part.
        fp: Footprint.

    Returns:
        Albedo (3), emission (3), gloss (0..1).
    """
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return _space(P, seed, x, y, z, fp)
    if style == R.PLANET:
        return _planet(P, seed, x, y, z, fp)
    if style == R.CONTINENT:
        return _continent(P, seed, x, y, z, nz, fp)
    if style == R.MOUNTAINS:
        return _mountains(P, seed, x, y, z, nz, fp)
    if style == R.FOREST:
        return _forest(P, seed, x, y, fp)
    if style == R.CITY:
        return _city(P, seed, x, y, z, nz, fp)
    if style == R.MEADOW:
        return _meadow(P, seed, x, y, z, fp)
    if style == R.ROCK:
        return _rock(P, seed, x, y, z, nz, fp)
    if style == R.MOSS:
        return _moss(P, seed, x, y, z, fp)
    if style == R.LEAF:
        return _leaf(P, seed, x, y, nz, fp)
    if style == R.CELL:
        return _cell(P, seed, x, y, fp)
    if style == R.CRYSTAL:
        return _crystal(P, seed, x, y, z, fp)
    if style == R.ATOM:
        return _atom(P, seed, x, y, z, fp)
    if style == R.OCEAN:
        return _ocean(P, seed, x, y, z, nz, fp)
    return _desert(P, seed, x, y, z, nz, fp)


@njit
def stars(x, y, seed, fp):
    """Light of stars at a place of a plane: round glows of many sizes."""
    total = 0.0
    f = 2.6
    for layer in range(3):
        f1, _, _, _, ix, iy = cells(x * f, y * f, seed + layer, 0.8)
        bright = hash01(ix, iy, seed + 7 + layer) ** 5
        radius = 0.010 + 0.022 * bright
        wide = max(radius, 0.7 * fp * f)
        gain = (radius / wide) ** 2
        total += bright * gain * (4.0 * math.exp(-((f1 / wide) ** 2)) + 0.25 * math.exp(-f1 / (4.0 * wide)))
        f *= 2.3
    return total


@njit
def _space(P, seed, x, y, z, fp):
    r = math.sqrt(x * x + y * y)
    if r < 0.605:
        s = 2.6
        wx = fbm(x * s, y * s, seed + 21, 3, 0.5, fp * s)
        n = fbm(x * s * 0.8 + 0.9 * wx, y * s * 1.7 - 0.6 * wx, seed + 22, 8, 0.56, fp * s * 1.7)
        c = _mix3(_mul3(_colour(P, 0), 0.7), _colour(P, 1), smooth(-0.45, 0.1, n))
        c = _mix3(c, _colour(P, 2), smooth(0.08, 0.55, n))
        rim = smooth(0.35, 0.6, r)
        return c, _mul3((0.10, 0.28, 0.65), 0.35 * rim * rim), 0.25
    ring = smooth(0.76, 0.78, r) * (1.0 - smooth(1.08, 1.1, r))
    glow = math.exp(-max(r - 0.61, 0.0) * 14.0)
    wx = fbm(x * 0.7, y * 0.7, seed + 23, 5, 0.5, fp)
    n = fbm(x * 0.9 + 0.9 * wx, y * 0.9 - 0.7 * wx, seed + 24, 8, 0.55, fp)
    lanes = ridged(x * 1.3 + 0.6 * wx, y * 1.3, seed + 27, 6, 0.55, fp * 1.3)
    cloud = smooth(-0.25, 0.75, n)
    e = _mix3(_colour(P, 3), _colour(P, 4), smooth(-0.3, 0.35, wx))
    e = _mul3(e, (0.03 + 0.75 * cloud * cloud) * (0.35 + 0.65 * smooth(0.25, 0.8, lanes)) * (1.0 + P[R.GLOW]))
    core = smooth(0.45, 1.0, n)
    e = (e[0] + 0.7 * core * core, e[1] + 0.42 * core * core, e[2] + 0.3 * core * core)
    s = stars(x, y, seed + 25, fp)
    band = 0.5 + 0.35 * gradient(r * 26.0, 0.5, seed + 26) + 0.3 * gradient(r * 90.0, 0.5, seed + 28) * kept(0.02, fp)
    gap = 1.0 - 0.8 * smooth(0.012, 0.004, abs(r - 0.96))
    a = _mix3((0.012, 0.012, 0.02), _mul3(_colour(P, 2), max(band, 0.05) * gap), ring)
    k = 1.0 - ring
    halo = 0.3 * glow * k
    return a, (k * (e[0] + s) + 0.12 * halo, k * (e[1] + s * 0.94) + 0.4 * halo, k * (e[2] + s * 0.88) + halo), 0.0


@njit
def _clouds(x, y, seed, fp):
    """Cover of swirling clouds, 0..1."""
    wx = fbm(x * 1.1, y * 1.1, seed, 3, 0.5, fp)
    return smooth(0.12, 0.8, fbm(x * 1.2 + 1.1 * wx, y * 1.9 - 0.8 * wx, seed + 1, 8, 0.58, fp * 1.9))


@njit
def _planet(P, seed, x, y, z, fp):
    r = math.sqrt(x * x + y * y)
    edge = P[R.BASE] * smooth(1.85, 1.99, r)
    n = land(seed, x, y, fp)
    m = fbm(x * 2.2, y * 2.2, seed + 31, 7, 0.55, fp * 2.2)
    sea = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.22, 0.0, n) ** 2)
    ground = _mix3(_colour(P, 2), _colour(P, 3), smooth(-0.25, 0.3, m + 0.3 * gradient(x * 0.9, y * 0.9, seed + 34)))
    ground = _mix3(ground, _mul3(_colour(P, 3), 0.5), smooth(0.45, 0.8, n))
    ground = _mix3(ground, _colour(P, 4), smooth(0.72, 0.95, n + 0.25 * m + 0.6 * P[R.SNOW]))
    shore = smooth(-0.012, 0.012, n)
    cloud = 0.92 * _clouds(x, y, seed + 32, fp)
    c = _mix3(_mix3(sea, ground, shore), (0.86, 0.88, 0.92), cloud)
    rim = P[R.BASE] * smooth(0.9, 1.85, r)
    e = _mul3(P[R.HAZE : R.HAZE + 3], 0.6 * rim * rim)
    if P[R.NIGHT] > 0.0:
        town = smooth(0.45, 0.75, fbm(x * 7.0, y * 7.0, seed + 35, 5, 0.7, fp * 7.0)) * shore * (1.0 - cloud)
        e = (e[0] + 1.6 * town, e[1] + 0.95 * town, e[2] + 0.4 * town)
    if edge > 0.0:
        s = stars(x, y, seed + 36, fp) * edge
        halo = edge * math.exp(-max(r - 1.95, 0.0) * 5.0) * 0.5
        c = _mix3(c, (0.004, 0.005, 0.01), edge)
        h = P[R.HAZE : R.HAZE + 3]
        e = (mix(e[0], s + h[0] * halo, edge), mix(e[1], s + h[1] * halo, edge), mix(e[2], s + h[2] * halo, edge))
    return c, (e[0], e[1], e[2]), (1.0 - shore) * (1.0 - cloud) * (1.0 - edge)


@njit
def _continent(P, seed, x, y, z, nz, fp):
    n = land(seed, x, y, fp)
    m = fbm(x * 3.0, y * 3.0, seed + 37, 7, 0.55, fp * 3.0)
    sea = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.16, 0.0, n + 0.03 * m) ** 1.5)
    foam = smooth(-0.022, -0.004, n) * 0.5
    sea = _mix3(sea, (0.8, 0.9, 0.9), foam)
    dry = smooth(-0.3, 0.3, gradient(x * 0.8, y * 0.8, seed + 38) + 0.5 * m)
    green = _mix3(_mul3(_colour(P, 2), 0.55), _colour(P, 2), smooth(-0.3, 0.3, m))
    ground = _mix3(green, _colour(P, 3), dry)
    f1, f2, _, _, ix, iy = cells(x * 13.0, y * 13.0, seed + 39, 0.9)
    fields = smooth(0.0, 0.2, gradient(x * 1.7, y * 1.7, seed + 40)) * smooth(0.93, 0.99, nz)
    tone = 0.75 + 0.5 * hash01(ix, iy, seed + 41)
    ground = _mix3(ground, _mul3(_mix3(_colour(P, 2), _colour(P, 3), hash01(ix, iy, seed + 42)), tone), 0.45 * fields)
    river = abs(gradient(x * 1.6 + 0.12 * m, y * 1.6, seed + 43))
    wet = (1.0 - smooth(0.012, 0.012 + 0.012 + 0.5 * fp, river)) * (1.0 - smooth(0.07, 0.12, z))
    ground = _mix3(ground, _mul3(_colour(P, 1), 0.6), 0.85 * wet)
    high = ranges(seed, x, y, fp)
    ground = _mix3(ground, (0.16, 0.13, 0.11), smooth(0.05, 0.5, high) * (1.0 - smooth(0.86, 0.97, nz)))
    snow = smooth(0.15 - 0.13 * P[R.SNOW], 0.22 - 0.13 * P[R.SNOW], z + 0.03 * m) * smooth(0.4, 0.7, nz)
    ground = _mix3(ground, _colour(P, 4), snow)
    beach = smooth(0.045, 0.01, n)
    ground = _mix3(ground, (0.62, 0.50, 0.32), 0.7 * beach)
    shore = smooth(-0.004, 0.006, n)
    cloud = 0.75 * smooth(0.35, 0.95, _clouds(x * 0.8, y * 0.8, seed + 44, fp))
    c = _mix3(_mix3(sea, ground, shore), (0.9, 0.91, 0.93), cloud)
    return c, DARK, (1.0 - shore) * (1.0 - cloud)


@njit
def _mountains(P, seed, x, y, z, nz, fp):
    m = fbm(x * 3.0, y * 3.0, seed + 41, 8, 0.58, fp * 3.0)
    strata = math.sin(z * 55.0 + 4.0 * m + 6.0 * x) * kept(0.1, fp)
    rock = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.5, 0.5, m + 0.22 * strata))
    green = _mix3(
        _mul3(_colour(P, 2), 0.8), _colour(P, 3), smooth(-0.45, 0.5, m + 0.4 * gradient(x * 7, y * 7, seed + 42))
    )
    spots = smooth(
        0.1, 0.35, fbm(x * 9.0, y * 9.0, seed + 43, 4, 0.6, fp * 9.0) + 0.5 * gradient(x * 2.0, y * 2.0, seed + 44)
    )
    green = _mix3(green, (0.018, 0.035, 0.014), 0.85 * spots)
    c = _mix3(rock, green, smooth(0.6, 0.8, nz + 0.12 * m) * (1.0 - smooth(0.14, 0.26, z + 0.06 * m)))
    line = 0.33 - 0.35 * P[R.SNOW]
    snow = smooth(line, line + 0.09, z + 0.09 * m) * smooth(0.35, 0.6, nz + 0.08 * m)
    return _mix3(c, _colour(P, 4), snow), DARK, 0.1 * snow


@njit
def _forest(P, seed, x, y, fp):
    top, number, conifer = tree(seed + 21, x, y, 8.5, fp)
    m = fbm(x * 22.0, y * 22.0, seed + 52, 4, 0.65, fp * 22.0)
    area = gradient(x * 1.1, y * 1.1, seed + 53)
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(0.0, 1.0, number + 0.4 * area - 0.35 * conifer))
    c = _mix3(c, _colour(P, 2), smooth(0.62, 1.1, number + 0.35 * area) * (1.0 - 0.8 * conifer))
    c = _mul3(c, (0.62 + 0.5 * min(top, 1.0)) * (1.0 + 0.5 * m))
    soil = _mix3(_mul3(_colour(P, 3), 0.35), _mul3(_colour(P, 0), 0.6), smooth(-0.2, 0.3, m))
    c = _mix3(soil, c, smooth(0.02, 0.15, top))
    lawn = _mix3(_colour(P, 1), _colour(P, 4), smooth(-0.1, 0.7, m + 0.3 * area))
    e = 0.0
    if P[R.GLOW] > 0.0:
        f1, _, _, _, ix, iy = cells(x * 14.0, y * 14.0, seed + 54, 0.9)
        e = P[R.GLOW] * 2.0 * math.exp(-((f1 / 0.12) ** 2)) * (1.0 if hash01(ix, iy, seed + 55) > 0.75 else 0.0)
    return _mix3(c, lawn, glade(seed, x, y)), (0.7 * e, 0.9 * e, 0.3 * e), 0.05


@njit
def _city(P, seed, x, y, z, nz, fp):
    kind, inside, number, u, v, tall = lot(seed, x, y)
    grain = fbm(x * 30.0, y * 30.0, seed + 58, 3, 0.6, fp * 30.0)
    dark = P[R.NIGHT]
    if kind == 2.0 or kind == 0.0 or inside <= -0.001:
        if kind == 2.0:
            top, n, _ = tree(seed + 21, x, y, 16.0, fp)
            c = _mix3((0.10, 0.17, 0.04), (0.05, 0.10, 0.025), smooth(0.1, 0.5, top))
            c = _mul3(
                _mix3(c, (0.20, 0.16, 0.03), 0.6 * smooth(0.7, 1.0, n) * smooth(0.1, 0.5, top)), 1.0 + 0.4 * grain
            )
            path = smooth(0.012, 0.006, abs(inside - 0.03))
            return _mix3(c, (0.42, 0.36, 0.27), path * smooth(0.3, 0.1, top)), DARK, 0.0
        lane = kept(0.02, fp) * smooth(0.003, 0.001, abs(inside + 0.03)) if kind == 0.0 else 0.0
        walk = smooth(-0.012, -0.008, inside) if kind == 0.0 else 1.0
        c = _mix3(_mul3((0.055, 0.055, 0.06), 1.0 + 0.3 * grain), (0.25, 0.24, 0.22), walk)
        c = _mix3(c, (0.6, 0.55, 0.4), 0.6 * lane)
        f1, _, _, _, ix, iy = cells(u * 26.0, v * 26.0, seed + 59, 0.5)
        lamp = math.exp(-((f1 / 0.16) ** 2)) * (0.25 + dark * 2.5) * (1.0 if hash01(ix, iy, seed + 60) > 0.45 else 0.0)
        glow = 0.10 * dark
        return c, (1.0 * lamp + glow, 0.62 * lamp + 0.55 * glow, 0.25 * lamp + 0.2 * glow), 0.1
    base = _mix3(_colour(P, 0), _colour(P, 1), smooth(0.2, 0.8, number))
    base = _mix3(base, _colour(P, 2), smooth(0.8, 0.9, number * 7.3 % 1.0))
    if nz > 0.72:
        roof = _mix3(_mul3(base, 0.75), _colour(P, 3), 1.0 if number * 5.1 % 1.0 > 0.62 and tall < 0.6 else 0.0)
        return _mul3(roof, 0.9 + 0.35 * grain), DARK, 0.05
    row, along = z / 0.024, (u + v) / 0.02
    frame = smooth(0.12, 0.3, row - math.floor(row)) * smooth(0.12, 0.3, along - math.floor(along))
    frame = mix(0.6, frame, kept(0.03, fp))
    lit = hash01(int(math.floor(row)), int(math.floor(along)), seed + 61)
    on = smooth(0.9 - 0.35 * dark, 0.92 - 0.35 * dark, lit) * frame * smooth(0.5, 0.4, nz)
    wall = _mul3(base, 0.85)
    glass = _mix3(wall, (0.03, 0.06, 0.10), 0.85 * frame)
    warm = _mul3(
        _mix3(_colour(P, 4), (0.6, 0.8, 1.0), smooth(0.8, 1.0, lit * 9.7 % 1.0)),
        on * (0.35 + 0.9 * dark + P[R.GLOW]) * (0.4 + lit),
    )
    return glass, warm, 0.6 * frame


@njit
def _meadow(P, seed, x, y, z, fp):
    m = fbm(x * 2.0, y * 2.0, seed + 64, 6, 0.55, fp * 2.0)
    blade = ridged(x * 16.0, y * 9.0, seed + 32, 4, 0.65, fp * 16.0)
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.45, 0.45, m))
    c = _mix3(c, _colour(P, 2), 0.55 * smooth(0.25, 0.8, m + 0.3 * blade))
    c = _mul3(c, 0.55 + 0.75 * blade)
    path = abs(y * 0.4 + x * 0.9 - 0.9 + 0.35 * gradient(x * 0.9, y * 0.9, seed + 65))
    c = _mix3(c, (0.32, 0.23, 0.13), 0.75 * smooth(0.09, 0.05, path + 0.04 * m))
    bush = smooth(0.2, 0.5, gradient(x * 0.8, y * 0.8, seed + 42)) * smooth(0.5, 0.9, math.sqrt(x * x + y * y))
    if bush > 0.15:
        top, n, _ = tree(seed + 41, x, y, 1.9, fp)
        leafy = fbm(x * 24.0, y * 24.0, seed + 66, 4, 0.65, fp * 24.0)
        crown = _mul3(_mix3(_mul3(_colour(P, 0), 0.6), _colour(P, 1), 0.6 * n), 0.8 + 0.6 * leafy)
        if top > 0.1:
            return crown, DARK, 0.05
    small, _, n2 = flower(P, seed + 37, x, y, 19.0)
    c = _mix3(c, _mix3(_colour(P, 4), (0.75, 0.55, 0.05), 1.0 if n2 > 0.75 else 0.0), 0.9 * small * kept(0.03, fp))
    petal, heart, n = flower(P, seed + 33, x, y, 9.0)
    tone = n * 9.7 % 1.0
    bloom = _mix3(_colour(P, 3), _colour(P, 4), 1.0 if tone > 0.62 else 0.0)
    bloom = _mix3(bloom, (0.30, 0.12, 0.55), 1.0 if tone < 0.28 else 0.0)
    c = _mix3(c, bloom, petal)
    return _mix3(c, (0.85, 0.50, 0.04), heart * petal), DARK, 0.0


@njit
def _rock(P, seed, x, y, z, nz, fp):
    m = fbm(x * 3.0, y * 3.0, seed + 67, 8, 0.62, fp * 3.0)
    q = fbm(x * 1.1, y * 1.1, seed + 68, 4, 0.5, fp)
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.4, 0.4, m + 0.5 * q))
    c = _mix3(c, _colour(P, 2), 0.7 * smooth(0.15, 0.6, m - 0.4 * q))
    vein = 1.0 - smooth(0.01, 0.035 + fp, abs(gradient(x * 1.4 + 0.2 * m, y * 1.4, seed + 69)))
    c = _mix3(c, (0.62, 0.58, 0.52), 0.35 * vein)
    speck = gradient(x * 42.0, y * 42.0, seed + 73) * kept(0.024, fp)
    c = _mul3(c, 1.0 + 0.35 * speck)
    f1, f2, _, _, ix, iy = cells(x * 3.6 + 0.25 * m, y * 3.6 + 0.25 * m, seed + 74, 0.9)
    spot = smooth(0.36, 0.26, f1 + 0.12 * m) * (1.0 if hash01(ix, iy, seed + 75) > 0.6 else 0.0) * smooth(0.6, 0.8, nz)
    c = _mix3(c, _mix3(_colour(P, 3), _colour(P, 4), hash01(ix, iy, seed + 76)), 0.75 * spot)
    moss = smooth(0.12, -0.02, z + 0.06 * m) * smooth(0.1, 0.4, q + 0.5 * m) * smooth(0.5, 0.8, nz)
    return _mix3(c, (0.06, 0.10, 0.025), 0.85 * moss), DARK, 0.15 + 0.7 * P[R.WET]


@njit
def _moss(P, seed, x, y, z, fp):
    up, capsule = stalk(seed, x, y)
    if capsule > 0.0:
        h = smooth(-0.08, 0.2, z)
        return _mix3(_mul3(_colour(P, 1), 0.7), _colour(P, 3), h), _mul3(_colour(P, 3), 0.12 * h), 0.4
    g1, g2, ex, ey, jx, jy = cells(x * 13.0, y * 13.0, seed + 66, 0.9)
    m = fbm(x * 1.4, y * 1.4, seed + 77, 5, 0.55, fp * 1.4)
    n = hash01(jx, jy, seed + 78)
    tip = smooth(0.55, 0.05, g1)
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.4, 0.4, m) * 0.6 + 0.4 * n)
    c = _mix3(_mul3(c, 0.5), _mix3(c, _colour(P, 2), 0.75 * smooth(-0.2, 0.6, m + 0.4 * n)), tip)
    fuzz = fbm(x * 48.0, y * 48.0, seed + 69, 3, 0.6, fp * 48.0)
    c = _mul3(c, 1.0 + 0.5 * fuzz)
    return c, _mul3(_colour(P, 4), 0.5 * P[R.GLOW] * tip * tip), 0.15


@njit
def _leaf(P, seed, x, y, nz, fp):
    h, u, v, w, number = leaf_at(seed, x, y)
    if h < -0.05:
        m = fbm(x * 9.0, y * 9.0, seed + 86, 5, 0.62, fp * 9.0)
        return _mul3(_mix3((0.035, 0.022, 0.012), (0.10, 0.06, 0.03), smooth(-0.3, 0.5, m)), 1.0), DARK, 0.05
    net = veins(seed, u, v, w, fp)
    q = abs(v) / w
    m = fbm(x * 5.0, y * 5.0, seed + 87, 6, 0.6, fp * 5.0)
    old = smooth(0.66, 0.95, number + 0.15 * m) if h < 0.12 else 0.0
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(-0.4, 0.6, m + 0.5 * (1.0 - q)))
    c = _mix3(c, _mix3(_colour(P, 3), (0.55, 0.30, 0.06), smooth(0.1, 0.7, m + q - 0.4)), 0.85 * old)
    spots = smooth(0.42, 0.62, fbm(x * 7.0, y * 7.0, seed + 88, 4, 0.6, fp * 7.0))
    c = _mix3(c, _mul3(_colour(P, 3), 0.5), 0.6 * spots)
    c = _mix3(c, _colour(P, 2), 0.75 * net)
    c = _mix3(c, _mul3(_colour(P, 3), 0.9), 0.5 * smooth(0.9, 1.0, q))
    drop, radius = dew(seed, x, y)
    if drop > 0.0:
        c = _mix3(c, (0.75, 0.85, 0.8), 0.2 + 0.35 * (1.0 - drop))
    shine = _mul3(_colour(P, 2), 0.10 * (1.0 - net) * (1.0 - old) + P[R.GLOW] * net)
    c = _mix3((0.02, 0.022, 0.008), c, smooth(0.15, 0.5, nz))
    return c, shine, 0.45 + 0.55 * (1.0 if drop > 0.0 else 0.0)


@njit
def _cell(P, seed, x, y, fp):
    wx = x + 0.1 * gradient(x * 2.1, y * 2.1, seed + 90)
    wy = y + 0.1 * gradient(x * 2.1, y * 2.1, seed + 91)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.9, wy * 1.9, seed + 92, 0.75)
    gap = f2 - f1
    n = hash01(ix, iy, seed + 93)
    m = fbm(x * 6.0, y * 6.0, seed + 97, 6, 0.6, fp * 6.0)
    body = _mix3(_colour(P, 0), _colour(P, 1), smooth(0.05, 0.6, gap + 0.12 * m))
    body = _mix3(body, _colour(P, 2), 0.6 * smooth(0.55, 0.8, n))
    body = _mul3(body, 1.0 + 0.35 * m)
    g1, _, _, _, jx, jy = cells(x * 15.0, y * 15.0, seed + 94, 0.9)
    k = hash01(jx, jy, seed + 95)
    grain = smooth(0.34, 0.24, g1) * smooth(0.12, 0.3, gap) * (1.0 if k > 0.35 else 0.0)
    tone = _mix3(_colour(P, 3), _colour(P, 4), smooth(0.5, 0.8, k))
    body = _mix3(body, tone, 0.6 * grain)
    core = smooth(0.23, 0.19, f1)
    fibre = smooth(-0.2, 0.5, fbm(x * 13.0, y * 13.0, seed + 98, 4, 0.6, fp * 13.0))
    body = _mix3(body, _mix3(_mul3(_colour(P, 2), 0.6), _colour(P, 3), fibre), 0.9 * core)
    halo = math.exp(-((f1 / 0.24) ** 2))
    skin = 1.0 - smooth(0.0, 0.07, gap)
    e = _mul3(_colour(P, 2), halo * (0.5 + 0.5 * P[R.GLOW]))
    t = _mul3(_colour(P, 4), (0.32 + P[R.GLOW]) * skin * (0.6 + 0.4 * m) + 0.35 * grain * (1.0 if k > 0.85 else 0.0))
    return body, (e[0] + t[0], e[1] + t[1], e[2] + t[2]), 0.6


@njit
def _crystal(P, seed, x, y, z, fp):
    big, side, number = prism(seed + 100, x, y, 2.2)
    mid, side2, number2 = prism(seed + 110, x, y, 5.5)
    if mid / 5.0 > big / 2.0:
        side, number, big = side2, number2, 2.0 * mid / 5.0
    m = fbm(x * 5.0, y * 5.0 + 2.0 * z, seed + 121, 6, 0.6, fp * 5.0)
    if big < 0.12:
        c = _mix3(_mul3(_colour(P, 0), 0.5), (0.12, 0.10, 0.10), smooth(-0.3, 0.4, m))
        glint = smooth(0.55, 0.8, m)
        return _mix3(c, _colour(P, 1), glint), DARK, 0.4
    depth = smooth(0.0, 0.75, 0.5 * big)
    c = _mix3(_colour(P, 0), _colour(P, 1), depth + 0.1 * m)
    c = _mix3(c, _colour(P, 2), depth * depth)
    c = _mix3(c, _colour(P, 3), 0.55 * smooth(0.7, 0.95, number))
    c = _mul3(c, 0.85 + 0.25 * hash01(int(side), int(number * 4096.0), seed + 122))
    flaw = smooth(0.75, 0.95, ridged(x * 4.0 + z, y * 4.0 - z, seed + 123, 4, 0.6, fp * 4.0))
    c = _mix3(c, _colour(P, 4), 0.15 * flaw)
    inner = (1.0 - depth) * 0.22 + 0.10 + 0.4 * P[R.GLOW]
    return c, _mul3(_mix3(_colour(P, 1), _colour(P, 3), smooth(0.4, 1.0, number)), inner), 0.9


@njit
def _atom(P, seed, x, y, z, fp):
    d, i, j = lattice(x, y, 0.2)
    n = hash01(i, j, seed + 130)
    wave = waves(seed, x, y)
    odd = 1.0 if n > 0.93 else 0.0
    hill = 0.5 + 0.5 * wave
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(0.15, 0.9, hill))
    ball = math.sqrt(max(1.0 - (d / 0.5) ** 2, 0.0))
    c = _mix3(_mul3(c, 0.5), _colour(P, 2), ball * (0.05 + 0.5 * smooth(0.4, 1.0, hill)))
    c = _mix3(c, _colour(P, 3), odd * smooth(0.0, 0.3, ball))
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
    b, o = _colour(P, 2), _colour(P, 3)
    rim = (1.0 - ball) * ball * 0.5 + 0.22 * max(wave, 0.0)
    power = (0.6 * cloud + rim * 0.9 + 1.2 * orbit) * g
    warm = (0.9 * core + odd * ball * 0.5) * g
    return c, (b[0] * power + o[0] * warm, b[1] * power + o[1] * warm, b[2] * power + o[2] * warm), 0.8


@njit
def _ocean(P, seed, x, y, z, nz, fp):
    h = swell(seed, x, y, fp)
    m = fbm(x * 6.0, y * 6.0, seed + 144, 7, 0.62, fp * 6.0)
    deep = smooth(0.1, 0.85, h + 0.12 * m)
    reef = smooth(0.05, 0.5, fbm(x * 0.7, y * 0.7, seed + 145, 4, 0.5, fp) + 0.1)
    c = _mix3(_colour(P, 0), _colour(P, 1), 0.75 * deep + 0.35 * reef)
    c = _mix3(c, _colour(P, 2), 0.45 * smooth(0.7, 1.0, h) + 0.2 * reef * deep)
    net = ridged(x * 5.0 + 0.5 * m, y * 5.0, seed + 146, 5, 0.6, fp * 5.0)
    foam = smooth(0.78, 0.98, h + 0.2 * m) * smooth(0.45, 0.8, net)
    return _mix3(c, _colour(P, 4), 0.9 * foam), _mul3(_colour(P, 2), 0.06 * deep), 0.9 * (1.0 - foam)


@njit
def _desert(P, seed, x, y, z, nz, fp):
    m = fbm(x * 2.0, y * 2.0, seed + 154, 7, 0.55, fp * 2.0)
    c = _mix3(_colour(P, 0), _colour(P, 1), smooth(0.0, 0.2, z + 0.08 * m))
    c = _mix3(c, _colour(P, 2), smooth(0.1, 0.35, z + 0.1 * m))
    c = _mix3(c, _colour(P, 3), 0.4 * smooth(0.2, 0.6, m) * smooth(0.2, 0.0, z))
    speck = gradient(x * 60.0, y * 60.0, seed + 155) * kept(0.017, fp)
    return _mul3(c, 1.0 + 0.15 * speck + 0.12 * m), DARK, 0.05

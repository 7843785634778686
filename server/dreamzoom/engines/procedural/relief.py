"""The shape of each style, compiled: height over the plane in the style's own frame, zero at the focus.

`base` is smooth and level at the focus, so it may stay beneath finer levels for ever; `detail` is what finer levels
calm down.
"""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.noise import cells, fbm, gradient, hash01, kept, mix, own_seed, ridged, smooth


@njit
def base(P, x, y):
    """The smooth underlying form of a style."""
    style = int(P[R.STYLE])
    r2 = x * x + y * y
    if style == R.SPACE:
        if r2 < 0.38:
            return max(math.sqrt(0.3844 - r2) - 0.62, -0.45)
        return -0.45
    if style == R.PLANET:
        return max(2.0 * (math.sqrt(max(1.0 - r2 / 4.2, 0.0)) - 1.0), -1.7) * P[R.BASE]
    if style == R.MOUNTAINS:
        return 0.06 * r2 / (1.0 + 0.25 * r2) * P[R.BASE]
    return 0.0


@njit
def detail(P, seed, x, y, fp):
    """The relief of a style."""
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return _space(seed, x, y, fp)
    if style == R.PLANET:
        return 0.07 * max(land(seed, x, y, fp), 0.0) ** 1.2
    if style == R.CONTINENT:
        return _continent(seed, x, y, fp)
    if style == R.MOUNTAINS:
        return _mountains(seed, x, y, fp)
    if style == R.FOREST:
        return _forest(P, seed, x, y, fp)
    if style == R.CITY:
        return _city(seed, x, y, fp)
    if style == R.MEADOW:
        return _meadow(P, seed, x, y, fp)
    if style == R.ROCK:
        return _rock(seed, x, y, fp)
    if style == R.MOSS:
        return _moss(seed, x, y, fp)
    if style == R.LEAF:
        return _leaf(seed, x, y, fp)
    if style == R.CELL:
        return _cell(seed, x, y, fp)
    if style == R.CRYSTAL:
        return _crystal(seed, x, y, fp)
    if style == R.ATOM:
        return _atom(seed, x, y, fp)
    if style == R.OCEAN:
        return _ocean(seed, x, y, fp)
    return _desert(seed, x, y, fp)


@njit
def _space(seed, x, y, fp):
    r = math.sqrt(x * x + y * y)
    ring = smooth(0.76, 0.78, r) * (1.0 - smooth(1.08, 1.1, r))
    out = smooth(1.05, 1.8, r)
    n = 0.0
    if out > 0.0:
        n = out * 0.2 * fbm(x * 0.9, y * 0.9, seed + 1, 4, 0.45, fp)
    return n + 0.05 * ring


@njit
def land(seed, x, y, fp):
    """The height over the sea of a planet's or a continent's ground, before it is clipped: positive is land."""
    f = 1.05
    wx = x * f + 0.3 * fbm(x * 1.2, y * 1.2, seed + 11, 3, 0.5, fp * 1.2)
    wy = y * f + 0.3 * fbm(x * 1.2 + 9.0, y * 1.2, seed + 12, 3, 0.5, fp * 1.2)
    n = fbm(wx, wy, seed + 13, 9, 0.56, fp * f)
    return 1.1 * n - 0.02 + 0.35 * math.exp(-(x * x + y * y) / 0.2)


@njit
def ranges(seed, x, y, fp):
    """Where mountain ranges stand on a continent, 0..1."""
    a = 1.0 - abs(gradient(x * 0.75 + 0.3 * gradient(x * 1.5, y * 1.5, seed + 15), y * 0.75, seed + 14))
    return smooth(0.72, 0.98, a)


@njit
def _continent(seed, x, y, fp):
    n = land(seed, x, y, fp)
    if n <= 0.0:
        return 0.0
    inland = smooth(0.0, 0.3, n)
    high = ranges(seed, x, y, fp)
    peaks = ridged(x * 2.6, y * 2.6, seed + 16, 7, 0.52, fp * 2.6) if high > 0.0 else 0.0
    hills = 0.5 + 0.5 * fbm(x * 3.0, y * 3.0, seed + 17, 6, 0.5, fp * 3.0)
    return 0.022 * smooth(0.0, 0.04, n) + inland * (0.05 * max(hills, 0.0) + 0.17 * high * peaks)


@njit
def _mountains(seed, x, y, fp):
    f = 0.75
    wx = x * f + 0.11 * fbm(x * 1.4, y * 1.4, seed + 3, 2, 0.5, fp * 1.4)
    wy = y * f + 0.11 * fbm(x * 1.4, y * 1.4, seed + 4, 2, 0.5, fp * 1.4)
    n = ridged(wx, wy, seed + 5, 9, 0.5, fp * f)
    broad = 0.5 + 0.5 * gradient(x * 0.5, y * 0.5, seed + 2)
    valley = smooth(0.15, 1.15, math.sqrt(x * x + y * y) + 0.25 * gradient(x * 1.3, y * 1.3, seed + 6))
    meadow = 0.03 * fbm(x * 3.0, y * 3.0, seed + 7, 5, 0.5, fp * 3.0)
    return meadow + (0.08 + 0.52 * n * (0.4 + 0.6 * n)) * (0.6 + 0.5 * broad) * valley


@njit
def tree(seed, x, y, f, fp):
    """The tallest tree over a place: its height in crown sizes (0 between trees), its number 0..1, conifer or not."""
    best, number, conifer = 0.0, 0.0, 0.0
    u, v = x * f, y * f
    fx, fy = int(math.floor(u)), int(math.floor(v))
    for j in range(-1, 2):
        for i in range(-1, 2):
            a = hash01(fx + i, fy + j, seed)
            b = hash01(fx + i, fy + j, seed + 1)
            c = hash01(fx + i, fy + j, seed + 2)
            dx, dy = u - (fx + i + 0.15 + 0.7 * a), v - (fy + j + 0.15 + 0.7 * b)
            radius = 0.38 + 0.34 * c
            d = math.sqrt(dx * dx + dy * dy) / radius
            if d < 1.0:
                kind = 1.0 if hash01(fx + i, fy + j, seed + 3) > 0.45 else 0.0
                tall = (0.75 + 0.9 * c * hash01(fx + i, fy + j, seed + 4)) * (1.0 + 0.5 * kind)
                form = (1.0 - d) ** 0.85 if kind > 0.5 else 0.45 + 0.55 * math.sqrt(1.0 - d * d)
                if kind > 0.5:
                    form *= 1.0 - 0.10 * math.sin(d * 26.0 + 5.0 * a) * kept(0.25 / f, fp)
                if tall * form > best:
                    best, number, conifer = tall * form, hash01(fx + i, fy + j, seed + 5), kind
    return best, number, conifer


@njit
def glade(seed, x, y):
    """How much of a place is open ground in the forest, 0..1."""
    r = math.sqrt(x * x + y * y)
    return 1.0 - smooth(0.16, 0.3, r + 0.12 * gradient(x * 3.0, y * 3.0, seed + 20))


@njit
def _forest(P, seed, x, y, fp):
    hills = 0.16 * fbm(x * 0.7, y * 0.7, seed + 6, 3, 0.5, fp)
    f = 8.5
    top, number, conifer = tree(seed + 21, x, y, f, fp)
    rough = 0.022 * fbm(x * 34.0, y * 34.0, seed + 22, 3, 0.6, fp * 34.0)
    open_ = glade(seed, x, y)
    under = 0.012 * fbm(x * 14.0, y * 14.0, seed + 23, 4, 0.6, fp * 14.0)
    return hills + mix(0.145 * top + rough * min(top * 3.0, 1.0), under, open_)


@njit
def lot(seed, x, y):
    """The city at a place.

    Returns:
        (kind, inside, number, u, v, tall): kind 0 street, 1 building, 2 park; the distance to the lot's edge (to the
            kerb for
        streets, negative); a random number of the lot; coordinates along the blocks; how high the lot may be built,
        0..1.
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
def _city(seed, x, y, fp):
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
def flower(P, seed, x, y, f):
    """A flower over a place: how much petal 0..1, how much heart 0..1, its number."""
    f1, f2, dx, dy, ix, iy = cells(x * f, y * f, seed, 0.7)
    number = hash01(ix, iy, seed + 1)
    meadow = 0.42 - 0.3 * P[R.BLOOM] + 0.35 * gradient(ix * 0.21, iy * 0.21, seed + 2)
    if number < meadow or f1 > 0.4:
        return 0.0, 0.0, number
    petals = 5.0 + math.floor(4.0 * hash01(ix, iy, seed + 3))
    radius = (0.26 + 0.14 * hash01(ix, iy, seed + 4)) * (
        0.72 + 0.28 * math.cos(petals * math.atan2(dy, dx) + 6.0 * number)
    )
    return 1.0 - smooth(0.85, 1.0, f1 / radius), 1.0 - smooth(0.075, 0.1, f1), number


@njit
def _meadow(P, seed, x, y, fp):
    hills = 0.22 * fbm(x * 0.7, y * 0.7, seed + 30, 4, 0.42, fp)
    wind = gradient(x * 1.5, y * 1.5, seed + 31)
    u, v = x + 0.05 * wind, y
    grass = 0.0
    if kept(0.03, fp) > 0.0:
        grass = 0.045 * ridged(u * 16.0, v * 9.0, seed + 32, 4, 0.65, fp * 16.0)
    petal, heart, number = flower(P, seed + 33, x, y, 9.0)
    small, _, _ = flower(P, seed + 37, x, y, 19.0)
    low = grass + 0.03 * petal + 0.018 * heart + 0.012 * small
    bush = smooth(0.2, 0.5, gradient(x * 0.8, y * 0.8, seed + 42)) * smooth(0.5, 0.9, math.sqrt(x * x + y * y))
    if bush <= 0.0:
        return hills + max(low, 0.0)
    top, _, _ = tree(seed + 41, x, y, 1.9, fp)
    leafy = 0.05 * fbm(x * 11.0, y * 11.0, seed + 43, 5, 0.6, fp * 11.0) if top > 0.0 else 0.0
    return hills + max(low, bush * (0.24 * top + leafy))


@njit
def _rock(seed, x, y, fp):
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
def stalk(seed, x, y):
    """A moss's stalk over a place: how high it stands there 0..1 (0 beside it), whether it is the capsule."""
    f = 4.2
    f1, ix, iy = own_seed(x * f, y * f, seed + 70, 0.8)
    if hash01(ix, iy, seed + 71) < 0.62:
        return 0.0, 0.0
    r = f1 / f
    tall = 0.6 + 0.4 * hash01(ix, iy, seed + 72)
    capsule = 0.0238
    if r < capsule:
        return tall * (0.82 + 0.18 * math.sqrt(1.0 - (r / capsule) ** 2)), 1.0
    return 0.0, 0.0


@njit
def _moss(seed, x, y, fp):
    wx = x + 0.1 * fbm(x * 1.5, y * 1.5, seed + 62, 3, 0.5, fp * 1.5)
    wy = y + 0.1 * fbm(x * 1.5 + 5.0, y * 1.5, seed + 63, 3, 0.5, fp * 1.5)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.7, wy * 1.7, seed + 64, 0.85)
    cushion = math.sqrt(max(1.0 - (f1 / 0.85) ** 2, 0.0)) * (0.16 + 0.16 * hash01(ix, iy, seed + 65))
    g1, g2, ex, ey, jx, jy = cells(x * 13.0, y * 13.0, seed + 66, 0.9)
    star = 0.75 + 0.25 * math.cos(6.0 * math.atan2(ey, ex) + 6.0 * hash01(jx, jy, seed + 67))
    tuft = max(1.0 - g1 / (0.75 * star), 0.0) * (0.03 + 0.025 * hash01(jx, jy, seed + 68))
    fuzz = 0.012 * fbm(x * 48.0, y * 48.0, seed + 69, 3, 0.6, fp * 48.0)
    soft = cushion + tuft + fuzz
    up, _ = stalk(seed, x, y)
    return max(soft, 0.42 * up) - 0.19


@njit
def leaf_at(seed, x, y):
    """The topmost leaf over a place.

    Returns:
        (height, u, v, width, number): over the soil; along the leaf 0..1; across it, signed, in units; its half
            width there; a
        random number of the leaf. Height −1 where none lies.
    """
    top, bu, bv, bw, bn = -1.0, 0.0, 0.0, 1.0, 0.0
    space = 0.62
    fx, fy = int(math.floor(x / space)), int(math.floor(y / space))
    for k in range(10):  # the leaves of nine squares, and the great one at the focus
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
    """The net of veins at a place of a leaf, 0..1: midrib, ribs, and the mesh between."""
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
    """A drop of water over a place: its height as a share of its radius 0..1 (0 beside it), its radius in units."""
    f = 3.4
    f1, ix, iy = own_seed(x * f, y * f, seed + 84, 0.8)
    n = hash01(ix, iy, seed + 85)
    if n < 0.5:
        return 0.0, 1.0
    r, radius = f1 / f, 0.012 + 0.034 * (n - 0.5)
    return (math.sqrt(1.0 - (r / radius) ** 2) if r < radius else 0.0), radius


@njit
def _leaf(seed, x, y, fp):
    h, u, v, w, number = leaf_at(seed, x, y)
    if h < 0.1:  # higher, the soil cannot reach
        soil = 0.03 * fbm(x * 6.0, y * 6.0, seed + 82, 5, 0.6, fp * 6.0) - 0.09
        if h < soil:
            return soil - 0.17
    drop, radius = dew(seed, x, y)
    return h - 0.2 - 0.012 * veins(seed, u, v, w, fp) + 0.8 * radius * drop


@njit
def _cell(seed, x, y, fp):
    wx = x + 0.1 * gradient(x * 2.1, y * 2.1, seed + 90)
    wy = y + 0.1 * gradient(x * 2.1, y * 2.1, seed + 91)
    f1, f2, dx, dy, ix, iy = cells(wx * 1.9, wy * 1.9, seed + 92, 0.75)
    gap = f2 - f1
    dome = math.sqrt(max(1.0 - (f1 / 0.95) ** 2, 0.0)) * math.sqrt(smooth(-0.02, 0.32, gap))
    pillow = 0.24 * dome * (0.8 + 0.4 * hash01(ix, iy, seed + 93))
    nucleus = 0.02 * smooth(0.24, 0.17, f1) - 0.02 * smooth(0.3, 0.25, f1)
    g1, g2, _, _, jx, jy = cells(x * 15.0, y * 15.0, seed + 94, 0.9)
    n = hash01(jx, jy, seed + 95)
    grain = 0.02 * n * max(1.0 - (g1 / (0.2 + 0.22 * n)) ** 2, 0.0) * smooth(0.1, 0.3, gap)
    skin = 0.006 * fbm(x * 22.0, y * 22.0, seed + 96, 4, 0.55, fp * 22.0)
    return pillow + nucleus + grain * smooth(0.24, 0.3, f1) + skin - 0.2


@njit
def prism(seed, x, y, f):
    """The tallest crystal over a place: height in units of 1/f, whether on a slanting facet, its number."""
    best, side, number = 0.0, 0.0, 0.0
    u, v = x * f, y * f
    fx, fy = int(math.floor(u)), int(math.floor(v))
    for j in range(-1, 2):
        for i in range(-1, 2):
            a, n = hash01(fx + i, fy + j, seed), hash01(fx + i, fy + j, seed + 2)
            b, t = hash01(fx + i, fy + j, seed + 1), hash01(fx + i, fy + j, seed + 3)
            dx, dy = u - (fx + i + 0.2 + 0.6 * a), v - (fy + j + 0.2 + 0.6 * b)
            radius = 0.2 + 0.32 * n
            if dx * dx + dy * dy > 1.34 * radius * radius:
                continue
            lean = (t - 0.5) * 1.1
            c, s = math.cos(6.0 * a), math.sin(6.0 * a)
            px, py = abs(dx * c + dy * s), abs(dy * c - dx * s)
            slant = 0.5 * px + 0.8660254 * py
            far, facet = max(px, slant), 1.0 if slant > px else 0.0
            if far < radius:
                h = (0.3 + 1.5 * n * t) - (0.5 + 0.6 * b) * max(far - 0.1 * radius, 0.0) + lean * dx
                if h > best:
                    best, side, number = h, facet, hash01(fx + i, fy + j, seed + 4)
    return best, side, number


@njit
def _crystal(seed, x, y, fp):
    big, _, _ = prism(seed + 100, x, y, 2.2)
    mid, _, _ = prism(seed + 110, x, y, 5.5)
    grit = 0.02 * fbm(x * 9.0, y * 9.0, seed + 120, 4, 0.5, fp * 9.0)
    return max(max(big / 2.0, mid / 5.0), 0.05 + grit) - 0.05


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
    """The standing wave of the electrons, about −1..1: rings about the focus and about two other places."""
    r = math.sqrt(x * x + y * y)
    a = math.sqrt((x - 1.3) ** 2 + (y + 0.7) ** 2)
    b = math.sqrt((x + 1.1) ** 2 + (y - 1.2) ** 2)
    return (
        (math.cos(13.0 * r) / (1.0 + r)) + 0.5 * math.cos(11.0 * a) / (1.0 + a) + 0.5 * math.cos(12.0 * b) / (1.0 + b)
    )


@njit
def _atom(seed, x, y, fp):
    d, i, j = lattice(x, y, 0.2)
    n = hash01(i, j, seed + 130)
    ball = 0.1 * math.sqrt(max(1.0 - (d / 0.5) ** 2, 0.0)) - 0.07 + (0.025 if n > 0.93 and d < 0.5 else 0.0)
    swell = 0.16 * gradient(x * 0.8, y * 0.8, seed + 131)
    return ball + swell + 0.045 * waves(seed, x, y)


@njit
def swell(seed, x, y, fp):
    """The sea's waves, crests up, about 0..1."""
    u, v = 0.86 * x + 0.5 * y, -0.5 * x + 0.86 * y
    u += 0.12 * fbm(x * 1.1, y * 1.1, seed + 140, 3, 0.5, fp)
    long = 1.0 - abs(gradient(u * 2.1, v * 0.8, seed + 141))
    return 0.65 * long * long + 0.35 * ridged(u * 3.6, v * 2.3, seed + 142, 6, 0.5, fp * 3.6)


@njit
def _ocean(seed, x, y, fp):
    return 0.17 * (swell(seed, x, y, fp) - 0.6) + 0.05 * fbm(x * 0.6, y * 0.6, seed + 143, 2, 0.5, fp)


@njit
def _desert(seed, x, y, fp):
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

"""Compiled kernels of the procedural world: height and colour of a point, grids of height, shadow and sky visibility,
and ray marching. `renderer` makes pictures from them.

Points are given in the frame of the camera's level, K. The levels that contribute are described by four arrays, one row
per level, coarsest first:

    chain    (L, CHAIN) float64. Columns: scale p^(K−j) of level j; offset x, y, z (the origin of frame K in frame j);
             the plane (value, slope x, slope y) that is subtracted from the coarser levels' terrain so that it is
             horizontal at level j's focus; the focus's z in the coarser level's frame; p; tint (3, linear RGB, or −1)
    recipes  (L, S, parameters.LENGTH) float64, the parameters of each level's styles
    seeds    (L, S) int64, their seeds
    counts   (L,) int64, the number of styles of each level; further rows of `recipes` are unused

Heights, shadows and sky visibility are stored on nested square grids around the levels' origins, called rings, finest
first:

    rings    (R, 3) float64: centre x, y and half the side of each ring, in frame K
    grids    (R, n+1, n+1) float32: heights in frame K; rows along y
    opens    (R, n+1, n+1) float32: visible share of the sky, 0..1

Scalars, unless stated otherwise: lengths are in units of frame K (arguments ending in k) or of the frame in question;
`fp` is the footprint, the size of the area that a sample stands for; (nx, ny, nz) is the unit normal, (lx, ly, lz) the
unit vector towards the sun, `shadow` the visible share of the sun's disc and `ao` that of the sky, both 0..1.
"""

from __future__ import annotations

import math

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.heightfields import base, detail
from dreamzoom.engines.procedural.noise import fbm, gradient, mix, smooth
from dreamzoom.engines.procedural.surface import surface
from dreamzoom.jit import njit

SCALE, OX, OY, OZ, PLANE, PLANE_X, PLANE_Y, FOCUS_Z, FACTOR, TINT = range(10)
CHAIN = 12


@njit
def _presence(seed, x, y, fp):
    """The weight of a level at a point (x, y) of its frame: 1 inside, 0 outside, with an irregular border near 1.3."""
    r = math.sqrt(x * x + y * y)
    if r < 0.55:
        return 1.0
    if r > 2.1:
        return 0.0
    r += 0.28 * fbm(x * 1.4, y * 1.4, seed + 901, 5, 0.55, fp * 1.4)
    return 1.0 - smooth(0.95, 1.65, r)


@njit
def _patch(seed, index, x, y, fp):
    """The weight, 0..1, of a level's style number `index` at a point of its frame: patches about half a unit wide."""
    n = gradient(x * 1.3 + 3.7 * index, y * 1.3, seed + 777 + index) + 0.3 * fbm(
        x * 4, y * 4, seed + 778, 4, 0.5, fp * 4
    )
    return smooth(-0.12, 0.18, n)


@njit
def _own_relief(recipes, seeds, count, x, y, fp, calm):
    """The blended height of one level's styles at a point (x, y) of its own frame.

    Args:
        recipes: (S, parameters.LENGTH), `seeds`: (S,), `count`: how many of them are used.
        x, y, fp: Point and footprint in the level's frame.
        calm: 0..1, how much of the detail is flattened because a finer level lies there.
    """
    total = 0.0
    for s in range(count):
        P = recipes[s]
        f = P[R.FREQUENCY]
        share = 1.0 if s == 0 else _patch(seeds[0], s, x, y, fp)
        if share <= 0.0:
            continue
        h = base(P, x, y)
        rise = smooth(0.0, P[R.RISE], math.sqrt(x * x + y * y)) * (1.0 - calm)
        if rise > 0.0:
            h += P[R.RELIEF] * rise * detail(P, seeds[s], x * f, y * f, fp * f) / f
        total = mix(total, h, share)
    return total


@njit
def _is_flat(recipes, counts, level):
    """Whether a level's relief is 0 where its detail is flattened. Most coarse levels are flat so close to the focus;
    telling this without views of the arrays, whose reference counts cost more, takes a third off a deep level's time.
    """
    for s in range(counts[level]):
        style = recipes[level, s, R.STYLE]
        if style == R.SPACE or style == R.PLANET or style == R.MOUNTAINS:
            return False
    return True


@njit
def height(chain, recipes, seeds, counts, xk, yk, fpk, last):
    """The height of the terrain at a point (xk, yk), in frame K, with the levels up to row `last` of the chain.

    h_j(X) = p · (h_{j−1} − z_j) − plane_j + w_j · f_j, from coarse to fine, each in its own frame; the detail of a
    level is flattened where the next one lies.
    """
    h = 0.0
    levels = chain.shape[0]
    x, y = xk / chain[0, SCALE] + chain[0, OX], yk / chain[0, SCALE] + chain[0, OY]
    for i in range(last + 1):
        u, v, calm = 0.0, 0.0, 0.0
        if i < levels - 1:
            d = chain[i + 1, SCALE]
            u, v = xk / d + chain[i + 1, OX], yk / d + chain[i + 1, OY]
            calm = 1.0 - smooth(0.5, 1.9, math.sqrt(u * u + v * v))
        share = 1.0
        if i > 0:
            plane = chain[i, PLANE] + chain[i, PLANE_X] * x + chain[i, PLANE_Y] * y
            h = (h - chain[i, FOCUS_Z]) * chain[i, FACTOR] - (1.0 - smooth(0.8, 2.2, math.sqrt(x * x + y * y))) * plane
            share = _presence(seeds[i, 0], x, y, fpk / chain[i, SCALE])
        if share > 0.0 and (calm < 1.0 or not _is_flat(recipes, counts, i)):
            h += share * _own_relief(recipes[i], seeds[i], counts[i], x, y, fpk / chain[i, SCALE], calm)
        x, y = u, v
    return (h - chain[last, OZ]) * chain[last, SCALE]


@njit
def _lit(P, a, e, gloss, nx, ny, nz, lx, ly, lz, shadow, ao):
    """Shade a point: sun with shadow, sky light, and a highlight for one fixed viewing direction.

    Args:
        P: (parameters.LENGTH,) the style's recipe.
        a, e: Albedo and emission, linear RGB tuples.
        gloss: 0..1.

    Returns:
        Outgoing light, linear RGB.
    """
    wrap = P[R.WRAP]
    direct = max((nx * lx + ny * ly + nz * lz + wrap) / (1.0 + wrap), 0.0) * shadow
    hx, hy, hz = lx, ly - 0.55, lz + 0.83
    norm = 1.0 / math.sqrt(hx * hx + hy * hy + hz * hz)
    shine = max((nx * hx + ny * hy + nz * hz) * norm, 0.0) ** 40 * gloss * P[R.SHEEN] * (0.15 + 0.85 * shadow)
    sky = ao * (0.55 + 0.45 * nz)
    bounce = 0.12 * ao * (1.0 - 0.5 * nz)
    r = a[0] * (P[R.SUN] * (direct + bounce) + P[R.SKY] * sky) + shine * P[R.SUN] + e[0]
    g = a[1] * (P[R.SUN + 1] * (direct + bounce) + P[R.SKY + 1] * sky) + shine * P[R.SUN + 1] + e[1]
    b = a[2] * (P[R.SUN + 2] * (direct + bounce) + P[R.SKY + 2] * sky) + shine * P[R.SUN + 2] + e[2]
    return r, g, b


@njit
def _own_colour(recipes, seeds, count, chain_row, x, y, z, fp, nx, ny, nz, lx, ly, lz, shadow, ao, tint):
    """The outgoing light of one level at a point (x, y, z) of its frame, linear RGB.

    Args:
        recipes, seeds, count: As in `_own_relief`.
        chain_row: (CHAIN,) the level's row of the chain.
        tint: 0 or 1, whether the colour is tinted by the surrounding coarser levels.
    """
    r, g, b = 0.0, 0.0, 0.0
    radius = math.sqrt(x * x + y * y)
    for s in range(count):
        P = recipes[s]
        f = P[R.FREQUENCY]
        share = 1.0 if s == 0 else _patch(seeds[0], s, x, y, fp)
        if share <= 0.0:
            continue
        a, e, gloss = surface(P, seeds[s], x * f, y * f, z * f, nz, fp * f)
        if tint > 0.0:
            t = tint * (0.18 + 0.3 * smooth(0.5, 1.6, radius))
            luma = 0.3 * a[0] + 0.6 * a[1] + 0.1 * a[2]
            a = (
                mix(a[0], luma * chain_row[TINT], t),
                mix(a[1], luma * chain_row[TINT + 1], t),
                mix(a[2], luma * chain_row[TINT + 2], t),
            )
        lr, lg, lb = _lit(P, a, e, gloss, nx, ny, nz, lx, ly, lz, shadow, ao)
        amount = P[R.HAZE_AMOUNT] * (0.5 * smooth(0.9, 3.2, radius) + 0.25 * math.exp(-max(z + 0.05, 0.0) * 9.0))
        amount = min(amount, 0.9)
        lr, lg, lb = mix(lr, P[R.HAZE], amount), mix(lg, P[R.HAZE + 1], amount), mix(lb, P[R.HAZE + 2], amount)
        r, g, b = mix(r, lr, share), mix(g, lg, share), mix(b, lb, share)
    return r, g, b


@njit
def colour(chain, recipes, seeds, counts, xk, yk, zk, fpk, nx, ny, nz, lx, ly, lz, shadow, ao):
    """The outgoing light at a point (xk, yk, zk) of frame K, blended over all levels, linear RGB."""
    r, g, b, left = 0.0, 0.0, 0.0, 1.0
    for i in range(chain.shape[0] - 1, -1, -1):
        scale = chain[i, SCALE]
        x, y, fp = xk / scale + chain[i, OX], yk / scale + chain[i, OY], fpk / scale
        share = 1.0
        if i > 0:
            share = _presence(seeds[i, 0], x, y, fp)
        if share <= 0.0:
            continue
        c = chain[i]
        z = zk / c[SCALE] + c[OZ]
        tint = 1.0 if c[TINT] >= 0.0 else 0.0
        lr, lg, lb = _own_colour(
            recipes[i], seeds[i], counts[i], c, x, y, z, fp, nx, ny, nz, lx, ly, lz, shadow, ao, tint
        )
        r, g, b = r + left * share * lr, g + left * share * lg, b + left * share * lb
        left *= 1.0 - share
        if left < 0.004:
            break
    return r, g, b


@njit(nogil=True, cache=True)
def heights_at(chain, recipes, seeds, counts, places, fp, last, out):
    """Compute heights `out` (N,) at points `places` (N, 2) of frame K, for footprint `fp`, with the levels up to row
    `last` of the chain.
    """
    for k in range(places.shape[0]):
        out[k] = height(chain, recipes, seeds, counts, places[k, 0], places[k, 1], fp, last)


@njit
def ring_of(rings, x, y):
    """Index of the finest ring that contains a point with a margin of 12 %; the outermost if none does."""
    last = rings.shape[0] - 1
    for ring in range(last):
        if max(abs(x - rings[ring, 0]), abs(y - rings[ring, 1])) <= 0.88 * rings[ring, 2]:
            return ring
    return last


@njit
def sample(grids, rings, ring, x, y):
    """Bilinear interpolation in the grid of ring number `ring`; `grids` (R, n+1, n+1)."""
    n = grids.shape[1] - 1
    cell = 2.0 * rings[ring, 2] / n
    u = min(max((x - rings[ring, 0] + rings[ring, 2]) / cell, 0.0), n - 1e-9)
    v = min(max((y - rings[ring, 1] + rings[ring, 2]) / cell, 0.0), n - 1e-9)
    i, j = int(u), int(v)
    u -= i
    v -= j
    g = grids[ring]
    top = g[j, i] + (g[j, i + 1] - g[j, i]) * u
    low = g[j + 1, i] + (g[j + 1, i + 1] - g[j + 1, i]) * u
    return top + (low - top) * v


@njit
def ground(grids, rings, x, y):
    """Height at a point from the finest grid that contains it; the grid's cell size; and the grid's index."""
    ring = ring_of(rings, x, y)
    return sample(grids, rings, ring, x, y), 2.0 * rings[ring, 2] / (grids.shape[1] - 1), ring


@njit(nogil=True, cache=True)
def ground_at(grids, rings, places, out):
    """Interpolate heights `out` (N,) at points `places` (N, 2) from the grids."""
    for k in range(places.shape[0]):
        out[k] = ground(grids, rings, places[k, 0], places[k, 1])[0]


@njit(nogil=True, cache=True)
def bake_shadows(grids, rings, lx, ly, lz, ceiling, least, out, row0, row1):
    """Compute the visible share of the sun's disc, 0..1, on the first ring's grid by marching towards the sun.

    Args:
        lx, ly, lz: Unit vector towards the sun.
        ceiling: The greatest height in all grids.
        least: Lower limit of the distance from the origin that limits the length of shadows, see below.
        out: (n+1, n+1) float32; its rows `row0` to `row1` (exclusive) are written.
    """
    n = grids.shape[1] - 1
    extent = rings[0, 2]
    cell = 2.0 * extent / n
    flat = math.sqrt(lx * lx + ly * ly)
    for j in range(row0, row1):
        y = j * cell - extent
        for i in range(n + 1):
            x = i * cell - extent
            # Terrain that is much larger than the point's distance from the origin casts no shadow there, otherwise
            # deep levels would always be dark. The limit depends only on the point, so all views see the same shadow.
            reach = max(math.sqrt(x * x + y * y), least)
            z = grids[0, j, i] + 0.6 * cell
            t, light = 1.6 * cell / flat, 1.0
            while light > 0.0 and z + lz * t < ceiling and t < 14.0 * reach:
                h, step, _ = ground(grids, rings, x + lx * t, y + ly * t)
                seen = 0.5 + 0.5 * (z + lz * t - h) / (0.045 * t + 0.3 * cell)
                light = min(light, max(seen, smooth(4.0 * reach, 14.0 * reach, t)))
                t = t * 1.07 + step * 0.5
            light = max(light, 0.0)
            out[j, i] = light * light * (3.0 - 2.0 * light)


@njit
def openness(opens, rings, ring, x, y):
    """The visible share of the sky at a point, 0..1: the product over four scales from ring number `ring` outwards."""
    total = 1.0
    for k in range(ring, min(ring + 4, opens.shape[0])):
        total *= sample(opens, rings, k, x, y)
    return total


@njit
def march(grids, tops, blocks, rings, dome, ceiling, cx, cy, cz, dx, dy, dz):
    """The first intersection of a ray with the terrain.

    Args:
        grids: (R, n+1, n+1) heights.
        tops: One array (R, n/size, n/size) for each size in `blocks`: the greatest height in a block of size × size
            cells and its eight neighbours.
        blocks: The block sizes in cells, coarse then fine.
        dome: Radius of the sky sphere around the origin.
        ceiling: The greatest height in all grids.
        cx, cy, cz: Origin of the ray.
        dx, dy, dz: Its direction, with z-depth 1, so that t is z-depth.

    Returns:
        t, or −1 if the ray leaves through the sky sphere.
    """
    flat = max(math.sqrt(dx * dx + dy * dy), 1e-9)
    b, c2, a = cx * dx + cy * dy + cz * dz, cx * cx + cy * cy + cz * cz - dome * dome, dx * dx + dy * dy + dz * dz
    disc = b * b - a * c2
    if disc <= 0.0:
        return -1.0
    end = (-b + math.sqrt(disc)) / a
    t = max(0.01, (-b - math.sqrt(disc)) / a)
    if cz + dz * t > ceiling:
        if dz >= 0.0:
            return -1.0
        t = max(t, (ceiling - cz) / dz)
    before, outside = t, False
    while t < end:
        x, y, z = cx + dx * t, cy + dy * t, cz + dz * t
        if z > ceiling and dz >= 0.0:
            return -1.0
        h, cell, ring = ground(grids, rings, x, y)
        if z > h:
            outside = True
            before = t
            step = 0.6 * cell / flat
            u, v = x - rings[ring, 0] + rings[ring, 2], y - rings[ring, 1] + rings[ring, 2]
            for fine in range(2):
                wide = cell * blocks[fine]
                most = tops[fine].shape[1] - 1
                high = tops[fine][ring, min(max(int(v / wide), 0), most), min(max(int(u / wide), 0), most)]
                if z > high:
                    reach = wide / flat
                    if dz < 0.0:
                        reach = min(reach, (high - z) / dz)
                    step = max(step, reach)
                    break
            if dz < 0.0 and flat < 0.35:
                step = min(step, max((h - z) / dz, 0.25 * cell))
            t += step
        elif outside:
            low, high = before, t
            for _ in range(14):
                mid = 0.5 * (low + high)
                if cz + dz * mid > ground(grids, rings, cx + dx * mid, cy + dy * mid)[0]:
                    low = mid
                else:
                    high = mid
            return 0.5 * (low + high)
        else:
            t += 0.6 * cell / flat
    return -1.0

"""The compiled heart of the world: height and colour of a place, grids of height, shadow and openness, and the ray
march. `renderer` makes pictures of them.

A place is given in the frame of the level whose camera looks, K. `chain` holds the levels j that matter there, older
and finer than K, the oldest first: columns scale (p^(K−j)), offset x y z (the origin of frame K in frame j), the plane
(value, slope x, slope y) that is taken off the older relief so that it is level under level j's focus, the z of the
focus in the parent's frame, p, and the tint (3).

Heights, shadows and openness to the sky are kept on square grids about the levels' origins, "rings", the finest first:
`rings` (R, 3) holds the centre x, y and half the side of each, in frame K.
"""

from __future__ import annotations

import math

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.heightfields import base, detail
from dreamzoom.engines.procedural.noise import fbm, gradient, mix, smooth
from dreamzoom.engines.procedural.surface import surface

SCALE, OX, OY, OZ, PLANE, PLANE_X, PLANE_Y, FOCUS_Z, FACTOR, TINT = range(10)
CHAIN = 12


@njit
def _presence(seed, x, y, fp):
    """How much of a place belongs to a level: 1 inside, 0 outside, an organic border near 1.3 units."""
    r = math.sqrt(x * x + y * y)
    if r < 0.55:
        return 1.0
    if r > 2.1:
        return 0.0
    r += 0.28 * fbm(x * 1.4, y * 1.4, seed + 901, 5, 0.55, fp * 1.4)
    return 1.0 - smooth(0.95, 1.65, r)


@njit
def _patch(seed, index, x, y, fp):
    """The share of a level's further styles: patches about half a unit wide."""
    n = gradient(x * 1.3 + 3.7 * index, y * 1.3, seed + 777 + index) + 0.3 * fbm(
        x * 4, y * 4, seed + 778, 4, 0.5, fp * 4
    )
    return smooth(-0.12, 0.18, n)


@njit
def _own_relief(recipes, seeds, count, x, y, fp, calm):
    """The relief of one level's styles together, in its own frame."""
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
def height(chain, recipes, seeds, counts, xk, yk, fpk, last):
    """The height of the ground at a place, in frame K, with the levels up to row `last` of the chain.

    h_j(X) = p · (h_{j−1} − z_j) − plane_j + w_j · f_j, level after level, each in its own frame; the relief of a level
    is calm where the next one lies.
    """
    h = 0.0
    levels = chain.shape[0]
    for i in range(last + 1):
        c = chain[i]
        x, y, fp = xk / c[SCALE] + c[OX], yk / c[SCALE] + c[OY], fpk / c[SCALE]
        share = 1.0
        if i > 0:
            h = (h - c[FOCUS_Z]) * c[FACTOR]
            r = math.sqrt(x * x + y * y)
            h -= (1.0 - smooth(0.8, 2.2, r)) * (c[PLANE] + c[PLANE_X] * x + c[PLANE_Y] * y)
            share = _presence(seeds[i, 0], x, y, fp)
        if share > 0.0:
            calm = 0.0
            if i < levels - 1:
                d = chain[i + 1]
                u, v = xk / d[SCALE] + d[OX], yk / d[SCALE] + d[OY]
                calm = 1.0 - smooth(0.5, 1.9, math.sqrt(u * u + v * v))
            h += share * _own_relief(recipes[i], seeds[i], counts[i], x, y, fp, calm)
    return (h - chain[last, OZ]) * chain[last, SCALE]


@njit
def _lit(P, a, e, gloss, nx, ny, nz, lx, ly, lz, shadow, ao):
    """Albedo to light: sun with its shadow, sky, a highlight towards one fixed direction; linear RGB."""
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
    """The light that leaves a place of one level, tinted by what lies around the level."""
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
    """The light that leaves a place of frame K, linear RGB."""
    r, g, b, left = 0.0, 0.0, 0.0, 1.0
    for i in range(chain.shape[0] - 1, -1, -1):
        c = chain[i]
        x, y, fp = xk / c[SCALE] + c[OX], yk / c[SCALE] + c[OY], fpk / c[SCALE]
        share = 1.0
        if i > 0:
            share = _presence(seeds[i, 0], x, y, fp)
        if share <= 0.0:
            continue
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
    """Heights (N,) of places (N, 2), for a footprint, with the levels up to row `last` of the chain."""
    for k in range(places.shape[0]):
        out[k] = height(chain, recipes, seeds, counts, places[k, 0], places[k, 1], fp, last)


@njit
def ring_of(rings, x, y):
    """The finest ring that holds a place, with a margin; the outermost where none does."""
    last = rings.shape[0] - 1
    for ring in range(last):
        if max(abs(x - rings[ring, 0]), abs(y - rings[ring, 1])) <= 0.88 * rings[ring, 2]:
            return ring
    return last


@njit
def sample(grids, rings, ring, x, y):
    """Bilinear value of one ring's grid; `grids` (R, n+1, n+1)."""
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
    """Height from the finest grid that holds a place; the size of its cell, and which it is."""
    ring = ring_of(rings, x, y)
    return sample(grids, rings, ring, x, y), 2.0 * rings[ring, 2] / (grids.shape[1] - 1), ring


@njit(nogil=True, cache=True)
def ground_at(grids, rings, places, out):
    """Heights (N,) of places (N, 2), from the grids."""
    for k in range(places.shape[0]):
        out[k] = ground(grids, rings, places[k, 0], places[k, 1])[0]


@njit(nogil=True, cache=True)
def bake_shadows(grids, rings, lx, ly, lz, ceiling, least, out, row0, row1):
    """Fill rows of the first ring's grid with the share of the sun's disc that is seen, 0..1, by marching towards it.

    Args:
        lx, ly, lz: Towards the sun, a unit vector.
        ceiling: The highest ground of all.
        least: The least distance from the origin that shadows are scaled by, see below.
    """
    n = grids.shape[1] - 1
    extent = rings[0, 2]
    cell = 2.0 * extent / n
    flat = math.sqrt(lx * lx + ly * ly)
    for j in range(row0, row1):
        y = j * cell - extent
        for i in range(n + 1):
            x = i * cell - extent
            # What is levels larger than its place is far from the origin casts no shadow there, else a deep level
            # would lie in the dark for ever. That depends on the place alone, so every view sees the same shadow.
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
    """How much of the sky a place sees: the product over four scales from its own ring outwards."""
    total = 1.0
    for k in range(ring, min(ring + 4, opens.shape[0])):
        total *= sample(opens, rings, k, x, y)
    return total


@njit
def march(grids, tops, blocks, rings, dome, ceiling, cx, cy, cz, dx, dy, dz):
    """The first crossing of a ray into the ground.

    Args:
        grids: Heights (R, n+1, n+1). tops: For each size in `blocks`, coarse then fine, the highest of 3 × 3 blocks
            of so many cells, (R, n/size, n/size).
        dome: The radius of the sky about the origin.
        cx..dz: The ray, z-depth 1 a unit of t.

    Returns:
        t, or −1 where the ray leaves through the dome of the sky.
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

"""Compiled rendering of the world: rays are marched first, then each pixel is shaded.

The slope of the terrain at a pixel is computed from the exact heights at its neighbours, so one height per pixel is
evaluated; three only if the neighbours lie on another surface.

Common arguments, in the frame of the camera's level:

    scene  tuple (chain, recipes, seeds, counts, grids, shadows, opens, rings, sky, light); the arrays as described in
           `kernels`; shadows (R, n+1, n+1) float32, the visible share of the sun; sky (2, 2) float64, rows (row of the
           chain whose sky is visible, its weight); light (3,) float64, unit vector towards the sun
    pose   (4, 4) float64, camera to frame, OpenCV axes
    lens   (5,) float64: fx, fy, cx, cy in pixels, and the footprint of a pixel at depth 1
    depth  (H, W) float64, signed z-depth: positive on the terrain, negative on the sky
    fp     footprint of a pixel, in units of the frame
"""

from __future__ import annotations

import math

import numpy as np

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.kernels import colour, ground, height, march, openness, sample
from dreamzoom.engines.procedural.noise import mix, smooth
from dreamzoom.engines.procedural.styles.space import stars
from dreamzoom.jit import njit

SAME = 0.03
"""Adjacent pixels are on one surface if their depths differ by less than this share."""

SPREAD = 0.75
"""Side, in pixels, of the square whose corners are the four samples of a pixel with fine detail."""


@njit
def _sky(P, seed, dx, dy, dz, fp):
    """Light of one level's sky in a direction (unit vector): linear RGB. `P` (parameters.LENGTH,) is its recipe."""
    up = smooth(-0.05, 0.6, dz)
    r = mix(P[R.HAZE], P[R.SKY], up)
    g = mix(P[R.HAZE + 1], P[R.SKY + 1], up)
    b = mix(P[R.HAZE + 2], P[R.SKY + 2], up)
    dark = max(P[R.NIGHT], 1.0 if P[R.STYLE] == R.SPACE or P[R.STYLE] == R.PLANET else 0.0)
    s = 0.0
    if dark > 0.0:
        s = dark * stars(6.0 * math.atan2(dx, dy), 6.0 * dz, seed + 61, fp)
    return r * (1 - 0.9 * dark) + s, g * (1 - 0.9 * dark) + s, b * (1 - 0.9 * dark) + s


@njit
def _tone_map(v):
    """Tone mapping: scene-linear to display-linear 0..1 (fit of the ACES curve, Narkowicz 2015)."""
    v = max(v, 0.0) * 0.85
    return min(v * (2.51 * v + 0.03) / (v * (2.43 * v + 0.59) + 0.14), 1.0)


@njit
def _ray(pose, lens, column, row):
    """Direction of the ray through a pixel coordinate, with z-depth 1, in the frame."""
    u, v = (column - lens[2]) / lens[0], (row - lens[3]) / lens[1]
    return (
        pose[0, 0] * u + pose[0, 1] * v + pose[0, 2],
        pose[1, 0] * u + pose[1, 1] * v + pose[1, 2],
        pose[2, 0] * u + pose[2, 1] * v + pose[2, 2],
    )


@njit
def _signed_depth(grids, tops, blocks, rings, dome, ceiling, cx, cy, cz, dx, dy, dz):
    """Signed z-depth of a ray's end: positive on the terrain, negative on the sky. Arguments as in `kernels.march`."""
    t = march(grids, tops, blocks, rings, dome, ceiling, cx, cy, cz, dx, dy, dz)
    if t > 0.0:
        return t
    a, b = dx * dx + dy * dy + dz * dz, cx * dx + cy * dy + cz * dz
    c = cx * cx + cy * cy + cz * cz
    disc = b * b - a * (c - dome * dome)
    far = (-b + math.sqrt(disc)) / a if disc > 0.0 else -1.0
    return -far if far > 0.01 else -(math.sqrt(c) + dome)


@njit(nogil=True, cache=True)
def reaches(grids, tops, blocks, rings, dome, ceiling, pose, lens, at, out):
    """Compute signed z-depths `out` (N,) of the rays through pixel coordinates `at` (N, 2), columns (x, y).

    Other arguments as in `kernels.march`.
    """
    for k in range(at.shape[0]):
        dx, dy, dz = _ray(pose, lens, at[k, 0], at[k, 1])
        out[k] = _signed_depth(
            grids, tops, blocks, rings, dome, ceiling, pose[0, 3], pose[1, 3], pose[2, 3], dx, dy, dz
        )


@njit
def _plane(ax, ay, ah, bx, by, bh, small):
    """Slope (x, y) of the plane that rises by `ah` over the vector (ax, ay) and by `bh` over (bx, by).

    The third value tells whether the slope is defined: it is not if the vectors are nearly parallel (cross product
    below `small`).
    """
    det = ax * by - ay * bx
    if abs(det) < small:
        return 0.0, 0.0, False
    return (ah * by - bh * ay) / det, (ax * bh - bx * ah) / det, True


@njit
def _slope(scene, x, y, h0, fp, cell):
    """Slope (x, y) of the terrain at a point of exact height `h0`, by finite differences; `cell` is the grid's cell."""
    chain, recipes, seeds, counts = scene[0], scene[1], scene[2], scene[3]
    eps = max(0.7 * fp, 0.12 * cell)
    gx = (height(chain, recipes, seeds, counts, x + eps, y, fp, len(chain) - 1) - h0) / eps
    return gx, (height(chain, recipes, seeds, counts, x, y + eps, fp, len(chain) - 1) - h0) / eps


@njit
def _lit(scene, x, y, z, fp, gx, gy):
    """Display-linear RGB, 0..1, of a point on the terrain with slope (gx, gy).

    A wall is one grid cell wide: it gets the grid's normal, and the material of the point just inside it. A slope that
    is too steep for the terrain next to a wall was measured across the wall's edge and is replaced by the grid's.
    """
    chain, recipes, seeds, counts, grids, shadows, opens, rings, _, light = scene
    _, cell, ring = ground(grids, rings, x, y)
    wx = (ground(grids, rings, x + cell, y)[0] - ground(grids, rings, x - cell, y)[0]) / (2.0 * cell)
    wy = (ground(grids, rings, x, y + cell)[0] - ground(grids, rings, x, y - cell)[0]) / (2.0 * cell)
    steep = math.sqrt(wx * wx + wy * wy)
    wall = smooth(1.6, 3.2, steep)
    step = max(wall, smooth(1.6, 3.2, math.sqrt(gx * gx + gy * gy)))
    gx, gy = mix(gx, wx, step), mix(gy, wy, step)
    norm = 1.0 / math.sqrt(gx * gx + gy * gy + 1.0)
    inward = 1.5 * cell * wall / max(steep, 1e-6)
    r, g, b = colour(
        chain, recipes, seeds, counts, x + wx * inward, y + wy * inward, z, fp, -gx * norm, -gy * norm, norm,
        light[0], light[1], light[2], sample(shadows, rings, ring, x, y),
        openness(opens, rings, ring, x, y),
    )  # fmt: skip
    return _tone_map(r), _tone_map(g), _tone_map(b)


@njit
def _sky_colour(scene, dx, dy, dz, lens):
    """Display-linear RGB, 0..1, of the sky in direction (dx, dy, dz) of any length."""
    norm = math.sqrt(dx * dx + dy * dy + dz * dz)
    r, g, b = 0.0, 0.0, 0.0
    for part in range(2):
        level, share = int(scene[8][part, 0]), scene[8][part, 1]
        if share > 0.0:
            own = _sky(scene[1][level, 0], scene[2][level, 0], dx / norm, dy / norm, dz / norm, 6.0 * lens[4])
            r, g, b = r + share * own[0], g + share * own[1], b + share * own[2]
    return _tone_map(r), _tone_map(g), _tone_map(b)


@njit(nogil=True, cache=True)
def ground_under(scene, pose, lens, depth, row0, row1, out):
    """Compute the terrain point (x, y, exact height) at each pixel's centre; sky pixels are not written.

    Args:
        out: (H, W, 3) float64; its rows `row0` to `row1` (exclusive) are written.
    """
    for i in range(row0, row1):
        for j in range(depth.shape[1]):
            t = depth[i, j]
            if t > 0.0:
                dx, dy, _ = _ray(pose, lens, j + 0.5, i + 0.5)
                x, y = pose[0, 3] + dx * t, pose[1, 3] + dy * t
                out[i, j, 0], out[i, j, 1] = x, y
                out[i, j, 2] = height(scene[0], scene[1], scene[2], scene[3], x, y, t * lens[4], len(scene[0]) - 1)


@njit
def _neighbour(depth, i, j, down, right):
    """The neighbour of pixel (i, j) along one axis, (down, right) = (1, 0) or (0, 1), that is on the same surface.

    Returns:
        Its row, its column, and whether there is one.
    """
    for way in (1, -1):
        k, m = i + way * down, j + way * right
        within = 0 <= k < depth.shape[0] and 0 <= m < depth.shape[1]
        if within and abs(depth[k, m] - depth[i, j]) < SAME * depth[i, j]:
            return k, m, True
    return i, j, False


@njit(nogil=True, cache=True)
def light_rows(scene, pose, lens, depth, under, row0, row1, rgb):
    """Shade the pixels of some rows.

    Args:
        under: (H, W, 3) as written by `ground_under`.
        rgb: (H, W, 3) float32, display-linear RGB 0..1; its rows `row0` to `row1` (exclusive) are written.
    """
    for i in range(row0, row1):
        for j in range(depth.shape[1]):
            dx, dy, dz = _ray(pose, lens, j + 0.5, i + 0.5)
            t = depth[i, j]
            if t < 0.0:
                rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = _sky_colour(scene, dx, dy, dz, lens)
                continue
            fp = t * lens[4]
            x, y, h = under[i, j, 0], under[i, j, 1], under[i, j, 2]
            k, m, beside = _neighbour(depth, i, j, 0, 1)
            p, q, below = _neighbour(depth, i, j, 1, 0)
            gx, gy, known = 0.0, 0.0, False
            if beside and below:
                a, b = under[k, m], under[p, q]
                gx, gy, known = _plane(a[0] - x, a[1] - y, a[2] - h, b[0] - x, b[1] - y, b[2] - h, 0.2 * fp * fp)
            if not known:
                gx, gy = _slope(scene, x, y, h, fp, ground(scene[4], scene[7], x, y)[1])
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = _lit(scene, x, y, pose[2, 3] + dz * t, fp, gx, gy)


@njit
def _inverse_depth_slope(depth, i, j):
    """Derivatives of 1/depth per pixel to the right and per pixel down; constant on a plane."""
    left, right = max(j - 1, 0), min(j + 1, depth.shape[1] - 1)
    up, down = max(i - 1, 0), min(i + 1, depth.shape[0] - 1)
    a = (1.0 / depth[i, right] - 1.0 / depth[i, left]) / max(right - left, 1)
    return a, (1.0 / depth[down, j] - 1.0 / depth[up, j]) / max(down - up, 1)


@njit
def _plane_point(pose, lens, t0, across, down, i, j, su, sv):
    """The point x, y, z of the tangent plane at pixel (i, j), at an offset of (su, sv) pixels from its centre.

    `t0` is the pixel's depth; `across` and `down` are the derivatives of 1/depth.
    """
    t = 1.0 / (1.0 / t0 + su * across + sv * down)
    dx, dy, dz = _ray(pose, lens, j + 0.5 + su, i + 0.5 + sv)
    return pose[0, 3] + dx * t, pose[1, 3] + dy * t, pose[2, 3] + dz * t


@njit(nogil=True, cache=True)
def light_four(scene, pose, lens, depth, pixels, rgb):
    """Shade pixels with four samples each; all neighbours of the pixels must be on the same surface.

    The samples lie on the plane through the neighbours; the slope at each is computed from the other samples.

    Args:
        pixels: (N, 2) int, rows and columns.
        rgb: (N, 3) float32, the means; written.
    """
    spots, heights = np.empty((4, 3)), np.empty(4)
    for n in range(pixels.shape[0]):
        i, j = pixels[n, 0], pixels[n, 1]
        t0 = depth[i, j]
        fp = t0 * lens[4]
        across, down = _inverse_depth_slope(depth, i, j)
        for s in range(4):
            x, y, z = _plane_point(
                pose, lens, t0, across, down, i, j, SPREAD * ((s & 1) - 0.5), SPREAD * ((s >> 1) - 0.5)
            )
            spots[s, 0], spots[s, 1], spots[s, 2] = x, y, z
            heights[s] = height(scene[0], scene[1], scene[2], scene[3], x, y, fp, len(scene[0]) - 1)
        r, g, b = 0.0, 0.0, 0.0
        for s in range(4):
            x, y = spots[s, 0], spots[s, 1]
            a, c = spots[s ^ 1], spots[s ^ 2]
            ha, hc = heights[s ^ 1] - heights[s], heights[s ^ 2] - heights[s]
            gx, gy, known = _plane(a[0] - x, a[1] - y, ha, c[0] - x, c[1] - y, hc, 0.1 * fp * fp)
            if not known:
                gx, gy = _slope(scene, x, y, heights[s], fp, ground(scene[4], scene[7], x, y)[1])
            one = _lit(scene, x, y, spots[s, 2], fp, gx, gy)
            r, g, b = r + 0.25 * one[0], g + 0.25 * one[1], b + 0.25 * one[2]
        rgb[n, 0], rgb[n, 1], rgb[n, 2] = r, g, b


@njit(nogil=True, cache=True)
def light_rays(scene, pose, lens, at, depth, rgb):
    """Shade single rays.

    Args:
        at: (N, 2) pixel coordinates, columns (x, y).
        depth: (N,) their signed z-depths.
        rgb: (N, 3) float32; written.
    """
    for k in range(at.shape[0]):
        dx, dy, dz = _ray(pose, lens, at[k, 0], at[k, 1])
        t = depth[k]
        if t < 0.0:
            rgb[k, 0], rgb[k, 1], rgb[k, 2] = _sky_colour(scene, dx, dy, dz, lens)
            continue
        x, y, fp = pose[0, 3] + dx * t, pose[1, 3] + dy * t, t * lens[4]
        h = height(scene[0], scene[1], scene[2], scene[3], x, y, fp, len(scene[0]) - 1)
        gx, gy = _slope(scene, x, y, h, fp, ground(scene[4], scene[7], x, y)[1])
        rgb[k, 0], rgb[k, 1], rgb[k, 2] = _lit(scene, x, y, pose[2, 3] + dz * t, fp, gx, gy)

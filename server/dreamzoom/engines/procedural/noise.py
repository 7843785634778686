"""Compiled 2D noise functions: gradient noise, fractal sums, ridges, and cellular noise, band-limited by a footprint.

`fp` is the footprint of one sample (a pixel on the terrain, a grid cell), in the units of x and y: octaves finer than
this fade out before they alias.
"""

from __future__ import annotations

import math

from numba import njit

_MASK = 0xFFFFFFFF


@njit
def smooth(low, high, x):
    """Smoothstep from 0 at `low` to 1 at `high`."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit
def mix(a, b, t):
    """Linear interpolation: `a` at t = 0, `b` at t = 1."""
    return a + (b - a) * t


@njit
def hash2(ix, iy, seed):
    """Hash a lattice point to 32 bits."""
    n = (ix * 374761393 + iy * 668265263 + seed * 2147483647 + 974634777) & _MASK
    n = ((n ^ (n >> 15)) * 2246822519) & _MASK
    n = ((n ^ (n >> 13)) * 3266489917) & _MASK
    return n ^ (n >> 16)


@njit
def hash01(ix, iy, seed):
    """Hash a lattice point to a number in [0, 1)."""
    return hash2(ix, iy, seed) * (1.0 / 4294967296.0)


@njit
def _corner(ix, iy, seed, dx, dy):
    h = hash2(ix, iy, seed)
    return ((h & 0xFFFF) * (1.0 / 32768.0) - 1.0) * dx + ((h >> 16) * (1.0 / 32768.0) - 1.0) * dy


@njit
def gradient(x, y, seed):
    """Gradient noise, about −1 to 1, with features of about one unit (Perlin 1985, quintic fade of Perlin 2002)."""
    fx, fy = math.floor(x), math.floor(y)
    ix, iy = int(fx), int(fy)
    u, v = x - fx, y - fy
    su = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    sv = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    a = _corner(ix, iy, seed, u, v)
    b = _corner(ix + 1, iy, seed, u - 1.0, v)
    c = _corner(ix, iy + 1, seed, u, v - 1.0)
    d = _corner(ix + 1, iy + 1, seed, u - 1.0, v - 1.0)
    return 1.6 * mix(mix(a, b, su), mix(c, d, su), sv)


@njit
def kept(wavelength, fp):
    """The amplitude factor of a wave with this wavelength: 1 if well resolved, 0 below two footprints per wave."""
    return min(max(wavelength / (2.2 * fp) - 1.0, 0.0), 1.0)


@njit
def fbm(x, y, seed, octaves, gain, fp):
    """Fractal sum of octaves of `gradient`, the first with wavelength and amplitude 1. Each octave is rotated to hide
    the lattice.
    """
    total, amplitude, wavelength = 0.0, 1.0, 1.0
    for octave in range(octaves):
        share = kept(wavelength, fp)
        if share <= 0.0:
            break
        total += share * amplitude * gradient(x, y, seed + octave * 131)
        x, y = 1.62 * x - 1.21 * y + 17.3, 1.21 * x + 1.62 * y - 9.1
        wavelength /= 2.022
        amplitude *= gain
    return total


@njit
def ridged(x, y, seed, octaves, gain, fp):
    """Ridged multifractal noise (Musgrave), 0 to about 1, with sharp crests; each octave is weighted by the previous
    one.
    """
    total, amplitude, wavelength, carry, norm = 0.0, 1.0, 1.0, 1.0, 0.0
    for octave in range(octaves):
        share = kept(wavelength, fp)
        if share <= 0.0:
            break
        n = 1.0 - abs(gradient(x, y, seed + octave * 131))
        n = n * n * carry
        total += share * amplitude * n
        carry = min(max(n * 1.8, 0.0), 1.0)
        norm += amplitude
        x, y = 1.62 * x - 1.21 * y + 17.3, 1.21 * x + 1.62 * y - 9.1
        wavelength /= 2.022
        amplitude *= gain
    return total / max(norm, 1.0) * 1.3


@njit
def cells(x, y, seed, jitter):
    """The cell of a jittered lattice (Worley 1996) that holds a point.

    Returns:
        (f1, f2, dx, dy, ix, iy): Distances to the nearest and second-nearest seed point, the offset from the nearest
        one, and its lattice coordinates.
    """
    fx, fy = int(math.floor(x)), int(math.floor(y))
    f1, f2, ox, oy, bx, by = 9.0, 9.0, 0.0, 0.0, fx, fy
    for j in range(-1, 2):
        for i in range(-1, 2):
            h = hash2(fx + i, fy + j, seed)
            dx = x - (fx + i + 0.5 + jitter * ((h & 0xFFFF) * (1.0 / 65536.0) - 0.5))
            dy = y - (fy + j + 0.5 + jitter * ((h >> 16) * (1.0 / 65536.0) - 0.5))
            d = dx * dx + dy * dy
            if d < f1:
                f2, f1, ox, oy, bx, by = f1, d, dx, dy, fx + i, fy + j
            elif d < f2:
                f2 = d
    return math.sqrt(f1), math.sqrt(f2), ox, oy, bx, by


@njit
def own_seed(x, y, seed, jitter):
    """The offset from the seed point of the lattice square that contains a point, and the square's coordinates.

    Sufficient for features whose radius around the seed point is at most (1 − jitter) / 2, at a ninth of the cost of
    `cells`.
    """
    ix, iy = int(math.floor(x)), int(math.floor(y))
    h = hash2(ix, iy, seed)
    dx = x - (ix + 0.5 + jitter * ((h & 0xFFFF) * (1.0 / 65536.0) - 0.5))
    dy = y - (iy + 0.5 + jitter * ((h >> 16) * (1.0 / 65536.0) - 0.5))
    return math.sqrt(dx * dx + dy * dy), ix, iy

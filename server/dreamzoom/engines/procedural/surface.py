"""Compiled material functions of all styles: albedo, emission and gloss."""

from __future__ import annotations

from numba import njit

from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.styles import (
    atom,
    cell,
    city,
    crystal,
    desert,
    forest,
    leaf,
    meadow,
    moss,
    mountains,
    ocean,
    rock,
    space,
    worlds,
)


@njit
def surface(P, seed, x, y, z, nz, fp):
    """The material of a style at a point of its frame.

    Args:
        P, seed: The recipe, (parameters.LENGTH,) float64, and its seed.
        x, y, z: The point in the style's frame.
        nz: The z component of the unit surface normal.
        fp: Footprint of the sample, in units of the style's frame.

    Returns:
        Albedo (3) and emission (3), linear RGB tuples, and gloss (0..1).
    """
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return space.surface(P, seed, x, y, z, nz, fp)
    if style == R.PLANET:
        return worlds.planet_surface(P, seed, x, y, z, nz, fp)
    if style == R.CONTINENT:
        return worlds.continent_surface(P, seed, x, y, z, nz, fp)
    if style == R.MOUNTAINS:
        return mountains.surface(P, seed, x, y, z, nz, fp)
    if style == R.FOREST:
        return forest.surface(P, seed, x, y, z, nz, fp)
    if style == R.CITY:
        return city.surface(P, seed, x, y, z, nz, fp)
    if style == R.MEADOW:
        return meadow.surface(P, seed, x, y, z, nz, fp)
    if style == R.ROCK:
        return rock.surface(P, seed, x, y, z, nz, fp)
    if style == R.MOSS:
        return moss.surface(P, seed, x, y, z, nz, fp)
    if style == R.LEAF:
        return leaf.surface(P, seed, x, y, z, nz, fp)
    if style == R.CELL:
        return cell.surface(P, seed, x, y, z, nz, fp)
    if style == R.CRYSTAL:
        return crystal.surface(P, seed, x, y, z, nz, fp)
    if style == R.ATOM:
        return atom.surface(P, seed, x, y, z, nz, fp)
    if style == R.OCEAN:
        return ocean.surface(P, seed, x, y, z, nz, fp)
    return desert.surface(P, seed, x, y, z, nz, fp)

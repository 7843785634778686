"""Compiled height functions of all styles: height above the plane in the style's own frame, 0 at the focus.

`base` is smooth and horizontal at the focus, so it remains unchanged below finer levels; `detail` is flattened where
finer levels lie.
"""

from __future__ import annotations

import math

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
def base(P, x, y):
    """The smooth base height of a style at a point (x, y) of the level's frame. `P` is the recipe."""
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
    """The detail height of a style at a point (x, y) of its frame, for footprint `fp`. `P` is the recipe."""
    style = int(P[R.STYLE])
    if style == R.SPACE:
        return space.height(P, seed, x, y, fp)
    if style == R.PLANET:
        return worlds.planet_height(P, seed, x, y, fp)
    if style == R.CONTINENT:
        return worlds.continent_height(P, seed, x, y, fp)
    if style == R.MOUNTAINS:
        return mountains.height(P, seed, x, y, fp)
    if style == R.FOREST:
        return forest.height(P, seed, x, y, fp)
    if style == R.CITY:
        return city.height(P, seed, x, y, fp)
    if style == R.MEADOW:
        return meadow.height(P, seed, x, y, fp)
    if style == R.ROCK:
        return rock.height(P, seed, x, y, fp)
    if style == R.MOSS:
        return moss.height(P, seed, x, y, fp)
    if style == R.LEAF:
        return leaf.height(P, seed, x, y, fp)
    if style == R.CELL:
        return cell.height(P, seed, x, y, fp)
    if style == R.CRYSTAL:
        return crystal.height(P, seed, x, y, fp)
    if style == R.ATOM:
        return atom.height(P, seed, x, y, fp)
    if style == R.OCEAN:
        return ocean.height(P, seed, x, y, fp)
    return desert.height(P, seed, x, y, fp)

"""The parameters of one style of one level: their indices in a recipe, a float64 row that compiled code can read."""

from __future__ import annotations

STYLE, SNOW, NIGHT, MIST, RELIEF, FREQUENCY, BLOOM, WET, GLOW, WRAP, SHEEN, VARIETY, MIX, AUTUMN = range(14)
"""Index of the style; snow, night and mist (0..1); factors of height and of feature density; flowers, water and
emission (0..1 or more); wrap of diffuse light (0..1); strength of the highlight; a random number in 0..1; share of the
level; autumn (0..1)."""

COLOURS = 14
"""First index of the palette's five colours, three numbers each, linear RGB."""

SUN, SKY, HAZE = 29, 32, 35
"""First indices of three colours, linear RGB: sun, sky light, haze."""

HAZE_AMOUNT, RISE, BASE = 38, 39, 40
"""Strength of the haze; radius around the focus within which the detail rises from 0; weight of the smooth base
shape."""

LENGTH = 41

STYLES = (
    "space",
    "planet",
    "continent",
    "mountains",
    "forest",
    "city",
    "meadow",
    "rock",
    "moss",
    "leaf",
    "cell",
    "crystal",
    "atom",
    "ocean",
    "desert",
)
"""The styles; a recipe's STYLE is an index into this."""

SPACE, PLANET, CONTINENT, MOUNTAINS, FOREST, CITY, MEADOW, ROCK, MOSS, LEAF, CELL, CRYSTAL, ATOM, OCEAN, DESERT = range(
    15
)

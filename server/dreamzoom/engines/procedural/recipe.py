"""The numbers that steer one style of one level: where each stands in a recipe, a float64 row for compiled code."""

from __future__ import annotations

STYLE, SNOW, NIGHT, MIST, RELIEF, FREQUENCY, BLOOM, WET, GLOW, WRAP, SHEEN, VARIETY, MIX, AUTUMN = range(14)
"""Style's index; how snowy, nightly, misty (0..1); multipliers of height and of feature density; flowers, water,
emission (0..1 or more); how far light wraps around (0..1); strength of the highlight; a random number in 0..1; share of
the level; autumn (0..1)."""

COLOURS = 14
"""Five colours of the palette, linear RGB, three numbers each."""

SUN, SKY, HAZE = 29, 32, 35
"""Linear RGB of the sun, of the sky's light, of the haze."""

HAZE_AMOUNT, RISE, BASE = 38, 39, 40
"""Strength of the haze; radius about the focus in which the relief rises from nothing; how much of the smooth form is
there."""

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

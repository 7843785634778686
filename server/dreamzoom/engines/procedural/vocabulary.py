"""From words to recipes: nouns select styles, adjectives change their parameters, unknown words vary them randomly."""

from __future__ import annotations

import colorsys
import hashlib

import numpy as np

from core import prompt_words
from core.colour import srgb_to_linear
from core.prompt_words import effect_of, is_known, place_of, weighted_words
from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.moods import MOODS

MAX_STYLES = prompt_words.MAX_PLACES

EFFECTS: dict[str, tuple[int, float]] = {
    "snow": (R.SNOW, 0.9),
    "night": (R.NIGHT, 1.0),
    "mist": (R.MIST, 1.0),
    "autumn": (R.AUTUMN, 0.9),
    "bloom": (R.BLOOM, 1.0),
    "wet": (R.WET, 1.0),
    "glow": (R.GLOW, 1.0),
}
"""Effect → (index in the recipe, value)."""

HUES: dict[str, tuple[float, float, float]] = {
    "red": (0.99, 0.75, 0.8), "crimson": (0.97, 0.8, 0.65), "orange": (0.07, 0.85, 0.95), "golden": (0.115, 0.75, 1.0),
    "gold": (0.115, 0.75, 1.0), "yellow": (0.145, 0.75, 1.0), "green": (0.33, 0.6, 0.65), "emerald": (0.42, 0.7, 0.65),
    "teal": (0.49, 0.7, 0.7), "turquoise": (0.48, 0.65, 0.85), "cyan": (0.51, 0.65, 0.95), "blue": (0.6, 0.75, 0.8),
    "indigo": (0.7, 0.7, 0.6), "purple": (0.77, 0.6, 0.7), "violet": (0.75, 0.6, 0.8), "pink": (0.93, 0.45, 1.0),
    "magenta": (0.87, 0.7, 0.9), "white": (0.6, 0.03, 1.0), "black": (0.65, 0.15, 0.15), "grey": (0.6, 0.05, 0.55),
    "gray": (0.6, 0.05, 0.55), "silver": (0.6, 0.06, 0.85), "brown": (0.07, 0.55, 0.5), "copper": (0.05, 0.6, 0.8),
}  # fmt: skip
"""Colour word → hue, saturation, value towards which the palette is shifted."""

MOST_HUE = 1.3
"""Limit of the weight of a colour word, with which hardly anything of the palette is left."""


def _bits(*parts) -> np.random.Generator:
    """A random generator seeded by a hash of strings and numbers, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _linear(hexes: str) -> np.ndarray:
    """Convert a hex sRGB colour to linear RGB, (3,)."""
    return srgb_to_linear(np.array([int(hexes[i : i + 2], 16) for i in (0, 2, 4)], np.float64) / 255)


def recipes_of(prompt: str, seed: int, fallback: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The recipes for a prompt.

    Args:
        prompt: In any language; unknown words choose a deterministic variation.
        seed: The level's seed.
        fallback: The style if the prompt names none; if None, a hash of the prompt's words chooses one.

    Returns:
        Recipes (S, parameters.LENGTH) float64; the first covers the level, the others cover patches of it; and their
        seeds (S,) int64.
    """
    weighted = weighted_words(prompt)
    words = [word for word, _ in weighted]
    named: dict[str, float] = {}
    for word, weight in weighted:
        style = place_of(word)
        if style:
            named[style] = max(named.get(style, 0.0), weight)
    styles = sorted(named, key=lambda style: -named[style])  # the heaviest covers the level; else the first
    unknown = [w for w in words if not is_known(w)]
    if not styles:
        styles = [fallback or R.STYLES[int(_bits("style", *unknown, seed).integers(len(R.STYLES)))]]
    rows = [_recipe(style, weighted, unknown, seed) for style in styles[:MAX_STYLES]]
    seeds = [int(_bits("seed", style, *unknown, seed).integers(1 << 24)) for style in styles[:MAX_STYLES]]
    return np.array(rows), np.array(seeds, np.int64)


def _recipe(style: str, words: list[tuple[str, float]], unknown: list[str], seed: int) -> np.ndarray:
    """The recipe of one style, changed by the weighted words and slightly varied by the seed."""
    mood, row = MOODS[style], np.zeros(R.LENGTH)
    draw = _bits("recipe", style, *unknown, seed)
    row[R.STYLE] = R.STYLES.index(style)
    row[R.RELIEF], row[R.FREQUENCY], row[R.VARIETY] = draw.uniform(0.9, 1.15), draw.uniform(0.94, 1.08), draw.uniform()
    row[R.WRAP], row[R.SHEEN], row[R.RISE] = mood.wrap, mood.sheen, mood.rise
    row[R.HAZE_AMOUNT], row[R.BASE] = mood.haze_amount, 1.0
    for word, weight in words:
        effect = effect_of(word)
        if effect:
            index, value = EFFECTS[effect]
            row[index] = min(value * weight, 1.0)
    palette = np.array([_linear(colour) for colour in mood.colours])
    palette = _vary(palette, draw.uniform(-0.02, 0.02), draw.uniform(0.92, 1.1))
    if row[R.AUTUMN] and style in ("forest", "leaf", "meadow", "moss", "mountains"):
        palette = _autumn(palette, style)
    if unknown:
        other = _bits("palette", *unknown, seed)
        palette = _vary(palette, other.uniform(-0.09, 0.09), other.uniform(0.85, 1.2))
        row[R.RELIEF] *= other.uniform(0.8, 1.25)
        row[R.FREQUENCY] *= other.uniform(0.85, 1.2)
    for word, weight in words:
        if word in HUES:
            palette = _towards(palette, HUES[word], min(weight, MOST_HUE))
    row[R.COLOURS : R.COLOURS + 15] = palette.ravel()
    _light(row, mood)
    return row


def _light(row: np.ndarray, mood) -> None:
    """Write the colours of sun, sky and haze to a recipe, depending on its night and mist."""
    sun, sky, haze = _linear(mood.sun) * mood.sun_power, _linear(mood.sky) * mood.sky_power, _linear(mood.haze)
    if row[R.NIGHT]:
        sun, sky, haze = (_linear("7d9bd8") * 0.32 * light for light in (1.0, 0.3, 0.12))
    if row[R.MIST]:
        row[R.HAZE_AMOUNT] = min(row[R.HAZE_AMOUNT] * 2 + 0.25, 0.75)
        sun = sun * 0.75
    row[R.SUN : R.SUN + 3], row[R.SKY : R.SKY + 3], row[R.HAZE : R.HAZE + 3] = sun, sky, haze


def _autumn(palette: np.ndarray, style: str) -> np.ndarray:
    """Shift the greens of a palette (5, 3) to autumn colours."""
    first = {"mountains": 2, "moss": 1}.get(style, 0)
    out = palette.copy()
    for k, colour in enumerate(("a8401f", "d98a24", "efc04a")[: 2 if style == "mountains" else 3]):
        out[min(first + k, 4)] = 0.15 * out[min(first + k, 4)] + 0.85 * _linear(colour)
    return out


def _vary(palette: np.ndarray, turn: float, saturation: float) -> np.ndarray:
    """Rotate the hues of linear colours (N, 3) by `turn` (1 is a full circle) and scale their saturation."""
    out = []
    for colour in palette:
        h, s, v = colorsys.rgb_to_hsv(*np.clip(colour, 0, 1))
        out.append(colorsys.hsv_to_rgb((h + turn) % 1, min(s * saturation, 1), v))
    return np.array(out)


def _towards(palette: np.ndarray, hue: tuple[float, float, float], weight: float) -> np.ndarray:
    """Shift linear colours (N, 3) towards a hue, keeping most of their lightness; `weight` 1 is seven tenths."""
    goal = srgb_to_linear(np.array(colorsys.hsv_to_rgb(*hue)))
    luma = palette @ (0.3, 0.6, 0.1)
    own = goal / max(goal @ (0.3, 0.6, 0.1), 1e-3)
    aim = np.clip(own * (0.65 * luma + 0.35 * (goal @ (0.3, 0.6, 0.1)))[:, None], 0, 1)
    return (0.3 + 0.7 * (1 - weight)) * palette + 0.7 * weight * aim

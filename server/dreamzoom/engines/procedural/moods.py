"""The default look of each style: palette, light and haze, from which `vocabulary` makes a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mood:
    """The look of a style before words and seeds vary it. Colours are sRGB in hex.

    Attributes:
        colours: Five colours; their meaning is defined by the style's `surface` function.
        sun, sky, haze: Colours of the light; `sun_power` and `sky_power` are their strengths in linear light.
        haze_amount: Strength of the haze, 0..1.
        wrap: Wrap of diffuse light around the terminator, for soft or translucent materials, 0..1.
        sheen: Strength of the highlight.
        rise: Radius around the focus within which the detail rises from 0.
    """

    colours: tuple[str, str, str, str, str]
    sun: str = "ffe2b8"
    sun_power: float = 2.6
    sky: str = "8fb2e0"
    sky_power: float = 0.85
    haze: str = "c9d3dc"
    haze_amount: float = 0.15
    wrap: float = 0.0
    sheen: float = 0.4
    rise: float = 0.3


MOODS = {
    "space": Mood(
        ("1d3a5f", "4f86a8", "e8dcc8", "8a2f7a", "1f7f9c"), sky="2a3350", sky_power=0.12, haze="101626", haze_amount=0.0
    ),
    "planet": Mood(
        ("0b2a5b", "1f86a3", "4d7a3a", "b99a5e", "e9e4da"), sky="5d86c4", sky_power=0.35, haze="8fb8e8", haze_amount=0.0
    ),
    "continent": Mood(("0d3f6e", "2fa3ad", "58803a", "c2a566", "f4f2ee"), haze="a9c4de", haze_amount=0.22),
    "mountains": Mood(("4a4447", "857468", "4e6a2c", "8a8a45", "eef2f7"), haze="b8c8dc", haze_amount=0.3),
    "forest": Mood(("1f3d1c", "476f2a", "727a2c", "6b4a2a", "c8b560"), haze="c5d4c4", haze_amount=0.25, wrap=0.15),
    "city": Mood(("8b8f96", "b9a893", "5d6470", "a4583e", "ffc879"), haze="d5cbbd", haze_amount=0.2),
    "meadow": Mood(("3f6b22", "7d9c35", "c9b84e", "e85d75", "f6f1dc"), haze="dfe3cc", haze_amount=0.18, wrap=0.2),
    "rock": Mood(("4c4a4e", "8b8078", "b59f86", "7d8a4a", "c7793f"), haze_amount=0.08),
    "moss": Mood(("20401a", "4e7d22", "9cb63a", "c86a2d", "e6efb0"), haze="b9cfa0", haze_amount=0.08, wrap=0.3),
    "leaf": Mood(
        ("2c5a1c", "5d9a2a", "b5d455", "7a4a22", "e9f2b8"), haze="cfe0a8", haze_amount=0.05, wrap=0.35, sheen=0.8
    ),
    "cell": Mood(
        ("0f4a5a", "35a59a", "d86a9a", "f2c1a0", "9ff5e0"), haze="1d5a78", haze_amount=0.1, wrap=0.5, sheen=1.0
    ),
    "crystal": Mood(
        ("3a2a6a", "7a5ad0", "b8a8ff", "5ad0e8", "ffffff"), haze="4a4a8a", haze_amount=0.1, wrap=0.3, sheen=1.5
    ),
    "atom": Mood(
        ("0a1030", "2a5ad0", "50e0ff", "ff9a4a", "ffffff"),
        sun_power=0.9,
        sky="3050a0",
        sky_power=0.3,
        haze="101840",
        haze_amount=0.15,
        wrap=0.4,
        sheen=0.35,
    ),
    "ocean": Mood(("06304a", "1a7a8c", "7fd0c8", "d8c8a0", "f2f8f8"), haze="b8d4e0", haze_amount=0.2, sheen=1.5),
    "desert": Mood(("a8623a", "d89a5a", "f0cf94", "7a3f2a", "fff0d0"), haze="ecd4b4", haze_amount=0.22),
}

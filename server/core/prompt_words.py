"""The words of prompts that the procedural engine knows, and what it makes of a prompt."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .protocol import prompt_weights

MAX_PLACES = 3
"""So many places of a prompt count: the first covers the level, the others lie on it in patches."""

PLACES: dict[str, str] = {
    "space": "space cosmos universe galaxy galaxies nebula star stars milky interstellar void",
    "planet": "planet planets earth world globe moon mars jupiter orbit",
    "continent": "continent island coast coastline country land map archipelago europe africa asia",
    "mountains": "mountain mountains peak alps alpine summit ridge valley canyon volcano hills glacier highland",
    "forest": "forest forests wood woods woodland jungle tree trees canopy rainforest taiga pine pines grove",
    "city": "city cities town village metropolis street skyline downtown building skyscraper urban",
    "meadow": "meadow meadows field fields grass grassland flower flowers garden pasture prairie lawn park",
    "rock": "rock rocks stone stones boulder boulders cliff granite cobble pebble pebbles gravel ruin ruins",
    "moss": "moss mossy lichen undergrowth fern ferns soil ground",
    "leaf": "leaf leaves foliage petal petals plant plants vein veins frond",
    "cell": "cell tissue membrane organism bacteria bacterium microscopic nucleus microbe plankton chloroplast",
    "crystal": "crystal gem quartz amethyst mineral diamond ice-crystal salt molecule",
    "atom": "atom atoms atomic electron electrons quantum proton particle particles quark quarks subatomic",
    "ocean": "ocean sea water lake waves river lagoon reef",
    "desert": "desert dune dunes sand sahara",
}
"""Place → words for it."""

EFFECTS: dict[str, str] = {
    "snow": "snowy snow snow-covered winter wintry frozen icy ice frosty arctic polar",
    "night": "night nightly midnight dark moonlit nocturnal",
    "mist": "misty mist foggy fog hazy haze cloudy dawn",
    "autumn": "autumn autumnal fall october",
    "bloom": "flowering blooming blossoming spring floral flower flowers",
    "wet": "wet rainy rain dewy dew damp",
    "glow": "glowing luminous neon bioluminescent radiant shining magical",
}
"""Effect → words for it."""

COLOURS = (
    *("red", "crimson", "orange", "golden", "gold", "yellow", "green", "emerald", "teal", "turquoise", "cyan", "blue"),
    *("indigo", "purple", "violet", "pink", "magenta", "white", "black", "grey", "gray", "silver", "brown", "copper"),
)

COMMON = frozenset(
    (
        "a the an of in on at and or with from to over under into by for its his her very some is are close up closeup "
        + "view photo picture image seen above detailed detail"
    ).split()
)
"""Words that count for nothing."""

_PLACE_OF = {word: place for place, words in PLACES.items() for word in words.split()}
_EFFECT_OF = {word: effect for effect, words in EFFECTS.items() for word in words.split()}
_COLOUR_OF = {word: word for word in COLOURS}

PLACE, EFFECT, COLOUR, UNKNOWN = "place", "effect", "colour", "unknown"


@dataclass(frozen=True)
class Understood:
    """A word of a prompt.

    Attributes:
        word: As it stands in the prompt, case-folded.
        kind: `PLACE`, `EFFECT`, `COLOUR` or `UNKNOWN`.
        meaning: The place, the effect or the colour; empty for an unknown word.
    """

    word: str
    kind: str
    meaning: str


def place_of(word: str) -> str | None:
    """The place that a word names; None where it names none."""
    return _find(_PLACE_OF, word)


def effect_of(word: str) -> str | None:
    """The effect that a word names; None where it names none."""
    return _find(_EFFECT_OF, word)


def is_known(word: str) -> bool:
    """Whether a word has a meaning, or is one of those that count for nothing."""
    return any(_find(table, word) for table in (_PLACE_OF, _EFFECT_OF, _COLOUR_OF)) or word in COMMON


def weighted_words(prompt: str) -> list[tuple[str, float]]:
    """The words of a prompt with their weights (`prompt_weights`), in any script, case-folded, composed; unknown
    ones are split at hyphens. Words of weight 0 are left out.
    """
    found = []
    for chunk, weight in prompt_weights.parse(prompt).words():
        words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", unicodedata.normalize("NFKC", chunk).casefold())
        parts = [part for word in words for part in ([word] if is_known(word) else word.split("-"))]
        found += [(part, weight) for part in parts if weight > 0]
    return found


def words_of(prompt: str) -> list[str]:
    """The words of `weighted_words`."""
    return [word for word, _ in weighted_words(prompt)]


def understood(prompt: str) -> list[Understood]:
    """What the procedural engine makes of each word of a prompt, without those that count for nothing.

    A word may be both a place and an effect ("flower"). Places beyond the first `MAX_PLACES` are left out.
    """
    found: list[Understood] = []
    places: list[str] = []
    for word in words_of(prompt):
        place, effect = place_of(word), effect_of(word)
        if place is not None and (place in places or len(places) < MAX_PLACES):
            places += [] if place in places else [place]
            found.append(Understood(word, PLACE, place))
        if effect is not None:
            found.append(Understood(word, EFFECT, effect))
        if word in _COLOUR_OF:
            found.append(Understood(word, COLOUR, word))
        if not is_known(word):
            found.append(Understood(word, UNKNOWN, ""))
    return found


def completions(text: str) -> list[tuple[str, str]]:
    """Ways to complete the last word of a text: the text with each known word that begins with it, and its meaning."""
    head, begun = re.fullmatch(r"(.*?)([^\W_]*)", text, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    if len(begun) < 2:
        return []
    start, found = begun.casefold(), {}
    for table in (_PLACE_OF, _EFFECT_OF, _COLOUR_OF):
        for word, meaning in table.items():
            if word.startswith(start) and word != start:
                found.setdefault(word, meaning)
    return [(head + word, meaning) for word, meaning in sorted(found.items())]


def _find(table: dict[str, str], word: str) -> str | None:
    """The table's entry for a word, or for its singular."""
    return next(
        (table[form] for form in (word, word.removesuffix("s"), word.removesuffix("es")) if form in table), None
    )

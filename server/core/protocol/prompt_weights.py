r"""Weights in prompts, as artists write them for other programs, understood alike by all engines.

    (word:1.3)      weight 1.3, of one or more words; nested weights multiply
    (word)          weight 1.1;  ((word)) 1.21
    [word]          weight 1 / 1.1
    \( \) \[ \] \\   the characters themselves
    <lora:x:0.8>    left out and noted: a LoRA is a file in the engine's options

A bracket without its partner is left out. Without any of these a prompt is exactly the text that it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

STRONGER = 1.1
"""The weight of a pair of round brackets; square ones divide by it."""

LIMITS = 0.0, 10.0
"""Weights are limited to this range."""

_TAG = re.compile(r"<\s*(lora|lyco|lycoris|hypernet)\s*:\s*([^<>:]{1,200})(?::[^<>]{0,100})?>", re.IGNORECASE)
_WEIGHT = re.compile(r"\s*:\s*([+-]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6}))\s*\)")
_SYNTAX = re.compile(r"[()\[\]\\]|<\s*(?:lora|lyco|lycoris|hypernet)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class WeightedText:
    """A prompt without its syntax.

    Attributes:
        text: The plain text.
        weights: The weight of each of its characters.
        tags: The names in `<lora:name:weight>` and the like.
    """

    text: str
    weights: tuple[float, ...]
    tags: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether all weights are 1."""
        return all(weight == 1.0 for weight in self.weights)

    def words(self) -> list[tuple[str, float]]:
        """The words between white space, each with the mean weight of its characters."""
        found = []
        for match in re.finditer(r"\S+", self.text):
            part = self.weights[match.start() : match.end()]
            found.append((match.group(), part[0] if len(set(part)) == 1 else sum(part) / len(part)))
        return found


@lru_cache(maxsize=512)
def parse(prompt: str) -> WeightedText:
    """Read a prompt's weights."""
    if _SYNTAX.search(prompt) is None:
        return WeightedText(prompt, (1.0,) * len(prompt))
    bare = _TAG.sub(" ", prompt)
    characters: list[str] = []
    weights: list[float] = []
    open_: list[tuple[str, int]] = []
    position = 0
    while position < len(bare):
        char = bare[position]
        if char == "\\" and bare[position + 1 : position + 2] in ("(", ")", "[", "]", "\\"):
            characters.append(bare[position + 1])
            weights.append(1.0)
            position += 2
            continue
        explicit = _WEIGHT.match(bare, position) if open_ and open_[-1][0] == "(" else None
        if explicit is not None:
            _multiply(weights, open_.pop()[1], float(explicit[1]))
            position = explicit.end()
            continue
        if char in "([":
            open_.append((char, len(weights)))
        elif char in ")]":
            if open_ and open_[-1][0] == ("(" if char == ")" else "["):
                _multiply(weights, open_.pop()[1], STRONGER if char == ")" else 1 / STRONGER)
        else:
            characters.append(char)
            weights.append(1.0)
        position += 1
    low, high = LIMITS
    kept = tuple(min(max(round(weight, 6), low), high) for weight in weights)
    return WeightedText("".join(characters), kept, tuple(match[1].strip() for match in _TAG.findall(prompt)))


def plain(prompt: str) -> str:
    """The prompt without weights, brackets and tags."""
    return parse(prompt).text


def notes(prompts: list[str]) -> list[str]:
    """What is left out of the prompts of the levels, one line for each level that has something."""
    found = []
    for level, prompt in enumerate(prompts):
        tags = parse(prompt).tags
        if tags:
            names = ", ".join(f"<{name}>" for name in tags)
            found.append(f"level {level}: {names} in the prompt is left out: add the LoRA's file to the list of LoRAs")
    return found


def _multiply(weights: list[float], start: int, factor: float) -> None:
    weights[start:] = [weight * factor for weight in weights[start:]]

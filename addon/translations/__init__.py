"""The interface in other languages: a JSON file for each, named by Blender's code of the language (`zh_HANS.json`).

A file maps English texts to translations. Texts with values have places, `{0}` or `{name}`, which the translation has
too, in any order. Another language needs a further file here and nothing else; what a file lacks is listed by
`tests/addon/ui/test_translations.py`.

Blender itself translates labels, names and tooltips that are in the file as they are. Texts with values are translated
here, by `translated`: they are put together in many places, also in the server, and are recognised by their pattern.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import bpy

PLACE = re.compile(r"\{(\w*)(?:[:!][^{}]*)?\}")
"""A value's place in a text."""

CONTEXT = "Dreamzoom"
"""The context of panels' titles, for words that Blender itself translates for another meaning ("Levels")."""

CONTEXTS = ("*", "Operator", CONTEXT)
"""The contexts of all texts: labels, names and tooltips, the labels of operators, and panels' titles."""

LONGEST_PART, LONGEST = 60, 600
"""Values, and whole texts, that are longer than this are not looked for."""


@functools.cache
def catalogue(language: str) -> dict[str, str]:
    """English texts and their translations; empty for a language without a file."""
    file = Path(__file__).parent / f"{language}.json"
    return json.loads(file.read_text(encoding="utf-8")) if re.fullmatch(r"\w+", language) and file.is_file() else {}


def languages() -> list[str]:
    """The codes of the languages that have a file."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.json"))


def translated(text: str) -> str:
    """A text of the interface in the language of the interface: as it is in the file, or by its pattern.

    Args:
        text: English, its values put in.
    """
    if not text or not bpy.context.preferences.view.use_translate_interface:
        return text
    return into(text, bpy.app.translations.locale)


@functools.lru_cache(2048)
def into(text: str, language: str) -> str:
    """The same in a language that is named by Blender's code."""
    known = catalogue(language)
    if not known or len(text) > LONGEST:
        return text
    bare = text.rstrip(".")
    stop = "。" if language.startswith("zh") else text[len(bare) :]
    for form, end in ((text, ""), (bare, stop), (_other_case(text), ""), (_other_case(bare), stop)):
        if form in known:
            return known[form] + end
    for pattern, names, target in _patterns(language):
        found = pattern.fullmatch(text)
        if found:
            return _filled(target, names, found.groups(), language)
    parts = _sentences(text)
    if len(parts) > 1:
        between = "" if language.startswith(("zh", "ja")) else " "
        return between.join(into(part, language) for part in parts)
    for word in (" must ", " is "):  # a field's name, and what it must be
        name, found_word, rest = text.partition(word)
        told = into(found_word.strip() + " " + rest, language) if found_word else rest
        if found_word and told != found_word.strip() + " " + rest:
            return f"{into(name, language)} {told}"
    return text


def _other_case(text: str) -> str:
    """The text with another case of its first letter: messages of the server begin small, sentences do not."""
    return text[:1].swapcase() + text[1:]


def _sentences(text: str) -> list[str]:
    """The sentences of a text that holds several."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)


def _filled(target: str, names: tuple[str, ...], values: tuple[str, ...], language: str) -> str:
    """A translation with its values put in."""
    shown = {name: into(value, language) if len(value) <= LONGEST_PART else value for name, value in zip(names, values)}
    return PLACE.sub(lambda place: shown.get(place[1], place[0]), target)


@functools.cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], tuple[str, ...], str], ...]:
    """The texts with values as patterns, those with the longest fixed parts first."""
    found = []
    for text, target in catalogue(language).items():
        fixed = PLACE.sub("", text)
        if fixed != text:
            counts = len(re.sub(r"\W", "", fixed)) < 3 or re.fullmatch(r"\{\w+\} \w+", text)
            value = r"[\d.,]+" if counts else ".+?"  # "{0} s" and "{0} objects" fit numbers alone
            found.append((len(fixed), _pattern(text, value), tuple(PLACE.findall(text)), target))
    found.sort(key=lambda entry: -entry[0])
    return tuple(entry[1:] for entry in found)


def _pattern(text: str, value: str) -> re.Pattern[str]:
    pieces = PLACE.split(text)  # fixed part, name of the place, fixed part, …
    expression = "".join(f"({value})" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))
    if text[0].isalpha():
        expression = f"[{text[0].lower()}{text[0].upper()}]" + expression[1:]
    return re.compile(rf"{expression}\.?", re.DOTALL)


def register() -> None:
    texts = {
        language: {(context, text): target for text, target in catalogue(language).items() for context in CONTEXTS}
        for language in languages()
    }
    bpy.app.translations.register(__package__, texts)


def unregister() -> None:
    bpy.app.translations.unregister(__package__)
    for function in (catalogue, _patterns, into):
        function.cache_clear()

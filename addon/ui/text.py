"""Text as Blender will draw it: its width in pixels, and its lines."""

from __future__ import annotations

import functools

import blf
import bpy

FONT = 0
"""Blender's own font, in which panels are drawn."""


def width(text: str) -> float:
    """The width of a text in pixels, in the font and size of labels at the present scale of the interface."""
    return _width(text, *_size())


@functools.lru_cache(4096)
def _width(text: str, points: float, scale: float) -> float:
    blf.size(FONT, points * scale)
    return blf.dimensions(FONT, text)[0]


def _size() -> tuple[float, float]:
    preferences = bpy.context.preferences
    return preferences.ui_styles[0].widget.points, preferences.system.ui_scale


def lines(text: str, room: float) -> list[str]:
    """Break a text into lines of at most `room` pixels: at spaces, after CJK letters, and within words that are longer.

    Args:
        text: Line breaks in it are spaces.
        room: Pixels.
    """
    return list(_lines(" ".join(text.split()), max(room, 1.0), *_size()))


@functools.lru_cache(1024)
def _lines(text: str, room: float, points: float, scale: float) -> tuple[str, ...]:
    found: list[str] = []
    line = ""
    for piece in _pieces(text):
        if _width((line + piece).strip(), points, scale) <= room:
            line += piece
            continue
        if line.strip():
            found.append(line.strip())
        line = piece.lstrip()
        while _width(line.strip(), points, scale) > room and len(line) > 1:
            count = _fitting(line, room, points, scale)
            found.append(line[:count])
            line = line[count:]
    return (*found, line.strip()) if line.strip() or not found else tuple(found)


def _pieces(text: str) -> list[str]:
    """The text cut where a line may break; every space stays at the beginning of a piece."""
    pieces = [""]
    for letter in text:
        starts = letter == " " or (
            pieces[-1] and _breaks_after(pieces[-1][-1]) and letter not in "，。：；！？、）”」,.:;!?)"
        )
        if starts and pieces[-1]:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _breaks_after(letter: str) -> bool:
    """Whether a line may break after a letter though no space follows: Chinese, Japanese and Korean."""
    return "\u3000" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7af" or "\uff00" <= letter <= "\uffef"


def _fitting(text: str, room: float, points: float, scale: float) -> int:
    """How many letters of a text fit, one at least."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _width(text[:middle], points, scale) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def shortened(text: str, room: float) -> str:
    """The text, its end replaced by an ellipsis where it is wider than `room` pixels."""
    if width(text) <= room:
        return text
    points, scale = _size()
    return text[: _fitting(text, room - width("…"), points, scale)].rstrip() + "…"

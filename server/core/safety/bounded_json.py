"""JSON from outside, with limits on its size, nesting and number of values, all checked before it is decoded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RefusedFile
from . import limits
from .regular_files import read_regular

_CHUNK = 1 << 20
_QUOTE, _COMMA = ord('"'), ord(",")
_OPENING, _CLOSING = (ord("["), ord("{")), (ord("]"), ord("}"))


def read_json(path: Path, most_bytes: int, *, links: bool = False, values: int = limits.JSON_VALUES) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        most_bytes: Its largest size.
        links: Whether the path may be a link.
        values: The largest number of values.

    Raises:
        FileNotFoundError: There is none.
        OSError: It can't be read.
        RefusedFile: It is no regular file, above a limit, or no JSON; the message names it.
    """
    return decode_json(read_regular(path, most_bytes, links=links), Path(path).name, most_bytes, values=values)


def decode_json(
    data: bytes | bytearray,
    name: str,
    most_bytes: int,
    *,
    depth: int = limits.JSON_DEPTH,
    values: int = limits.JSON_VALUES,
    finite: bool = True,
) -> Any:
    """Decode JSON in UTF-8.

    Args:
        data: The text.
        name: What it is, for messages.
        most_bytes, depth, values: Its largest size, nesting and number of values.
        finite: Whether numbers that are no numbers (NaN, Infinity, 1e999) are refused.

    Raises:
        RefusedFile: It is above a limit, or no JSON.
    """
    if len(data) > most_bytes:
        raise RefusedFile(f"{name} has {len(data):,} bytes; at most {most_bytes:,} are read")
    _check_shape(data, name, depth, values)
    try:
        return json.loads(
            data, parse_constant=_refuse_constant if finite else None, parse_float=_finite if finite else None
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise RefusedFile(f"{name} is not valid JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise RefusedFile(f"{name} is nested too deeply") from None
    except ValueError as error:  # no UTF-8, a number of too many digits, NaN
        raise RefusedFile(f"{name} is not valid JSON: {error}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _check_shape(data: bytes | bytearray, name: str, depth: int, values: int) -> None:
    """Check nesting, count, and the memory that the text will take, in one pass over the bytes, without decoding them.

    Text that is no JSON may pass; the decoder refuses it. Memory is that of a few chunks.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]:
        raise RefusedFile(f"{name} is not valid JSON: it must be in UTF-8")
    level, count, inside, largest, characters, words = 0, 1, 0, 0, 0, 0
    for chunk in _without_escapes(data):
        largest = max(largest, int(chunk.max()))
        characters += int(np.count_nonzero((chunk & 0xC0) != 0x80))
        quoted = np.bitwise_xor.accumulate((chunk == _QUOTE).astype(np.uint8)) ^ inside
        inside = int(quoted[-1])
        outside = quoted == 0
        words += int(np.count_nonzero(quoted))
        opening = ((chunk == _OPENING[0]) | (chunk == _OPENING[1])) & outside
        closing = ((chunk == _CLOSING[0]) | (chunk == _CLOSING[1])) & outside
        count += int(np.count_nonzero(opening)) + int(np.count_nonzero((chunk == _COMMA) & outside))
        nesting = level + np.cumsum(opening.astype(np.int32) - closing.astype(np.int32), dtype=np.int32)
        level = int(nesting[-1])
        if int(nesting.max()) > depth:
            raise RefusedFile(f"{name} is nested too deeply: at most {depth} levels are read")
        if count > values:
            raise RefusedFile(f"{name} has too many values: at most {values:,} are read")
    if words > limits.JSON_WORDS_BYTES or characters * _bytes_per_character(largest) > limits.JSON_TEXT_BYTES:
        raise RefusedFile(f"{name} has too much text: at most {limits.JSON_WORDS_BYTES:,} bytes are read")


def _without_escapes(data: bytes | bytearray) -> Iterator[np.ndarray]:
    """The bytes without escaped quotes and backslashes, (N,) uint8 each, none empty."""
    held = b""
    for start in range(0, len(data), _CHUNK):
        piece: bytes | bytearray | memoryview = memoryview(data)[start : start + _CHUNK]
        if held or b"\\" in data[start : start + _CHUNK]:
            plain = (held + bytes(piece)).replace(b"\\\\", b"")
            held = plain[-1:] if plain.endswith(b"\\") else b""  # it escapes what the next chunk begins with
            piece = plain[: len(plain) - len(held)].replace(b'\\"', b"")
        if len(piece):
            yield np.frombuffer(piece, np.uint8)


def _bytes_per_character(largest: int) -> int:
    """What Python takes for each character of a text whose largest byte in UTF-8 is this."""
    return 1 if largest < 0xC4 else 2 if largest < 0xF0 else 4

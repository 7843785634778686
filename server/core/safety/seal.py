"""Checks that values in JSON files carry of themselves, so that a flipped letter in one is noticed.

A check finds damage, not forgery: whoever changes a value on purpose can make its check anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import RefusedFile

_PIECE = 4 << 20
CHECK = "check"
"""The key of the check."""


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The value with a check: SHA-256 of all else in it, as canonical JSON."""
    return {**value, CHECK: _digest(value)}


def check_seal(value: dict[str, Any], name: str) -> None:
    """Raise RefusedFile if a value of the file `name` does not fit its check, or has none."""
    if value.get(CHECK) != _digest({key: item for key, item in value.items() if key != CHECK}):
        raise RefusedFile(f"{name} is damaged: it does not fit its own check")


def sealed_line(value: dict[str, Any]) -> bytes:
    """The value as one line of JSON that ends with its check: the CRC-32 of what stands before."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)[:-1].encode("utf-8", "surrogatepass")
    return text + b', "%s": "%08x"}\n' % (CHECK.encode(), zlib.crc32(text))


def line_fits(line: bytes) -> bool | None:
    """Whether a line fits its check; None if it has none, as in journals of older versions."""
    end = b', "%s": "' % CHECK.encode()
    at = line.rfind(end)
    if at < 0:
        return None
    return line[at:].rstrip(b"\r\n") == end + b'%08x"}' % zlib.crc32(line[:at])


def sha256_of(file: Any, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256, in hex, of an open binary file from where it stands to its end.

    Args:
        file: The file.
        check: Called after each few megabytes, tens of times a second; may raise to stop.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_PIECE))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
        check()
    return digest.hexdigest()


def stamp(found: os.stat_result) -> list[int]:
    """Size and time of change of a file: as long as both stay, its content is taken to be the same."""
    return [found.st_size, found.st_mtime_ns]


def is_unchanged(path: Path, known: object) -> bool:
    """Whether a file still has the stamp that was taken of it. Raises FileNotFoundError."""
    return isinstance(known, list) and stamp(path.lstat()) == known


def _digest(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

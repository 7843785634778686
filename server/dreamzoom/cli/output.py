"""Exit codes and output functions that all commands use."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

DONE, FAILED, BAD_REQUEST, CANCELLED, NOT_AVAILABLE = 0, 1, 2, 3, 4
"""Exit codes."""


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, by which text can command a terminal, and those that turn the direction of writing."""


def printable(text: str) -> str:
    """Text that may hold words of others, such as prompts and names of files, for a terminal."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def print_text(text: str) -> None:
    """Write text to standard output and flush it."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Write a value as JSON."""
    print_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")

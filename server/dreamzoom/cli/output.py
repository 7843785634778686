"""Exit codes and output functions that all commands use."""

from __future__ import annotations

import json
import sys
from typing import Any

DONE, FAILED, BAD_REQUEST, CANCELLED, NOT_AVAILABLE = 0, 1, 2, 3, 4
"""Exit codes."""


def print_text(text: str) -> None:
    """Write text to standard output and flush it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Write a value as JSON."""
    print_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")

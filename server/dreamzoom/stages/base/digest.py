"""Digests of values, which decide whether a step has to run again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a value in canonical form.

    Raises:
        ValueError: It contains a NaN or an infinity.
        TypeError: It contains a type that `plain` does not support.
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """Convert numbers, strings, lists, dicts, dataclasses, small arrays and ranges to JSON values.

    Dataclass fields with the metadata `"digest": False` are left out. Raises TypeError for any other type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [field for field in dataclasses.fields(value) if field.metadata.get("digest", True)]
        return {field.name: plain(getattr(value, field.name)) for field in shown}
    raise TypeError(f"a step can't depend on a {type(value).__name__}: {value!r:.100}")

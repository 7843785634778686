"""The preview picture that the panel shows while a job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy.utils.previews

_shown: dict[str, Any] = {"key": "", "pictures": None}


def icon(path: str) -> int:
    """The icon id of a picture file, 0 where there is none. A file that has changed is read again."""
    try:
        key = f"{path}:{Path(path).stat().st_mtime_ns}" if path else ""
    except OSError:
        return 0
    if not key:
        return 0
    if _shown["key"] != key:
        clear()
        _shown["pictures"] = bpy.utils.previews.new()
        _shown["pictures"].load(key, path, "IMAGE")
        _shown["key"] = key
    return _shown["pictures"][key].icon_id


def clear() -> None:
    """Free the picture."""
    if _shown["pictures"] is not None:
        bpy.utils.previews.remove(_shown["pictures"])
    _shown.update(key="", pictures=None)

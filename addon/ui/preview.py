"""Pictures from files that panels show: the preview of a running job, and the thumbnails of levels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy.utils.previews

REFRESH_SECONDS = 1.0
"""How often a file is looked at again, since panels ask for it whenever they are drawn."""

MAX_PICTURES = 256
"""So many pictures are held; beyond, all are read again."""

_pictures: Any = None
_known: dict[str, tuple[float, str]] = {}
"""By path: until when the picture counts as current, and its key."""


def icon(path: str) -> int:
    """The icon id of a picture file, 0 where there is none. A file that has changed is read again."""
    global _pictures
    if not path:
        return 0
    until, key = _known.get(path, (0.0, ""))
    if time.monotonic() > until:
        key = _key(path)
        _known[path] = time.monotonic() + REFRESH_SECONDS, key
    if not key:
        return 0
    if _pictures is None or (key not in _pictures and len(_pictures) >= MAX_PICTURES):
        clear()
        _pictures = bpy.utils.previews.new()
        _known[path] = time.monotonic() + REFRESH_SECONDS, key
    if key not in _pictures:
        _pictures.load(key, path, "IMAGE")
    return _pictures[key].icon_id


def clear() -> None:
    """Free the pictures."""
    global _pictures
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
    _pictures = None
    _known.clear()


def _key(path: str) -> str:
    try:
        return f"{path}:{Path(path).stat().st_mtime_ns}"
    except OSError:
        return ""

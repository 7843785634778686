"""Pictures from files that panels show: the preview of a running job, and the thumbnails of levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy.utils.previews

from ..backend import job_folders
from ..core.safety import limits
from ..core.safety.png_header import png_size
from ..results.disk_looks import DiskLooks

REFRESH_SECONDS = 1.0
"""How often a file is looked at again, since panels ask for it whenever they are drawn."""

MAX_PICTURES = 256
"""So many pictures are held; beyond, all are read again."""

_pictures: Any = None


def icon(path: str) -> int:
    """The icon id of a picture file, 0 where there is none, or it is not known yet; never waits for the disk. A file
    that has changed is read again.
    """
    global _pictures
    key = _keys.get(path) if path and job_folders.is_trusted_place(Path(path)) else ""
    if not key:
        return 0
    if _pictures is None or (key not in _pictures and len(_pictures) >= MAX_PICTURES):
        _free()
        _pictures = bpy.utils.previews.new()
    if key not in _pictures:
        _pictures.load(key, path, "IMAGE")
    return _pictures[key].icon_id


def clear() -> None:
    """Free the pictures."""
    _free()
    _keys.forget()


def _free() -> None:
    global _pictures
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
    _pictures = None


def _key(path: str) -> str:
    """Tells a picture from an earlier one at its place. Raises OSError, ValueError for what Blender must not decode."""
    png_size(Path(path), limits.SHOWN_PIXELS, parents=2)
    return f"{path}:{Path(path).lstat().st_mtime_ns}"


_keys = DiskLooks(_key, "", REFRESH_SECONDS)

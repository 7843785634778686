"""Pictures from files that panels show: the preview of a running job, and the thumbnails of levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy.utils.previews

from ..backend import job_folders
from ..scene.disk_looks import DiskLooks, stamp

REFRESH_SECONDS = 1.0
"""How often a file is looked at again, since panels ask for it whenever they are drawn."""

MAX_PICTURES = 256
"""So many pictures are held; beyond, all are read again."""

_pictures: Any = None
_stamps: DiskLooks[str, str] = DiskLooks(stamp, REFRESH_SECONDS)


def icon(path: str) -> int:
    """The icon id of a picture file, 0 where there is none, or it is not looked at yet. A file that has changed is read
    again. Touches no disk while a panel is drawn: Blender too reads the picture in a job of its own.
    """
    global _pictures
    if not path or not job_folders.is_trusted_place(Path(path)):
        return 0
    found = _stamps.get(path)
    if not found:
        return 0
    key = f"{path}:{found}"
    if _pictures is None or (key not in _pictures and len(_pictures) >= MAX_PICTURES):
        clear()
        _pictures = bpy.utils.previews.new()
    if key not in _pictures:
        _pictures.load(key, path, "IMAGE")
    return _pictures[key].icon_id


def clear() -> None:
    """Free the pictures."""
    global _pictures
    if _pictures is not None:
        bpy.utils.previews.remove(_pictures)
    _pictures = None

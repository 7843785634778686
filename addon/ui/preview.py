"""The preview picture that the panel shows while a job runs."""

from __future__ import annotations

from typing import Any

import bpy.utils.previews

_shown: dict[str, Any] = {"key": "", "pictures": None}


def icon(path: str, count: int) -> int:
    """The icon id of a picture file, 0 where there is none.

    Args:
        path: The file.
        count: How often it was announced; when that changes, the file is read again. Nothing is asked of the disk at
            each redraw.
    """
    if not path:
        return 0
    key = f"{path}:{count}"
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

"""Paths relative to the .blend file, in the settings of rigs, when the file is saved in another folder, or a rig is
appended from one there.

Blender changes its own paths then, and not those of add-ons: pictures and finished jobs would seem to be gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

KINDS = ("FILE_PATH", "DIR_PATH")

_before: list[tuple[Any, str, str]] = []
"""Settings, name and value of the paths that were changed for the file that is being saved."""


def before_saving(file: str) -> None:
    """Make the relative paths fit the folder of `file`, to which this file is being saved."""
    _before.clear()
    home, old = Path(file).parent, Path(bpy.data.filepath).parent
    if not bpy.data.filepath or not file or os.path.normpath(home) == os.path.normpath(old):
        return
    for settings, name in _paths():
        value = getattr(settings, name)
        _before.append((settings, name, value))
        _set(settings, name, _moved(value, str(home)))


def after_saving(file: str) -> None:
    """Restore the paths if it was a copy that was saved."""
    if os.path.normpath(bpy.data.filepath or "") != os.path.normpath(file):
        for settings, name, value in _before:
            _set(settings, name, value)
    _before.clear()


def after_appending(context: Any) -> None:
    """Let the pictures, other files and jobs of appended rigs be found. Their job folders stay those of the other file:
    Generate uses others.

    Args:
        context: Blender's account of what was appended or linked.
    """
    home = str(Path(bpy.data.filepath).parent) if bpy.data.filepath else ""
    for item in context.import_items:
        obj, library = item.id, item.source_library
        if not isinstance(obj, bpy.types.Object) or obj.library is not None or library is None:
            continue
        source = Path(bpy.path.abspath(library.filepath)).parent
        for settings, name in _paths_in(obj.dreamzoom):
            place = bpy.path.abspath(getattr(settings, name), start=str(source))
            setattr(settings, name, _relative(place, home) if home else place)
        if obj.dreamzoom.job_folder:
            obj.dreamzoom.folder_origin = "APPENDED"


def _set(settings: Any, name: str, value: str) -> None:
    """Write the same path in another way: a job folder stays the one of whom it was."""
    origin = getattr(settings, "folder_origin", None)
    setattr(settings, name, value)
    if origin is not None:
        settings.folder_origin = origin


def _moved(value: str, home: str) -> str:
    return _relative(bpy.path.abspath(value), home)


def _relative(place: str, home: str) -> str:
    try:
        return bpy.path.relpath(place, start=home)
    except ValueError:  # on another drive of Windows
        return place


def _paths() -> Iterator[tuple[Any, str]]:
    """All settings of this file's rigs that hold a path relative to the file."""
    for obj in bpy.data.objects:
        if obj.library is None and len(obj.dreamzoom.levels):
            yield from _paths_in(obj.dreamzoom)


def _paths_in(settings: Any) -> Iterator[tuple[Any, str]]:
    for prop in settings.bl_rna.properties:
        name = prop.identifier
        value: Any = getattr(settings, name) if name != "rna_type" else None
        if prop.type == "STRING" and prop.subtype in KINDS and not prop.is_readonly:
            if value.startswith("//"):
                yield settings, name
        elif prop.type == "COLLECTION":
            for item in value:
                yield from _paths_in(item)
        elif isinstance(value, bpy.types.PropertyGroup):
            yield from _paths_in(value)

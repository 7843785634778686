"""The job folders of rigs: where they are, and new ones."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import bpy

from ..core.errors import DreamzoomError
from . import launch, preferences


def _new_folder(root: bpy.types.Object) -> Path:
    """A new path for a rig's job: beside the .blend file, in the folder of the preferences, or in the user's folder."""
    name = re.sub(r"[^\w.-]+", "_", root.name).strip("._") or "rig"
    home = preferences.get("jobs_folder")
    if bpy.data.filepath and not home:
        return Path(bpy.data.filepath).parent / f"{Path(bpy.data.filepath).stem} dreamzoom" / name
    base = Path(bpy.path.abspath(home)) if home else launch.user_folder() / "jobs"
    stem = Path(bpy.data.filepath).stem if bpy.data.filepath else time.strftime("unsaved %Y-%m-%d %H%M%S")
    return base / f"{stem} {os.getpid()}" / name if not bpy.data.filepath else base / stem / name


def for_renders() -> str:
    """Where rendered frames go, as Blender's output path without a file's name: the folder `render` beside the .blend,
    or, where the file is not saved, one in Videos or the home folder; never the current working folder.
    """
    if bpy.data.filepath:
        return "//render/"
    videos = Path.home() / "Videos"
    home = videos if videos.is_dir() else Path.home()
    return str(home / "Dreamzoom" / time.strftime("unsaved %Y-%m-%d %H%M")) + os.sep


def of_rig(root: bpy.types.Object) -> Path | None:
    """The rig's job folder, None where it has none yet."""
    stored = root.dreamzoom.job_folder
    return Path(bpy.path.abspath(stored)).absolute() if stored else None


def ensure(root: bpy.types.Object) -> Path:
    """The rig's job folder, which is created if need be. A rig without one, or with that of the rig it was copied from,
    gets a new one.

    Raises:
        DreamzoomError: The folder can't be created.
    """
    folder = of_rig(root)
    others = {of_rig(obj) for obj in bpy.data.objects if obj != root and obj.dreamzoom.job_folder}
    if folder is None or folder in others:
        folder = _new_folder(root)
        while folder in others:
            folder = folder.with_name(folder.name + "_copy")
        saved = bpy.data.filepath and folder.is_relative_to(Path(bpy.data.filepath).parent)
        root.dreamzoom.job_folder = bpy.path.relpath(str(folder)) if saved else str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DreamzoomError(
            f"The job folder can't be created: {error}", "Choose another folder in the Result panel"
        ) from error
    return folder

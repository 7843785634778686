"""The job folders of rigs: where they are, and new ones."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path, PureWindowsPath

import bpy

from ..core.errors import DreamzoomError
from ..core.protocol import result
from ..core.safety.contained import ContainedFolder
from . import launch, preferences

REQUEST = "request.json"
"""The file by which a job's folder is known."""


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


class FolderState:
    """What lies in a job folder, as far as it is known: looked up by a thread, seldom, since it may be on a network.

    Attributes:
        has_job, has_result: Whether a job is there, and its result; True until that is known.
    """

    INTERVAL = 3.0
    """Seconds between two looks."""

    def __init__(self, folder: Path):
        self.has_job = self.has_result = True
        self._folder, self._looked, self._thread = folder, -1e9, None

    def refresh(self) -> None:
        """Look again, if the last look was long ago; never waits."""
        now = time.monotonic()
        if now - self._looked >= self.INTERVAL and (self._thread is None or not self._thread.is_alive()):
            self._looked = now
            self._thread = threading.Thread(target=self._look, name="dreamzoom-folder", daemon=True)
            self._thread.start()

    def forget(self) -> None:
        """Take nothing for known, and look again when next asked."""
        self.has_job = self.has_result = True
        self._looked = -1e9

    def _look(self) -> None:
        folder = ContainedFolder(self._folder)
        with contextlib.suppress(OSError, ValueError):
            self.has_job = folder.exists(REQUEST)
            self.has_result = ContainedFolder(result.newest(self._folder)).exists(result.NAME)


_states: dict[Path, FolderState] = {}


def state(folder: Path) -> FolderState:
    """What is known of a job folder. Fast enough to be asked at every redraw."""
    found = _states.get(folder)
    if found is None:
        while len(_states) >= 100:
            _states.pop(next(iter(_states)))
        found = _states[folder] = FolderState(folder)
    if is_trusted_place(folder):
        found.refresh()
    return found


def is_trusted_place(folder: Path) -> bool:
    r"""Whether a path that a .blend file names may be looked at.

    A path of another machine (`\\server\share`) may only be on the share of the .blend file itself, or of the folder
    in the preferences: Windows sends the user's name and a hash of the password to any machine that it is told of.
    """
    share = PureWindowsPath(folder).drive if os.name == "nt" else ""
    if not share.startswith(("\\\\", "//")):
        return True
    own = bpy.data.filepath, bpy.path.abspath(preferences.get("jobs_folder"))
    return any(PureWindowsPath(path).drive.lower() == share.lower() for path in own if path)


def check_can_open(folder: Path) -> None:
    """Check that a folder may be handed to the system's file manager: that it is a job's folder, and nothing else.

    Raises:
        DreamzoomError: It is not; the message says why.
    """
    choose = "Choose the job's folder in the Result panel"
    if not is_trusted_place(folder):
        raise DreamzoomError(f"{folder} lies on another machine than this file", choose)
    try:
        if not folder.is_dir() or not ContainedFolder(folder).exists(REQUEST):
            raise DreamzoomError(f"There is no job in {folder}", "Press Generate, or choose the folder of a job")
        if folder.suffix.lower() == ".app" or (folder / "Contents").exists():
            raise DreamzoomError(f"{folder} is a program, not a job's folder", choose)
    except (OSError, ValueError) as error:
        raise DreamzoomError(f"{folder} can't be opened: {error}", choose) from None


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

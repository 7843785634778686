"""The job folders of rigs: where they are, new ones, and those of jobs that were stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from pathlib import Path, PureWindowsPath
from typing import Any

import bpy

from ..core.errors import DreamzoomError, RefusedFile
from ..core.protocol import result
from ..core.safety import bounded_json, limits
from ..core.safety.contained import ContainedFolder
from . import current_job, launch, preferences
from .remote import mirror

NONE = Path()
"""Stands for a job folder that is not known yet."""

REQUEST = "request.json"
"""The file of a job folder that says what is to be dreamed."""


def _new_folder(root: bpy.types.Object) -> Path:
    """A new path for a rig's job: beside the .blend file, in the folder of the preferences, or in the user's folder."""
    name = re.sub(r"[^\w.-]+", "_", root.name).strip("._") or "rig"
    home = preferences.folder("jobs_folder")
    if bpy.data.filepath and home is None:
        return _beside_file() / name
    base = home or launch.user_folder() / "jobs"
    stem = Path(bpy.data.filepath).stem if bpy.data.filepath else time.strftime("unsaved %Y-%m-%d %H%M%S")
    return base / f"{stem} {os.getpid()}" / name if not bpy.data.filepath else base / stem / name


def places() -> list[str]:
    """The folders in which jobs of this file and of unsaved ones lie, each in a folder of its own or one below."""
    found = [preferences.folder("jobs_folder") or launch.user_folder() / "jobs"]
    if bpy.data.filepath:
        found.append(_beside_file())
    return [str(path) for path in found]


def _beside_file() -> Path:
    """The folder of the jobs of the .blend file, beside it."""
    return Path(bpy.data.filepath).parent / f"{Path(bpy.data.filepath).stem} dreamzoom"


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
    """The rig's job folder; None where it has none yet, or a relative one in a file that is not saved."""
    stored = root.dreamzoom.job_folder
    if not stored or _leads_nowhere(root):
        return None
    path = Path(bpy.path.abspath(stored, library=root.library))
    home = bpy.path.abspath(root.library.filepath) if root.library else bpy.data.filepath
    return Path(os.path.normpath(path if path.is_absolute() else (Path(home).parent / path).absolute()))


def _leads_nowhere(root: bpy.types.Object) -> bool:
    """Whether a rig's job folder is relative to a file that has no place yet."""
    stored = root.dreamzoom.job_folder
    is_relative = stored.startswith("//") or not Path(stored).is_absolute()
    return bool(stored) and is_relative and root.library is None and not bpy.data.filepath


def place_of(root: bpy.types.Object) -> Path | None:
    """The rig's job folder, or where it would be beside the saved file."""
    return of_rig(root) or (_new_folder(root) if bpy.data.filepath else None)


def remember(root: bpy.types.Object, folder: Path) -> None:
    """Let a rig know its folder, relative to the .blend file where it lies beside it."""
    saved = bpy.data.filepath and folder.is_relative_to(Path(bpy.data.filepath).parent)
    root.dreamzoom.job_folder = bpy.path.relpath(str(folder)) if saved else str(folder)


def owns_folder(root: bpy.types.Object) -> bool:
    """Whether a rig's job folder is its own, not that of a rig from which it was copied or appended. Of several copies
    that have the folder it is that of the one whose job is known, else of the oldest.
    """
    folder = of_rig(root)
    if folder is None or root.dreamzoom.folder_origin == "APPENDED":
        return folder is None
    return root == min((obj for obj in _with_folders() if of_rig(obj) == folder), key=_rank, default=root)


def _rank(root: bpy.types.Object) -> tuple[bool, bool, int]:
    job = current_job.of_rig(root.session_uid)
    holds_job = job is not None and job.folder == of_rig(root)
    return root.dreamzoom.folder_origin != "OWN", not holds_job, root.session_uid


def _with_folders() -> list[bpy.types.Object]:
    """The rigs that have a job folder."""
    return [obj for obj in bpy.data.objects if obj.type == "EMPTY" and "zoom" in obj and obj.dreamzoom.job_folder]


class FolderState:
    """What lies in a job folder, as far as it is known: looked up by a thread, seldom, since it may be on a network.

    Attributes:
        has_job, has_result: Whether a job is there, and its result; True until that is known.
        can_import: Whether there is a result, or an earlier one; True until that is known.
        is_known: Whether all this is known.
    """

    INTERVAL = 3.0
    """Seconds between two looks."""

    def __init__(self, folder: Path):
        self.has_job = self.has_result = self.can_import = True
        self.is_known = False
        self._folder, self._looked, self._thread = folder, -1e9, None

    @property
    def is_unfinished(self) -> bool:
        """Whether a job was begun here and not finished."""
        return self.has_job and not self.has_result

    def refresh(self) -> None:
        """Look again, if the last look was long ago; never waits."""
        now = time.monotonic()
        if now - self._looked >= self.INTERVAL and (self._thread is None or not self._thread.is_alive()):
            self._looked = now
            self._thread = threading.Thread(target=self._look, name="dreamzoom-folder", daemon=True)
            self._thread.start()

    def note_finished(self) -> None:
        """A job has just been finished here."""
        self.has_job = self.has_result = self.can_import = self.is_known = True

    def _look(self) -> None:
        folder = ContainedFolder(self._folder)
        with contextlib.suppress(OSError, ValueError):
            self.has_job = folder.exists(REQUEST)
            self.has_result = folder.exists(result.NAME)
            self.can_import = ContainedFolder(result.newest(self._folder)).exists(result.NAME)
            self.is_known = True


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
    own = bpy.data.filepath, preferences.folder("jobs_folder")
    return any(PureWindowsPath(path).drive.lower() == share.lower() for path in own if path)


def check_trusted(folder: Path) -> None:
    """Raise DreamzoomError for a folder that may not be looked at (see `is_trusted_place`)."""
    if not is_trusted_place(folder):
        raise DreamzoomError(
            f"{folder} lies on another machine than this file",
            "Choose another folder in the Result panel, or, if you trust it, set it as jobs folder in the preferences",
        )


def check_can_open(folder: Path) -> None:
    """Check that a folder may be handed to the system's file manager: that it is a job's folder, and nothing else.

    Raises:
        DreamzoomError: It is not; the message says why.
    """
    choose = "Choose the job's folder in the Result panel"
    check_trusted(folder)
    try:
        if not folder.is_dir() or not ContainedFolder(folder).exists(REQUEST):
            raise DreamzoomError(f"There is no job in {folder}", "Press Generate, or choose the folder of a job")
        if folder.suffix.lower() == ".app" or (folder / "Contents").exists():
            raise DreamzoomError(f"{folder} is a program, not a job's folder", choose)
    except (OSError, ValueError) as error:
        raise DreamzoomError(f"{folder} can't be opened: {error}", choose) from None


def state_of(root: bpy.types.Object) -> FolderState | None:
    """What is known of the folder that `find` would look for; None where there can be none."""
    folder = of_rig(root)
    if folder is None and bpy.data.filepath:
        folder = _new_folder(root)
        folder = None if folder in _of_other_rigs(root) else folder
    return None if folder is None else state(folder)


def ensure(root: bpy.types.Object) -> Path:
    """The rig's job folder, which is created if need be. A rig without one, or with that of another rig, gets a
    new one.

    Raises:
        DreamzoomError: The folder can't be created, or is relative to a file that is not saved.
    """
    if _leads_nowhere(root):
        raise DreamzoomError(
            f"The job folder {root.dreamzoom.job_folder} is relative to a file that is not saved yet",
            "Save the file, or choose a folder with its whole path in the Result panel",
        )
    folder = of_rig(root)
    if folder is None or not owns_folder(root):
        folder, others = _new_folder(root), _of_other_rigs(root)
        while folder in others:
            folder = folder.with_name(folder.name + "_copy")
        remember(root, folder)
    check_trusted(folder)
    try:
        make_private(folder)
    except OSError as error:
        raise DreamzoomError(
            f"The job folder can't be created: {error}", "Choose another folder in the Result panel"
        ) from error
    return folder


def make_private(folder: Path) -> None:
    """Create a folder, if it does not exist, for its user alone: it will hold pictures. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(0o700, exist_ok=True)


def find(root: bpy.types.Object) -> Path | None:
    """The folder of a rig's job; also one that lies where this rig's would be, and that the file does not know of since
    Blender ended before it was saved.
    """
    folder = of_rig(root)
    if folder is None and bpy.data.filepath:
        folder = _new_folder(root)
        if folder in _of_other_rigs(root) or not (folder / REQUEST).is_file():
            return None
    return folder


def is_stopped(root: bpy.types.Object) -> bool:
    """Whether a rig's job was begun and not finished, and nothing works on it; never waits. True until it is known."""
    known, folder = state_of(root), of_rig(root)
    if known is None or (folder is not None and (not owns_folder(root) or current_job.is_folder_busy(folder))):
        return False
    return known.is_unfinished or not known.is_known


def adopt(root: bpy.types.Object) -> Path:
    """The folder of `find`, which the rig knows from now on.

    Raises:
        DreamzoomError: There is none.
    """
    folder = find(root)
    if folder is None:
        raise DreamzoomError("This flight has no job yet", "Press Generate first")
    check_trusted(folder)
    if of_rig(root) is None:
        remember(root, folder)
    return folder


def share(root: bpy.types.Object, copy: bpy.types.Object) -> None:
    """Give a copied rig a job folder of its own in which the finished steps of the first rig's job are found, as hard
    links: what is still valid for the copy is not dreamed again.

    Raises:
        OSError: The file system has no hard links, or is full; the copy has no job folder then.
    """
    source = of_rig(root)
    copy.dreamzoom.job_folder = ""
    if source is None or not (source / result.NAME).is_file():
        return
    target = _new_folder(copy)
    while target.exists() or target in _of_other_rigs(copy):
        target = target.with_name(target.name + "_copy")
    inside = ContainedFolder(source)
    files = [name for name in (REQUEST, result.NAME, "plan.json", "inputs.json") if inside.exists(name)]
    for part in ("levels", "stages", "inputs"):
        files += inside.files(part)
    try:
        for name in files:
            make_private(target)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(inside.path(name), target / name)
        mirror.share(source, target)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    remember(copy, target)


def read_request(folder: Path) -> dict[str, Any]:
    """What a job was asked for.

    Raises:
        DreamzoomError: It can't be read, or is damaged.
    """
    try:
        found = bounded_json.read_json(folder / REQUEST, limits.REQUEST_BYTES)
    except (OSError, RefusedFile) as error:
        raise DreamzoomError(f"The job in {folder} can't be read: {error}", "Press Generate again") from None
    if not isinstance(found, dict) or not _is_list_of_objects(found.get("levels")):
        raise DreamzoomError(f"The job in {folder} is damaged", "Press Generate again")
    return found


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _of_other_rigs(root: bpy.types.Object) -> set[Path | None]:
    return {of_rig(obj) for obj in _with_folders() if obj != root}

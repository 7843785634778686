"""How the server is started on this machine: which Python, code and folders; and how its environment is made."""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import bpy

from . import __package__ as base_package
from . import core, preferences
from .errors import DreamzoomError

PYTHON_VARIABLE = "DREAMZOOM_SERVER_PYTHON"


def code_folder() -> Path:
    """The server's code: the folder that `core` lies in, inside the extension or beside the add-on in a checkout."""
    return Path(core.__file__).resolve().parents[1]


def user_folder() -> Path:
    """Where the add-on may write what belongs to this machine."""
    if str(base_package).startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(str(base_package), create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="dreamzoom", create=True))


def environment_folder() -> Path:
    """Where the install operator makes the server's environment."""
    return user_folder() / "environment"


def server_python() -> Path | None:
    """The server's Python: the variable DREAMZOOM_SERVER_PYTHON, the preferences, or the installed environment."""
    chosen = os.environ.get(PYTHON_VARIABLE) or preferences.get("server_python")
    if chosen:
        return Path(bpy.path.abspath(chosen))
    made = environment_folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return made if made.is_file() else None


def is_set_up() -> bool:
    """Whether there is something to start the server with."""
    return bool(preferences.get("server_command")) or server_python() is not None


def command() -> list[str]:
    """The server's command line.

    Raises:
        DreamzoomError: There is no environment for it.
    """
    whole = preferences.get("server_command")
    if whole:
        return shlex.split(whole, posix=os.name != "nt")
    python = server_python()
    if python is None:
        raise DreamzoomError(
            "Dreamzoom is not set up on this machine yet",
            "Install what the dreaming needs, once",
            operator="dreamzoom.install_server",
        )
    return [str(python), "-m", "dreamzoom", "serve"]


def environment() -> dict[str, str]:
    """The server's environment variables: its code on PYTHONPATH, nothing of Blender's own Python."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return variables | {
        "PYTHONPATH": str(code_folder()),
        "PYTHONUTF8": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def log_file() -> Path:
    """The server's log; one per Blender, so that two do not share it."""
    return user_folder() / "logs" / f"server-{os.getpid()}.log"


def new_job_folder(root: bpy.types.Object) -> Path:
    """A folder for a rig's job: beside the .blend file, or in the preferences' folder, or in the user's."""
    name = re.sub(r"[^\w.-]+", "_", root.name).strip("._") or "rig"
    home = preferences.get("jobs_folder")
    if bpy.data.filepath and not home:
        return Path(bpy.data.filepath).parent / f"{Path(bpy.data.filepath).stem} dreamzoom" / name
    base = Path(bpy.path.abspath(home)) if home else user_folder() / "jobs"
    stem = Path(bpy.data.filepath).stem if bpy.data.filepath else time.strftime("unsaved %Y-%m-%d %H%M%S")
    return base / f"{stem} {os.getpid()}" / name if not bpy.data.filepath else base / stem / name


def job_folder(root: bpy.types.Object) -> Path | None:
    """The rig's job folder, None where it has none yet."""
    kept = root.dreamzoom.job_folder
    return Path(bpy.path.abspath(kept)).absolute() if kept else None


def ensure_job_folder(root: bpy.types.Object) -> Path:
    """The rig's job folder, chosen now if it has none, or shares one with the rig that it was copied from.

    Raises:
        DreamzoomError: It can't be written.
    """
    folder = job_folder(root)
    others = {job_folder(obj) for obj in bpy.data.objects if obj != root and obj.dreamzoom.job_folder}
    if folder is None or folder in others:
        folder = new_job_folder(root)
        while folder in others:
            folder = folder.with_name(folder.name + "_copy")
        saved = bpy.data.filepath and folder.is_relative_to(Path(bpy.data.filepath).parent)
        root.dreamzoom.job_folder = bpy.path.relpath(str(folder)) if saved else str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DreamzoomError(
            f"The job folder can't be made: {error}", "Choose another folder in the Result panel"
        ) from error
    return folder


class Installation:
    """The making of the server's environment, in a process of its own.

    Attributes:
        line: What it is doing, for the artist.
        failure: What went wrong; empty while it runs and after success.
        is_done: Whether it has ended.
    """

    def __init__(self):
        self.line, self.failure, self.is_done = "Starting", "", False
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        script = [sys.executable, "-I", str(code_folder() / "install.py"), "--into", str(environment_folder())]
        flags: dict = {"start_new_session": True}  # a group of its own, so that `stop` reaches its pip too
        if os.name == "nt":
            flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            script,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **flags,
        )
        self._reader = threading.Thread(target=self._read, name="dreamzoom-install", daemon=True)
        self._reader.start()

    def pump(self) -> None:
        """Take in what it said since; never waits."""
        while not self._lines.empty():
            line = self._lines.get().strip()
            if line:
                self.line = line
                if line.startswith("error: "):
                    self.failure = line.removeprefix("error: ")
        if self._process.poll() is not None and not self._reader.is_alive() and self._lines.empty():
            self.is_done = True
            if self._process.returncode and not self.failure:
                self.failure = self.line

    def stop(self) -> None:
        """End it; the next start goes on cleanly."""
        if self._process.poll() is not None:
            return
        if os.name == "nt":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)

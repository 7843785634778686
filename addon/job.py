"""The job of this Blender: its server, its state as the panels draw it, and `pump`, which moves all of it along.

A timer calls `pump` where there is a window; scripts call it themselves. Everything here runs on the main thread, and
nothing here waits.
"""

from __future__ import annotations

import atexit
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import changes, importer, launch, rig, words
from .client import Client, Ended
from .core.errors import DreamzoomError
from .looking import Looking

IDLE_SECONDS = 60.0
"""The server is let go this long after its last job, so that it does not hold the GPU's memory while Cycles renders."""

TICK = 0.1
BREATH = 0.01
"""Between slices of work on the main thread Blender has at least this long for its own."""

ACTIVE = ("looking", "starting", "running", "cancelling", "importing")


@dataclass
class Job:
    """One press of Generate or Import.

    Attributes:
        rig: Name of the rig's root, and `uid` Blender's id of it, which survives undo.
        status: "looking" (at the scene), "starting", "running", "cancelling", "importing", then "done", "cancelled" or
            "failed".
        fraction: 0 to 1 of the whole.
        note: The last thing that the server told in passing: the plan of the card's memory, say.
        warning: The last thing that it warned of.
        error: What went wrong, where it failed.
        words: The levels' words, as `changes` keeps them.
    """

    rig: str
    uid: int
    folder: Path
    import_when_done: bool
    status: str = "looking"
    stage: str = ""
    level: int | None = None
    levels: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    seconds: float = 0.0
    message: str = ""
    preview: str = ""
    note: str = ""
    warning: str = ""
    error: DreamzoomError | None = None
    request_id: int = -1
    words: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it still goes on."""
        return self.status in ACTIVE

    def root(self) -> bpy.types.Object | None:
        """The rig's root; None once it is gone."""
        return next((obj for obj in bpy.data.objects if obj.session_uid == self.uid and rig.is_rig(obj)), None)


class Session:
    """What this Blender has under way."""

    def __init__(self):
        self.job: Job | None = None
        self.client: Client | None = None
        self.command: list[str] = []
        self.engines: list[dict[str, Any]] = []
        self.asked: dict[int, Callable[[dict[str, Any] | Ended], None]] = {}
        self.installation: launch.Installation | None = None
        self.install_error = ""
        self.idle_since = 0.0
        self.importing: Iterator[tuple[int, int]] | None = None
        self.looking: Looking | None = None


session = Session()


def is_busy() -> bool:
    """Whether a job goes on."""
    return session.job is not None and session.job.is_active


def generate(
    root: bpy.types.Object,
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    *,
    seconds: float = math.inf,
) -> Job:
    """Look at the scene and send a rig's job to the server, starting it if need be.

    Args:
        root: The rig.
        scene: Its frames are looked at.
        view_layer: What is to be seen of it.
        seconds: How long each `pump` may look at the scene; without, it has been looked at when this returns.

    Raises:
        DreamzoomError: The job can't be sent as it is. What is found later, while `pump` looks, fails the job.
    """
    if is_busy():
        raise DreamzoomError("A job is under way already", "Wait for it, or cancel it")
    command = launch.command()
    looking = Looking(root, scene, view_layer, seconds)
    job = Job(root.name, root.session_uid, Path(), root.dreamzoom.import_when_done, levels=len(root.dreamzoom.levels))
    job.words = changes.words_of(root.dreamzoom)
    if seconds < math.inf:
        session.looking = looking
    else:
        looking.to_the_end()
        _send(job, looking, command)
    session.job = job
    _start_timer()
    return job


def _look_on(job: Job) -> None:
    """One slice of looking at the scene; then the job goes to the server."""
    looking = session.looking
    try:
        ready = looking.step()
        job.fraction = looking.fraction
        if ready:
            session.looking = None
            _send(job, looking, launch.command())
    except DreamzoomError as error:
        session.looking = None
        _finish(job, "failed", error)
    _redraw()


def _send(job: Job, looking: Looking, command: list[str]) -> None:
    """Hand what was found to the server."""
    client = _ensure_client(command)
    job.status, job.fraction, job.folder = "starting", 0.0, looking.folder
    job.request_id = client.request("generate", {"request": looking.found, "out": str(looking.folder)})


def cancel() -> None:
    """Ask the server to stop the job; what is finished stays and is used the next time."""
    job = session.job
    if job is None or not job.is_active:
        return
    if job.status == "importing":
        session.importing = None
        _finish(job, "cancelled")
        return
    if job.status == "looking":
        _stop_looking()
        _finish(job, "cancelled")
        return
    job.status = "cancelling"
    session.client.request("cancel", {"id": job.request_id})


def start_import(root: bpy.types.Object) -> Job:
    """Import a rig's finished job, level after level with each `pump`.

    Raises:
        DreamzoomError: There is nothing to import.
    """
    if is_busy():
        raise DreamzoomError("A job is under way already", "Wait for it, or cancel it")
    folder = launch.job_folder(root)
    if folder is None:
        raise DreamzoomError("This rig has no job yet", "Press Generate first")
    importer.read_result(folder)
    session.job = Job(root.name, root.session_uid, folder, True, levels=len(root.dreamzoom.levels))
    _begin_import(session.job)
    _start_timer()
    return session.job


def ask(method: str, params: dict[str, Any], take: Callable[[dict[str, Any] | Ended], None]) -> int:
    """Ask the server something beside jobs, starting it if need be.

    Args:
        method: Of the request.
        params: Of the request.
        take: Called on the main thread with whatever comes for it: its notifications, then its answer or the
            server's end.

    Returns:
        The request's id, by which it can be cancelled.

    Raises:
        DreamzoomError: There is no environment for the server.
    """
    client = _ensure_client(launch.command())
    identity = client.request(method, params)
    session.asked[identity] = take
    _start_timer()
    return identity


def refuse(error: DreamzoomError) -> None:
    """Show an error that kept a job from starting where its progress would have been."""
    if not is_busy():
        session.job = Job("", 0, Path(), False, status="failed", error=error)


def install() -> None:
    """Begin to make the server's environment."""
    session.install_error = ""
    session.installation = launch.Installation()
    _start_timer()


def pump() -> bool:
    """Take in what has come and take one step; whether there is more to come. Returns within milliseconds.

    Importing and looking at the scene are the exceptions: one call imports one level, or looks for one slice.
    """
    if session.client is not None:
        for message in session.client.messages():
            _take(message)
    if session.looking is not None:
        _look_on(session.job)
    if session.importing is not None:
        _import_step(session.job)
    if session.installation is not None:
        _pump_installation()
    if is_busy() or session.installation is not None or session.asked:
        return True
    if session.client is not None and time.monotonic() - session.idle_since > IDLE_SECONDS:
        _let_go(patience=0)
    return session.client is not None


def wait(seconds: float = 0.05) -> None:
    """Sleep until something comes, up to `seconds`: for scripts that call `pump` in a loop."""
    if session.client is not None and session.importing is None and session.looking is None:
        session.client.wait_for_message(seconds)


def _ensure_client(command: list[str]) -> Client:
    if session.client is not None and session.client.is_alive and session.command == command:
        return session.client
    _let_go(patience=0)
    session.command = command
    session.client = Client(command, launch.environment(), launch.log_file())
    session.client.request("initialize", {})
    return session.client


def _let_go(patience: float) -> None:
    if session.client is not None:
        session.client.close(patience)
        session.client = None
    for identity in list(session.asked):
        _hand_over(identity, Ended(None, "The server was let go", ()))


def _take(message: dict[str, Any] | Ended) -> None:
    """One message of the server."""
    job = session.job
    if isinstance(message, Ended):
        session.client = None
        if job is not None and job.is_active and job.status not in ("looking", "importing"):
            _finish(job, "failed", words.of_end(message, launch.log_file()))
        for identity in list(session.asked):
            _hand_over(identity, message)
        _redraw()
        return
    method, params = message.get("method"), message.get("params") or {}
    identity = message.get("id") if method is None else params.get("id")
    if identity in session.asked:
        _hand_over(identity, message)
    elif method is None:
        _take_answer(message)
    elif job is not None and job.is_active and params.get("id") == job.request_id:
        if method == "progress":
            _take_progress(job, params)
        elif method == "artifact" and params.get("kind") in ("preview", "image"):
            job.preview = str(job.folder / params.get("path", ""))
        elif method == "log":
            told = str(params.get("message") or "")
            if params.get("level") in ("warning", "error"):
                job.warning = told
            else:
                job.note = told
    _redraw()


def _hand_over(identity: int, message: dict[str, Any] | Ended) -> None:
    """Give a message to whoever asked; an answer and the server's end are the last that it gets."""
    session.idle_since = time.monotonic()
    is_last = isinstance(message, Ended) or "method" not in message
    take = session.asked.pop(identity) if is_last else session.asked[identity]
    take(message)


def _take_progress(job: Job, params: dict[str, Any]) -> None:
    if job.status == "starting":
        job.status = "running"
    job.stage, job.level = params.get("stage", ""), params.get("level")
    job.levels = params.get("levels") or job.levels
    job.fraction = min(max(float(params.get("fraction") or 0.0), 0.0), 1.0)
    job.seconds_left, job.message = params.get("seconds_left"), params.get("message") or ""


def _take_answer(message: dict[str, Any]) -> None:
    job = session.job
    result = message.get("result")
    if isinstance(result, dict) and "engines" in result:
        session.engines = result["engines"]
    if job is None or message.get("id") != job.request_id or not job.is_active:
        return
    if "error" in message:
        error = message["error"]
        if error.get("code") == words.CANCELLED:
            _finish(job, "cancelled")
        else:
            _finish(job, "failed", words.of_error(error))
        return
    job.seconds = float(result.get("seconds") or 0.0)
    if job.words and job.root() is not None:
        job.root().dreamzoom.dreamed = job.words
    if job.import_when_done and job.root() is not None and job.status != "cancelling":
        _begin_import(job)
    else:
        _finish(job, "done")


def _begin_import(job: Job) -> None:
    job.status, job.stage, job.fraction, job.seconds_left = "importing", "import", 0.0, None
    session.importing = importer.import_levels(job.root(), job.folder)


def _import_step(job: Job) -> None:
    try:
        if job.root() is None:
            raise DreamzoomError("The rig of this job is gone", "Undo its removal, then press Import")
        done, count = next(session.importing)
        job.level, job.levels, job.fraction = done - 1, count, done / count
    except StopIteration:
        session.importing = None
        _finish(job, "done")
        _push_undo("Import Dreamzoom")
    except DreamzoomError as error:
        session.importing = None
        _finish(job, "failed", error)
    _redraw()


def _finish(job: Job, status: str, error: DreamzoomError | None = None) -> None:
    job.status, job.error, job.seconds_left = status, error, None
    if status == "done":
        job.fraction = 1.0
    session.idle_since = time.monotonic()
    _redraw()


def _pump_installation() -> None:
    installation = session.installation
    line = installation.line
    installation.pump()
    if installation.is_done:
        session.install_error = installation.failure
        session.installation = None
    if installation.is_done or installation.line != line:
        _redraw(preferences_too=True)


def _push_undo(message: str) -> None:
    """Make the import a step of the undo history; a timer's changes are none by themselves."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)


def _redraw(preferences_too: bool = False) -> None:
    kinds = ("VIEW_3D", "PREFERENCES") if preferences_too else ("VIEW_3D",)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in kinds:
                area.tag_redraw()


def _tick() -> float | None:
    if not pump():
        return None
    return TICK if session.looking is None else BREATH


def _start_timer() -> None:
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=TICK, persistent=True)


def _stop_looking() -> None:
    if session.looking is not None:
        session.looking.stop()
        session.looking = None


def _end_all() -> None:
    if session.installation is not None:
        session.installation.stop()
        session.installation = None
    _stop_looking()
    session.importing = None
    _let_go(patience=1.5)


def register() -> None:
    atexit.register(_end_all)


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _end_all()
    session.__init__()
    atexit.unregister(_end_all)

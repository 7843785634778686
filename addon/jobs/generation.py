"""Generate: captures a rig's scene, sends it to the server, and follows the server's progress to the result.

The server works on one job at a time; further jobs are captured at once and wait.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..backend import current_job, error_messages, job_folders, launch, main_loop, preferences, readiness
from ..backend.client import Ended
from ..backend.connection import connection
from ..backend.current_job import CAPTURED, DREAMED, Job
from ..core.errors import DreamzoomError
from ..core.protocol import error_codes, messages
from ..scene import prompt_changes
from ..scene.scene_capture import SceneCapture
from . import importing, remote, undo_steps


def generate(
    root: bpy.types.Object,
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    *,
    seconds: float = math.inf,
) -> Job:
    """Capture the scene and send a rig's job to the server, starting it if need be.

    Args:
        root: The rig.
        scene: Its frames are evaluated.
        view_layer: Of the scene; only what it shows is captured.
        seconds: How long the scene may be captured at a time, in the background; without, all of it is captured before
            this returns.

    Raises:
        DreamzoomError: The job can't be sent as it is. An error that is found in the background fails the job instead.
    """
    current_job.check_free(root.session_uid)
    readiness.check()
    undo_steps.restore_levels(root)
    capture = SceneCapture(root, scene, view_layer, seconds)
    job = _new_job(root, scene)
    job.pictures = prompt_changes.note_sent(root.dreamzoom)
    if seconds < math.inf:
        job.work = capture
        main_loop.start(partial(_capture, job, capture))
    else:
        capture.run()
        _queue(job, capture)
    current_job.add(job)
    return job


def repair(root: bpy.types.Object, scene: bpy.types.Scene) -> Job:
    """Have the server check all files of a rig's job and make again what is damaged; then import it.

    Raises:
        DreamzoomError: There is no job, or no server.
    """
    return _on_finished(root, scene, messages.VERIFY, {"repair": True}, imports=True)


def export_for_viewers(
    root: bpy.types.Object, scene: bpy.types.Scene, path: Path, up: str, cameras: Path | None, rounds: int
) -> Job:
    """Have the server refit a copy of a rig's splats to what other viewers show, and write it as one file.

    Args:
        root: The rig.
        scene: Its scene.
        path: The file.
        up: The axis that points up in it: "-Y", "Y" or "Z".
        cameras: A file for the flight's cameras in the same world, or None.
        rounds: How often the fit looks at each view.

    Raises:
        DreamzoomError: There is no job, or no server.
    """
    params = {"path": str(path), "up": up, "rounds": rounds} | ({"cameras": str(cameras)} if cameras else {})
    return _on_finished(root, scene, messages.EXPORT, params, imports=False)


def go_on(root: bpy.types.Object, scene: bpy.types.Scene) -> Job:
    """Go on with a rig's job that was stopped, as it was sent: the scene is not captured again.

    One whose connection was cut is sent again; files that have arrived there are not.

    Raises:
        DreamzoomError: There is no such job, or no server.
    """
    current_job.check_free(root.session_uid)
    readiness.check()
    last = current_job.of_rig(root.session_uid)
    job = _new_job(root, scene)
    if last is not None and remote.can_resend(last):
        job.folder, job.request, job.method, job.levels = last.folder, last.request, last.method, last.levels
        current_job.add(job)
        _wait(job)
        return job
    folder = job_folders.adopt(root)
    request = job_folders.read_request(folder)
    job.folder, job.request, job.levels, job.resumes = folder, request, len(request["levels"]), True
    prompt_changes.note_resumed(root.dreamzoom, request)
    current_job.add(job)
    _wait(job)
    return job


def wait_for(job: Job) -> None:
    """Return when a job has ended and its result is imported. For scripts: it keeps Blender from drawing."""
    while job.is_active:
        main_loop.pump()
        connection.wait(0.1)
        if job.transfer is not None:
            time.sleep(0.05)  # a thread works for the job


def cancel(job: Job | None = None) -> None:
    """Stop a job, at once or when the server has stopped. Finished steps are kept for the next one.

    Args:
        job: The job; by default the one that `current_job.get` returns.
    """
    job = job or current_job.get()
    if job is None or not job.is_active:
        return
    if job.status in ("capturing", "queued", "sending", "fetching", "importing") or job.request_id < 0:
        job.finish("cancelled")
    else:
        job.status = "cancelling"
        connection.cancel(job.request_id)


def _on_finished(
    root: bpy.types.Object, scene: bpy.types.Scene, method: str, params: dict[str, Any], *, imports: bool
) -> Job:
    """Have the server work on the files of a rig's job. Raises DreamzoomError: there is no job, or no server."""
    current_job.check_free(root.session_uid)
    readiness.check()
    folder = job_folders.adopt(root)
    job = _new_job(root, scene)
    job.folder, job.import_when_done, job.method, job.params = folder, imports, method, params
    current_job.add(job)
    _wait(job)
    return job


def _new_job(root: bpy.types.Object, scene: bpy.types.Scene) -> Job:
    settings = root.dreamzoom
    folder = job_folders.of_rig(root) or job_folders.NONE
    return Job(
        root.session_uid,
        folder,
        settings.import_when_done,
        rig_name=root.name,
        scene_name=scene.name,
        levels=len(settings.levels),
    )


def _capture(job: Job, capture: SceneCapture) -> float | None:
    """Capture the scene for a time slice; when it is complete, queue the job."""
    if job.work is not capture:
        return None  # cancelled
    try:
        is_done = capture.step()
        job.advance(capture.fraction, 0.0, CAPTURED)
        if is_done:
            job.work = None
            _queue(job, capture)
    except DreamzoomError as error:
        job.finish("failed", error)
    main_loop.redraw()
    return None if job.work is None else main_loop.BREATH


def _queue(job: Job, capture: SceneCapture) -> None:
    """Send the captured request, or let it wait while the server works on another job."""
    job.folder, job.request = capture.folder, capture.request
    job.advance(0.0, CAPTURED, DREAMED)
    _wait(job)


def _wait(job: Job) -> None:
    job.status = "queued"
    if current_job.is_server_busy():
        main_loop.start(_serve_next)
    else:
        _send(job)


def _serve_next() -> float | None:
    """Send the first waiting job when the server is free."""
    waiting = [job for job in current_job.all_jobs() if job.status == "queued"]
    if waiting and not current_job.is_server_busy():
        job = waiting.pop(0)
        try:
            _send(job)
        except DreamzoomError as error:  # the server was removed meanwhile
            job.finish("failed", error)
        main_loop.redraw()
    return main_loop.TICK if waiting else None


def _send(job: Job) -> None:
    """Send a job to the server; one that the artist chose is asked first whether it sees the job folder."""
    job.status = "starting"
    if preferences.get("server_command"):
        remote.begin(job, partial(_ask, job), partial(_finish, job))
    else:
        _ask(job)


def _ask(job: Job) -> None:
    """Send a job's request to the server."""
    where = remote.place(job)
    if job.params is not None:
        params = where | job.params
    else:
        request = job.request if "out" in where else job.transfer.request
        params = where | ({"resume": True} if job.resumes else {"request": request})
        chosen = {name: preferences.get(name) for name in ("executor", "storage")}
        params |= {name: value for name, value in chosen.items() if value}
    job.request_id = connection.request(job.method, params, partial(_receive, job))


def _receive(job: Job, message: dict[str, Any] | Ended) -> None:
    """Take a message of the server for a job."""
    if not job.is_active:
        return
    if isinstance(message, Ended) and job.status == "cancelling":
        job.finish("cancelled")
    elif isinstance(message, Ended):
        job.finish("failed", remote.cut(job, message) or error_messages.of_end(message, launch.log_file()))
    elif "method" in message:
        _take_notification(job, message["method"], message.get("params") or {})
    elif "error" in message:
        _take_error(job, message["error"])
    else:
        _take_result(job, message.get("result") or {})


def _take_notification(job: Job, method: str, params: dict[str, Any]) -> None:
    if method == messages.PROGRESS:
        _take_progress(job, params)
    elif method == messages.ARTIFACT:
        _take_artifact(job, params)
    elif method == messages.LOG:
        text = str(params.get("message") or "")
        if params.get("level") in ("warning", "error"):
            job.warning = text
        else:
            job.note = text


def _take_artifact(job: Job, params: dict[str, Any]) -> None:
    kind, level = params.get("kind"), params.get("level")
    if remote.take_artifact(job, kind, level, params.get("path", "")):
        return
    if kind in ("preview", "image"):
        job.preview = str(job.folder / params.get("path", ""))
    if kind == "splats" and isinstance(level, int):
        job.finished_levels.add(level)
        if job.import_when_done:
            importing.import_while_running(job)


def _take_progress(job: Job, params: dict[str, Any]) -> None:
    if job.status == "starting":
        job.status = "running"
        remote.note_begun(job)
    job.stage, job.level = params.get("stage", ""), params.get("level")
    job.levels = params.get("levels") or job.levels
    job.advance(float(params.get("fraction") or 0.0), CAPTURED, DREAMED if job.import_when_done else 1.0)
    left = params.get("seconds_left")
    job.ends_at = None if left is None else time.monotonic() + left


def _take_error(job: Job, error: dict[str, Any]) -> None:
    if error.get("code") == error_codes.CANCELLED:
        job.finish("cancelled")
    else:
        job.finish("failed", error_messages.of_error(error))


def _take_result(job: Job, result: dict[str, Any]) -> None:
    """The server has finished: fetch the result where it is elsewhere."""
    job.seconds, job.level_seconds = float(result.get("seconds") or 0.0), result.get("level_seconds") or []
    if job.method == messages.EXPORT:
        job.outcome = _exported(result)
        job.finish("done")
    elif job.status == "cancelling" or not remote.fetch_all(job):
        _finish(job)


def _finish(job: Job) -> None:
    """The result is here: store the prompts with the rig, and import it if the artist wants it. If the rig is not here,
    it takes the result when it is back.
    """
    job_folders.state(job.folder).note_finished()
    root = importing.rig_of(job)
    job.is_left = root is None
    if root is not None and job.request is not None:
        prompt_changes.note_dreamed(root.dreamzoom, job.request, job.level_seconds, job.pictures)
    if root is not None and job.import_when_done and job.status != "cancelling":
        importing.import_result(job)
    else:
        job.finish("done")


def take_up() -> None:
    """Let the jobs' rigs take what they missed: after an undo, or when a file has been opened."""
    for job in current_job.all_jobs():
        root = importing.rig_of(job)
        if root is None:
            continue
        importing.restore(job, root)
        if job.is_left and job.status == "done":
            _finish(job)


def _exported(result: dict[str, Any]) -> str:
    """What the server has written for viewers, in words."""
    name, count = Path(str(result.get("path") or "")).name, int(result.get("splats") or 0)
    before, after = (float(result.get(key) or 0.0) for key in ("before", "after"))
    told = iface_("{name}: {count} splats. Viewers show the flight to {after} dB; unchanged splats to {before} dB.")
    return told.format(name=name, count=f"{count:,}", after=f"{after:.1f}", before=f"{before:.1f}")

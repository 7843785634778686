"""Generate: captures a rig's scene, sends it to the server, and follows the server's progress to the result."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import bpy

from ..backend import current_job, error_messages, job_folders, launch, main_loop, readiness
from ..backend.client import Ended
from ..backend.connection import connection
from ..backend.current_job import Job
from ..core.errors import DreamzoomError
from ..core.protocol import error_codes, messages
from ..scene import prompt_changes
from ..scene.scene_capture import SceneCapture
from . import importing


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
    current_job.check_free()
    readiness.check()
    capture = SceneCapture(root, scene, view_layer, seconds)
    settings = root.dreamzoom
    job = Job(root.session_uid, Path(), settings.import_when_done, levels=len(settings.levels))
    job.prompts = prompt_changes.prompts_of(settings)
    if seconds < math.inf:
        job.work = capture
        main_loop.start(partial(_capture, job, capture))
    else:
        capture.run()
        _send(job, capture)
    current_job.replace(job)
    return job


def repair(root: bpy.types.Object) -> Job:
    """Have the server check all files of a rig's job and make again what is damaged; then import it.

    Raises:
        DreamzoomError: There is no job, or the server can't be started.
    """
    current_job.check_free()
    launch.command()
    folder = job_folders.of_rig(root)
    if folder is None:
        raise DreamzoomError("This rig has no job yet", "Press Generate first")
    job = Job(root.session_uid, folder, True, status="starting", levels=len(root.dreamzoom.levels))
    params = {"out": str(folder), "repair": True}
    job.request_id = connection.request(messages.VERIFY, params, partial(_receive, job))
    current_job.replace(job)
    return job


def cancel() -> None:
    """Stop the current job, at once or when the server has stopped. Finished steps are kept for the next job."""
    job = current_job.get()
    if job is None or not job.is_active:
        return
    if job.status in ("capturing", "importing"):
        job.finish("cancelled")
    else:
        job.status = "cancelling"
        connection.cancel(job.request_id)


def _capture(job: Job, capture: SceneCapture) -> float | None:
    """Capture the scene for a time slice; when it is complete, send the job to the server."""
    if job.work is not capture:
        return None  # cancelled
    try:
        is_done = capture.step()
        job.fraction = capture.fraction
        if is_done:
            job.work = None
            _send(job, capture)
    except DreamzoomError as error:
        job.finish("failed", error)
    main_loop.redraw()
    return None if job.work is None else main_loop.BREATH


def _send(job: Job, capture: SceneCapture) -> None:
    """Send the captured request to the server."""
    job.status, job.fraction, job.folder = "starting", 0.0, capture.folder
    params = {"request": capture.request, "out": str(capture.folder)}
    job.request_id = connection.request(messages.GENERATE, params, partial(_receive, job))


def _receive(job: Job, message: dict[str, Any] | Ended) -> None:
    """Take a message of the server for a job."""
    if not job.is_active:
        return
    if isinstance(message, Ended):
        job.finish("failed", error_messages.of_end(message, launch.log_file()))
    elif "method" in message:
        _take_notification(job, message["method"], message.get("params") or {})
    elif "error" in message:
        _take_error(job, message["error"])
    else:
        _take_result(job, message.get("result") or {})


def _take_notification(job: Job, method: str, params: dict[str, Any]) -> None:
    if method == messages.PROGRESS:
        _take_progress(job, params)
    elif method == messages.ARTIFACT and params.get("kind") in ("preview", "image"):
        job.preview = str(job.folder / params.get("path", ""))
    elif method == messages.LOG:
        text = str(params.get("message") or "")
        if params.get("level") in ("warning", "error"):
            job.warning = text
        else:
            job.note = text


def _take_progress(job: Job, params: dict[str, Any]) -> None:
    if job.status == "starting":
        job.status = "running"
    job.stage, job.level = params.get("stage", ""), params.get("level")
    job.levels = params.get("levels") or job.levels
    job.fraction = min(max(float(params.get("fraction") or 0.0), 0.0), 1.0)
    job.seconds_left = params.get("seconds_left")


def _take_error(job: Job, error: dict[str, Any]) -> None:
    if error.get("code") == error_codes.CANCELLED:
        job.finish("cancelled")
    else:
        job.finish("failed", error_messages.of_error(error))


def _take_result(job: Job, result: dict[str, Any]) -> None:
    """The server has finished: store the prompts with the rig, and import the result if the artist wants it."""
    job.seconds = float(result.get("seconds") or 0.0)
    root = importing.rig_of(job)
    if root is not None and job.prompts:
        root.dreamzoom.dreamed = job.prompts
    if root is not None and job.import_when_done and job.status != "cancelling":
        importing.import_result(job, root)
    else:
        job.finish("done")

"""Plan: each level's anchor camera, and the cameras on its flight that are checked for gaps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from core import fading
from core.camera import Camera
from dreamzoom.geometry import view_planning
from dreamzoom.geometry.view import View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.quality import QualitySettings
from dreamzoom.stages.base.stage import Inputs, Outputs, Scope, Stage, whole_job

GAPS_FROM = 1 - fading.CLOSES_FROM
"""A level's gaps can be visible up to this much zoom before u = k, where the coarser level begins to fade out."""

GAP_ROTATION = np.radians(6)
"""The camera rotation, in radians, after which other gaps may become visible."""
MAX_GAP_CAMERAS = 96
"""Maximum number of cameras per level that are checked for gaps."""


def overscan(path: ZoomPath, limits: QualitySettings) -> float:
    """The factor by which anchor views are wider than the camera: √p with a margin for camera rotation, limited by the
    quality.
    """
    return min(1.12 * float(np.sqrt(path.factor)), limits.overscan)


def anchor(path: ZoomPath, level: int, limits: QualitySettings) -> View:
    """A_k: the path's camera at u = k, widened by the overscan, in the frame of level k."""
    return view_planning.anchor(path, level, overscan(path, limits))


def anchor_in(context: Context, level: int, frame: int) -> Camera:
    """The camera of A_k in the frame of another level. In a loop both indices may run past the ends."""
    own = anchor(context.path, level % context.path.levels, context.quality).camera
    return own if level == frame else own.moved(context.path.between(level, frame))


def next_anchor(context: Context, level: int) -> Camera | None:
    """The camera of A_{k+1} in the frame of level k; None for the last level if the path is not a loop."""
    after = context.next_level(level)
    return None if after is None else anchor_in(context, after, level)


def gap_cameras(path: ZoomPath, level: int, limits: QualitySettings) -> list[Camera]:
    """The cameras on the flight, in the level's frame, for which the level's small gaps are filled."""
    cameras = _spread(path, level, limits)
    return cameras + _spread(path, path.levels, limits) if path.loop and level == 0 else cameras


def _spread(path: ZoomPath, level: int, limits: QualitySettings) -> list[Camera]:
    """Cameras while the flight passes a level once: as many as the quality says, more if the camera rotates."""
    cameras = [camera for _, camera in view_planning.along(path, level, 4 * MAX_GAP_CAMERAS, before=GAPS_FROM)]
    turns = [np.arccos(np.clip(a.rotation[:, 2] @ b.rotation[:, 2], -1, 1)) for a, b in zip(cameras, cameras[1:])]
    count = min(limits.places + round(sum(turns) / GAP_ROTATION), MAX_GAP_CAMERAS, len(cameras))
    return [cameras[n] for n in np.linspace(0, len(cameras) - 1, count).round().astype(int)]


def describe(camera: Camera) -> dict[str, Any]:
    """A camera as JSON values; `camera_to_frame` is 4×4, intrinsics are in pixels."""
    return {
        "size": [camera.width, camera.height],
        "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
        "camera_to_frame": camera.camera_to_frame.tolist(),
    }


def _parameters(context: Context, scope: Scope) -> dict[str, Any]:
    anchors = [anchor(context.path, level, context.quality) for level in scope.levels]
    return {
        "quality": context.request.quality,
        "settings": asdict(context.quality),
        "zoom_factor": context.path.factor,
        "anchors": [{"name": view.name} | describe(view.camera) for view in anchors],
    }


def _run(inputs: Inputs, parameters: dict[str, Any], report: Report) -> Outputs:
    return {"plan": parameters}


PLAN = Stage(
    name="plan",
    version=1,
    reads={},
    writes={"plan": layout.PLAN},
    parameters=_parameters,
    run=_run,
    shown_as="plan",
    scopes=whole_job,
    weight=0.01,
)

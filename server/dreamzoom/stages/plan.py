"""Plan: what the request's quality means, and the cameras that will be dreamed. Values only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import fading
from core.camera import Camera
from dreamzoom.engines.base import View
from dreamzoom.geometry import views
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.wire import Request


@dataclass(frozen=True)
class Settings:
    """What a quality stands for.

    Attributes:
        overscan: The most by which an anchor view is wider than the camera. At √p level k+1 fills the screen from
            u = k+½ on; until then level k is magnified around it.
        side_views: The most side views per level for small holes; fewer where fewer show holes. Holes of more than
            `LARGE_HOLE` get theirs whatever the quality: a camera that turns away must not fly into nothing.
        hole_share: A side view is dreamed only where more than this share of its picture would be a hole.
        iterations: Of the splat fit. With more than about 50 a view it learns these by heart and gets worse in others.
        supports: Extra views of the cloud that the fit has to close, beside those half-way to the side views.
        cap: The most splats of one level, before its gaps are closed.
        points: The most points of one level.
        places: The most places of a level's flight from which its small gaps are closed.
    """

    overscan: float
    side_views: int
    hole_share: float
    iterations: int
    supports: int
    cap: int
    points: int
    places: int


LARGE_HOLE = 0.04
"""The share of a picture from which a hole is large."""

GAPS_FROM = 1 - fading.CLOSES_FROM
"""How long before its level, in zoom, a place can be at which its gaps show: there the level above begins to close."""

TURN = np.radians(6)
"""A camera that turns by this shows other gaps."""
MOST_PLACES = 96
"""From more places than these gaps are never looked for."""

QUALITIES = {
    "draft": Settings(
        overscan=1.6, side_views=1, hole_share=0.0005, iterations=5, supports=0, cap=400_000, points=600_000, places=16
    ),
    "preview": Settings(
        overscan=1.6,
        side_views=2,
        hole_share=0.0005,
        iterations=50,
        supports=2,
        cap=500_000,
        points=1_000_000,
        places=24,
    ),
    "final": Settings(
        overscan=2.0,
        side_views=4,
        hole_share=0.0005,
        iterations=300,
        supports=4,
        cap=3_000_000,
        points=6_000_000,
        places=48,
    ),
}


def settings(request: Request) -> Settings:
    """The settings of the request's quality."""
    return QUALITIES[request.quality]


def overscan(path: ZoomPath, limits: Settings) -> float:
    """By how much anchor views are wider than the camera: √p, and a margin for a camera that turns on its way."""
    return min(1.12 * float(np.sqrt(path.factor)), limits.overscan)


def anchor(path: ZoomPath, level: int, limits: Settings) -> View:
    """A_k: the path's camera at u = k, widened by the overscan, in the frame of level k."""
    return views.anchor(path, level, overscan(path, limits))


def next_anchor(path: ZoomPath, level: int, limits: Settings) -> Camera | None:
    """A_{k+1} seen from the frame of level k; None for the last level of what is no loop."""
    if level + 1 == path.levels and not path.loop:
        return None
    return anchor(path, (level + 1) % path.levels, limits).camera.moved(path.between(level + 1, level))


def gap_cameras(path: ZoomPath, level: int, limits: Settings) -> list[Camera]:
    """The cameras of the flight, in the level's frame, for which its small gaps are closed."""
    cameras = _spread(path, level, limits)
    return cameras + _spread(path, path.levels, limits) if path.loop and level == 0 else cameras


def _spread(path: ZoomPath, level: int, limits: Settings) -> list[Camera]:
    """Those about one coming of a level: as many as the quality says, and more where the camera turns."""
    cameras = [camera for _, camera in views.along(path, level, 4 * MOST_PLACES, before=GAPS_FROM)]
    turns = [np.arccos(np.clip(a.rotation[:, 2] @ b.rotation[:, 2], -1, 1)) for a, b in zip(cameras, cameras[1:])]
    count = min(limits.places + round(sum(turns) / TURN), MOST_PLACES, len(cameras))
    return [cameras[n] for n in np.linspace(0, len(cameras) - 1, count).round().astype(int)]


def describe(camera: Camera) -> dict:
    """A camera as JSON, for digests and plan.json."""
    return {
        "size": [camera.width, camera.height],
        "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
        "camera_to_frame": camera.camera_to_frame.tolist(),
    }

"""Where the camera may go: the views from which a rig's levels were dreamed, and how far another view is from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from . import cameras, keyframes
from .lookup import ORBIT, ZOOM

DREAMED_PATH = "dreamzoom_dreamed_path"
"""Custom property of the root: zoom and camera position of the dreamed views, as JSON."""

MAX_VIEWS = 240
"""So many views of a path are remembered, evenly chosen."""

FAR = math.radians(15)
"""So far about the focus the camera may leave the dreamed path. Of a draft of six levels the holes cover nothing of the
picture up to there, 0.2 % on the average at 20° (1.2 % at most) and 3.5 % at 25° (14 %).
"""

NEAR_SHARE = 1.35
"""By so much the distance from the focus may differ from that of the dreamed path."""


@dataclass(frozen=True)
class Deviation:
    """How far a view is from what was dreamed.

    Attributes:
        angle: About the focus, in radians, from the dreamed camera at the same zoom.
        closer: How many times closer to the focus than that camera; below 1 if it is farther away.
    """

    angle: float
    closer: float

    @property
    def is_covered(self) -> bool:
        """Whether what is seen from there was dreamed."""
        return self.angle <= FAR and 1 / NEAR_SHARE <= self.closer <= NEAR_SHARE


def remember(root: bpy.types.Object, keys: Sequence[Mapping[str, Any]]) -> None:
    """Store the cameras of a job with its rig.

    Args:
        root: The rig.
        keys: `cameras` of a request or a result; entries that are damaged are left out.
    """
    chosen = keys[:: max(1, math.ceil(len(keys) / MAX_VIEWS))]
    views = []
    for key in chosen:
        try:
            pose = np.array(key["camera_to_gauge"], np.float64)
            view = [float(key["zoom"]), *pose[:3, 3].tolist()]
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if np.isfinite(view).all():
            views.append([round(value, 5) for value in view])
    root[DREAMED_PATH] = json.dumps(sorted(views))


def dreamed_path(root: bpy.types.Object) -> np.ndarray:
    """The dreamed views: (N, 4) float64, zoom and camera position in the gauge, by zoom; N is 0 before a dream."""
    try:
        return np.array(json.loads(root.get(DREAMED_PATH, "[]")), np.float64).reshape(-1, 4)
    except (ValueError, TypeError):
        return np.zeros((0, 4))


def position_at(path: np.ndarray, zoom: float) -> np.ndarray:
    """The dreamed camera's position (3,) in the gauge at a zoom, between the views of a path."""
    return np.array([np.interp(zoom, path[:, 0], path[:, axis]) for axis in (1, 2, 3)])


def deviation(root: bpy.types.Object, camera: bpy.types.Object) -> Deviation | None:
    """How far the rig's camera is from the dreamed path as it stands now; None before a dream.

    Args:
        root: The rig, evaluated or not.
        camera: Its camera, likewise.
    """
    path = dreamed_path(root.original)  # an evaluated copy may be older than the property
    if not len(path):
        return None
    pose = cameras.pose_in_gauge(np.array(camera.matrix_world), np.array(root.matrix_world))
    here, there = pose[:3, 3], position_at(path, float(root.get(ZOOM[2:-2], 0.0)))
    lengths = float(np.linalg.norm(here)), float(np.linalg.norm(there))
    if min(lengths) < 1e-6:
        return Deviation(math.pi, math.inf)
    cosine = float(here @ there) / (lengths[0] * lengths[1])
    return Deviation(math.acos(min(max(cosine, -1.0), 1.0)), lengths[1] / lengths[0])


def flight_stamp(scene: bpy.types.Scene, root: bpy.types.Object) -> str:
    """A digest of what the views of a flight and of its dream depend on: where it differs from an earlier one, what was
    found out about that flight is no longer known.
    """
    told: list[Any] = [scene.frame_start, scene.frame_end, root.get(DREAMED_PATH), root.dreamzoom.zoom_factor]
    owner = root.dreamzoom.camera
    chain = [root]
    while owner is not None and owner != root:
        chain.append(owner)
        owner = owner.parent
    for owner in chain:
        curves = keyframes.curves_of(owner)
        for curve in curves:
            points = np.empty(2 * len(curve.keyframe_points), np.float32)
            curve.keyframe_points.foreach_get("co", points)
            told.append((curve.data_path, curve.array_index, points.tobytes()))
        is_driven = bool(owner.animation_data and owner.animation_data.drivers)
        if not curves and not is_driven:
            told.append([round(value, 5) for row in owner.matrix_basis for value in row])
    if keyframes.curve_of(root, ORBIT) is None:
        told.append(root.get(ORBIT[2:-2]))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def allowed_ring(path: np.ndarray, zoom: float, count: int = 48) -> np.ndarray:
    """The border of where the camera may be at a zoom: (count, 3) in the gauge, a circle about the dreamed position."""
    centre = position_at(path, zoom)
    distance = np.linalg.norm(centre)
    along = centre / max(distance, 1e-9)
    side = np.cross(along, (0.0, 0.0, 1.0) if abs(along[2]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    turns = np.linspace(0, math.tau, count, endpoint=False)[:, None]
    around = np.cos(turns) * side + np.sin(turns) * np.cross(along, side)
    return distance * (math.cos(FAR) * along + math.sin(FAR) * around)

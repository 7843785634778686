"""What the readers and writers of camera files have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..camera import Camera
from ..errors import CameraFileError

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenCV's camera axes to OpenGL's (x right, y up, z back), and back."""

ORTHOGONAL = 1e-2
"""How far from a rotation the matrix of a pose may be; it is then replaced by the nearest one."""


@dataclass(frozen=True)
class NamedCamera:
    """A camera and the name of its picture, "frame_00001.png"."""

    name: str
    camera: Camera


@dataclass(frozen=True)
class CameraPath:
    """The cameras of a file.

    Attributes:
        cameras: In order.
        frames: Their frame numbers; empty where their names tell none.
        kind: One of `KINDS`.
        notes: What was left out or assumed, one line each.
    """

    cameras: Sequence[NamedCamera]
    frames: Sequence[int]
    kind: str
    notes: Sequence[str] = field(default_factory=tuple)


def pose_of(rotation: np.ndarray, centre: np.ndarray, name: str) -> np.ndarray:
    """A pose (4, 4) of a rotation (3, 3) that may be slightly off or scaled, and a centre (3,).

    Raises:
        CameraFileError: The matrix is no rotation; the message names the camera.
    """
    if not (np.isfinite(rotation).all() and np.isfinite(centre).all()) or np.abs(centre).max() > 1e9:
        raise CameraFileError(f"The pose of {name[:80]} has numbers that are not finite, or absurd")
    volume = np.linalg.det(rotation)
    unit = rotation / np.cbrt(volume) if volume > 1e-12 else rotation
    if volume <= 1e-12 or np.abs(unit @ unit.T - np.eye(3)).max() > ORTHOGONAL:
        raise CameraFileError(f"The pose of {name[:80]} is no rotation and shift: it is sheared or mirrored")
    left, _, right = np.linalg.svd(unit)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = left @ right, centre
    return pose


def checked_camera(width: float, height: float, lens: Sequence[float], pose: np.ndarray, name: str) -> Camera:
    """A camera of a file with the lens (fx, fy, cx, cy). Raises CameraFileError for absurd sizes or focal lengths."""
    fx, fy, cx, cy = (float(value) for value in lens)
    usable = 1 <= width <= 65_535 and 1 <= height <= 65_535 and 1e-3 < fx < 1e7 and 1e-3 < fy < 1e7
    if not usable or not abs(cx) < 1e7 or not abs(cy) < 1e7:
        raise CameraFileError(f"The lens of {name[:80]} is absurd: {width:g}×{height:g}, fx {fx:g}, fy {fy:g}")
    return Camera(int(width), int(height), fx, fy, cx, cy, pose)

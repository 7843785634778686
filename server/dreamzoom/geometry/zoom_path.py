"""The artist's path: keyed cameras in the gauge, and where the camera is at any zoom or frame. All in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import fading
from core.camera import Camera
from core.level_frames import LevelFrames


@dataclass(frozen=True)
class Key:
    """One keyed camera: a frame of the animation, the zoom there, and the camera in the gauge."""

    frame: int
    zoom: float
    camera: Camera


@dataclass(frozen=True)
class ZoomPath(LevelFrames):
    """The artist's path.

    Attributes:
        factor, focuses, loop: The frames of the levels.
        keys: Ordered by frame.
    """

    keys: tuple[Key, ...]

    def key_at(self, zoom: float) -> Key:
        """The first moment at which the path is at `zoom`, between keys; the nearest key where it never is."""
        for before, after in zip(self.keys, self.keys[1:]):
            low, high = sorted((before.zoom, after.zoom))
            if low <= zoom <= high and low < high:
                return Key(
                    before.frame, zoom, _between(before, after, (zoom - before.zoom) / (after.zoom - before.zoom))
                )
        nearest = min(self.keys, key=lambda key: abs(key.zoom - zoom))
        return Key(nearest.frame, zoom, nearest.camera)

    def at_frame(self, frame: float) -> Key:
        """The path at a frame, interpolated between keys and held outside them."""
        frame = min(max(frame, self.keys[0].frame), self.keys[-1].frame)
        after = next(index for index, key in enumerate(self.keys) if key.frame >= frame)
        if self.keys[after].frame == frame:
            return self.keys[after]
        a, b = self.keys[after - 1], self.keys[after]
        t = (frame - a.frame) / (b.frame - a.frame)
        return Key(round(frame), (1 - t) * a.zoom + t * b.zoom, _between(a, b, t))

    def camera(self, zoom: float, level: int) -> Camera:
        """The path's camera at `zoom`, in the frame of `level`."""
        return self.key_at(zoom).camera.moved(self.gauge(zoom, level))

    def opacity(self, zoom: float, level: int, superseded: bool = False) -> float:
        """How opaque `level` is at `zoom`, or the part of it that the next level shows more finely (`core.fading`)."""
        return fading.opacity(level, zoom, superseded, first=level == 0 and not self.loop)


def _between(before: Key, after: Key, t: float) -> Camera:
    """The camera a share `t` of the way between two keys: slerp of the rotation, lerp of all else."""
    from scipy.spatial.transform import Rotation, Slerp

    a, b = before.camera, after.camera
    pose = np.eye(4)
    rotations = Rotation.from_matrix(np.stack([a.rotation, b.rotation]))
    pose[:3, :3] = Slerp([0, 1], rotations)(t).as_matrix()
    pose[:3, 3] = (1 - t) * a.centre + t * b.centre
    fx, fy, cx, cy = ((1 - t) * getattr(a, name) + t * getattr(b, name) for name in ("fx", "fy", "cx", "cy"))
    return Camera(a.width, a.height, fx, fy, cx, cy, pose)

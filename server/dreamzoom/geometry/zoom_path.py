"""The camera path of a flight: keyed cameras in the gauge, interpolated at any zoom or frame. All in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core import fading
from core.camera import Camera
from core.level_frames import LevelFrames


@dataclass(frozen=True)
class Key:
    """One keyed camera.

    Attributes:
        frame: Frame number of the animation.
        zoom: u at that frame.
        camera: In the gauge at that zoom.
        skew: K[0][1] of the camera in pixels, 0 unless it is sheared. The dream does not need it, since its pictures
            may be any that cover the view; frames are rendered with it (`render.flight`).
    """

    frame: int
    zoom: float
    camera: Camera
    skew: float = 0.0


@dataclass(frozen=True)
class ZoomPath(LevelFrames):
    """The camera path through the levels.

    Attributes:
        factor, focuses, loop: As in `LevelFrames`.
        keys: Ordered by frame.
    """

    keys: tuple[Key, ...]

    def key_at(self, zoom: float) -> Key:
        """The path where it first reaches `zoom`, interpolated between keys; the nearest key if it never does."""
        for before, after in zip(self.keys, self.keys[1:]):
            low, high = sorted((before.zoom, after.zoom))
            if low <= zoom <= high and low < high:
                t = (zoom - before.zoom) / (after.zoom - before.zoom)
                return Key(before.frame, zoom, _between(before, after, t), _mixed(before.skew, after.skew, t))
        nearest = min(self.keys, key=lambda key: abs(key.zoom - zoom))
        return Key(nearest.frame, zoom, nearest.camera, nearest.skew)

    def at_frame(self, frame: float) -> Key:
        """The path at a frame, interpolated between keys; constant before the first and after the last."""
        frame = min(max(frame, self.keys[0].frame), self.keys[-1].frame)
        after = next(index for index, key in enumerate(self.keys) if key.frame >= frame)
        if self.keys[after].frame == frame:
            return self.keys[after]
        a, b = self.keys[after - 1], self.keys[after]
        t = (frame - a.frame) / (b.frame - a.frame)
        return Key(round(frame), _mixed(a.zoom, b.zoom, t), _between(a, b, t), _mixed(a.skew, b.skew, t))

    def camera(self, zoom: float, level: int) -> Camera:
        """The path's camera at `zoom`, in the frame of `level`."""
        return self.key_at(zoom).camera.moved(self.gauge(zoom, level))

    def opacity(self, zoom: float, level: int, superseded: bool = False) -> float:
        """The opacity, 0 to 1, of `level` at `zoom`, or of its superseded part (`core.fading`)."""
        return fading.opacity(level, zoom, superseded, first=level == 0 and not self.loop)


def _mixed(a: float, b: float, t: float) -> float:
    return (1 - t) * a + t * b


def _between(before: Key, after: Key, t: float) -> Camera:
    """The camera at fraction `t` between two keys: slerp of the rotation, linear interpolation of all else."""
    from scipy.spatial.transform import Rotation, Slerp

    a, b = before.camera, after.camera
    pose = np.eye(4)
    rotations = Rotation.from_matrix(np.stack([a.rotation, b.rotation]))
    pose[:3, :3] = Slerp([0, 1], rotations)(t).as_matrix()
    pose[:3, 3] = (1 - t) * a.centre + t * b.centre
    fx, fy, cx, cy = (_mixed(getattr(a, name), getattr(b, name), t) for name in ("fx", "fy", "cx", "cy"))
    return Camera(a.width, a.height, fx, fy, cx, cy, pose)

"""Zoom, levels and frames: where the camera is at a zoom u, in the gauge and in each level's frame. All in float64.

The frame of level k+1 is a similarity of its parent's: X_{k+1} = p · (X_k − c_k), where p is the zoom factor and c_k
the focus of level k (zero for a straight zoom). The gauge at zoom u, with k = floor(u) clamped to the levels and
t = u − k, is X_g = p^t · (X_k − o_k(t)) with o_k(t) = c_k · (1 − p^−t) / (1 − p^−1): a pure zoom about the point that
stays fixed between the two frames, so that a drifting focus moves at constant apparent speed too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core import fading
from core.camera import Camera, Similarity


@dataclass(frozen=True)
class Key:
    """One keyed camera: a frame of the animation, the zoom there, and the camera in the gauge."""

    frame: int
    zoom: float
    camera: Camera


@dataclass(frozen=True)
class ZoomPath:
    """The artist's path.

    Attributes:
        factor: p > 1, how much larger the world appears per unit of zoom.
        focuses: (N, 3) float64; row k is c_k, the focus of level k's child in level k's frame.
        keys: Ordered by frame.
        loop: After the last level comes the first again: level k is level k mod N, for any whole k.
    """

    factor: float
    focuses: np.ndarray
    keys: tuple[Key, ...]
    loop: bool = False

    @property
    def levels(self) -> int:
        """N, the count of levels."""
        return len(self.focuses)

    def gauge(self, zoom: float, level: int) -> Similarity:
        """From the gauge at `zoom` to the frame of `level`."""
        base = math.floor(zoom) if self.loop else min(max(math.floor(zoom), 0), self.levels - 1)
        part = zoom - base
        p = self.factor
        drift = self.focuses[base % self.levels] * ((1 - p**-part) / (1 - 1 / p))
        to_base = Similarity(p**-part, -(p**part) * drift)
        return to_base.then(self.between(base, level))

    def between(self, source: int, target: int) -> Similarity:
        """From the frame of level `source` to the frame of level `target`."""
        if source > target:
            return self.between(target, source).inverse()
        step = Similarity(1.0, np.zeros(3))
        for level in range(source, target):
            step = step.then(Similarity(self.factor, self.focuses[level % self.levels]))
        return step

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

"""Pinhole cameras in float64: OpenCV axes (x right, y down, z forward), pixel centres at +0.5, depth is z-depth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """X' = scale · (X − offset): from one frame to another that differs by a zoom and a shift, never by a rotation."""

    scale: float
    offset: np.ndarray  # (3,) float64, in the source frame's units

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the source frame, in the target frame; float64."""
        return self.scale * (np.asarray(points, np.float64) - self.offset)

    def inverse(self) -> Similarity:
        """The way back."""
        return Similarity(1 / self.scale, -self.scale * self.offset)

    def then(self, after: Similarity) -> Similarity:
        """First this one, then `after`."""
        return Similarity(self.scale * after.scale, self.offset + after.offset / self.scale)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera placed in some frame (which one, the holder says).

    Attributes:
        width, height: Size in pixels.
        fx, fy, cx, cy: Intrinsics in pixels; the pixel in row i, column j has its centre at (j + 0.5, i + 0.5).
        camera_to_frame: (4, 4) float64, rigid; columns are the camera's right, down, forward and centre.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    camera_to_frame: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """The camera's centre (3,) in its frame."""
        return self.camera_to_frame[:3, 3]

    @property
    def rotation(self) -> np.ndarray:
        """Camera axes to frame axes, (3, 3)."""
        return self.camera_to_frame[:3, :3]

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the frame in camera axes, float64."""
        return (np.asarray(points, np.float64) - self.centre) @ self.rotation

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) to pixel coordinates (..., 2) and z-depth (...). Behind the camera the depth is negative."""
        x, y, z = np.moveaxis(self.to_camera(points), -1, 0)
        safe = np.where(np.abs(z) < 1e-12, 1e-12, z)
        return np.stack([self.fx * x / safe + self.cx, self.fy * y / safe + self.cy], -1), z

    def rays(self) -> np.ndarray:
        """One ray a pixel, (H, W, 3) in frame axes, with z-depth 1: centre + depth · ray is the point at that depth."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        directions = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.ones((1, 1))), -1)
        return directions @ self.rotation.T

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """Z-depth (H, W) to points (H, W, 3) of the frame, float64."""
        return self.centre + np.asarray(depth, np.float64)[..., None] * self.rays()

    def moved(self, similarity: Similarity) -> Camera:
        """The same camera seen from another frame: its picture stays, its depths scale with `similarity.scale`."""
        pose = self.camera_to_frame.copy()
        pose[:3, 3] = similarity.apply(self.centre)
        return replace(self, camera_to_frame=pose)

    def resized(self, width: int, height: int) -> Camera:
        """The same view in other pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def widened(self, factor: float) -> Camera:
        """More to see at the same pixel size: the picture grows by `factor` on all sides about its middle."""
        width, height = (2 * round(size * factor / 2) for size in (self.width, self.height))
        dx, dy = (width - self.width) / 2, (height - self.height) / 2
        return replace(self, width=width, height=height, cx=self.cx + dx, cy=self.cy + dy)


def look_at(centre, target, up=(0.0, 0.0, 1.0)) -> np.ndarray:
    """The pose (4, 4) of a camera at `centre` that looks at `target` with `up` upwards in the picture."""
    centre, target, up = (np.asarray(v, np.float64) for v in (centre, target, up))
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(forward, (0.0, 1.0, 0.0) if abs(forward[1]) < 0.9 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(forward, right), forward, centre], 1)
    return pose

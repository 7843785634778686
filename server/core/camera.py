"""Pinhole cameras in float64.

Axes are OpenCV's (x right, y down, z forward), pixel centres lie at +0.5, and depth is z-depth. Lengths are in the
units of the frame that the camera is placed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """A change of frame without rotation: X' = scale · (X − offset).

    Attributes:
        scale: Units of the target frame per unit of the source frame.
        offset: (3,) float64, in the source frame's units; the origin of the target frame.
    """

    scale: float
    offset: np.ndarray  # (3,) float64, in the source frame's units

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform points (..., 3) from the source frame to the target frame; float64."""
        return self.scale * (np.asarray(points, np.float64) - self.offset)

    def inverse(self) -> Similarity:
        """The similarity from the target frame to the source frame."""
        return Similarity(1 / self.scale, -self.scale * self.offset)

    def then(self, after: Similarity) -> Similarity:
        """The composition that applies this similarity first and `after` second."""
        return Similarity(self.scale * after.scale, self.offset + after.offset / self.scale)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera placed in a frame; the object that stores the camera documents which frame.

    Attributes:
        width, height: Image size in pixels.
        fx, fy, cx, cy: Intrinsics in pixels; the pixel in row i, column j has its centre at (j + 0.5, i + 0.5).
        camera_to_frame: (4, 4) float64, rigid; its columns are the camera's right, down and forward axes and centre.
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
        """The rotation (3, 3) from camera axes to frame axes."""
        return self.camera_to_frame[:3, :3]

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform points (..., 3) from the frame to camera coordinates; float64."""
        return (np.asarray(points, np.float64) - self.centre) @ self.rotation

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points (..., 3) of the frame to pixel coordinates (..., 2) (x, y) and z-depth (...).

        Points behind the camera have negative depth.
        """
        x, y, z = np.moveaxis(self.to_camera(points), -1, 0)
        safe = np.where(np.abs(z) < 1e-12, 1e-12, z)
        return np.stack([self.fx * x / safe + self.cx, self.fy * y / safe + self.cy], -1), z

    def rays(self) -> np.ndarray:
        """Rays (H, W, 3) through the pixel centres, in frame axes, with z-depth 1.

        centre + depth · ray is the point at that z-depth.
        """
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        directions = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.ones((1, 1))), -1)
        return directions @ self.rotation.T

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """Unproject z-depth (H, W) to points (H, W, 3) of the frame; float64."""
        return self.centre + np.asarray(depth, np.float64)[..., None] * self.rays()

    def moved(self, similarity: Similarity) -> Camera:
        """The same camera expressed in another frame: its image is unchanged, depths scale by `similarity.scale`."""
        pose = self.camera_to_frame.copy()
        pose[:3, 3] = similarity.apply(self.centre)
        return replace(self, camera_to_frame=pose)

    def posed(self, camera_to_frame: np.ndarray) -> Camera:
        """The same lens in another pose (4, 4)."""
        return replace(self, camera_to_frame=camera_to_frame)

    def resized(self, width: int, height: int) -> Camera:
        """The same field of view at another resolution, in pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def widened(self, factor: float) -> Camera:
        """A wider field of view at the same focal length: the image size is multiplied by `factor` about its middle.

        Width and height are rounded to even numbers of pixels.
        """
        width, height = (2 * round(size * factor / 2) for size in (self.width, self.height))
        dx, dy = (width - self.width) / 2, (height - self.height) / 2
        return replace(self, width=width, height=height, cx=self.cx + dx, cy=self.cy + dy)


def look_at(centre, target, up=(0.0, 0.0, 1.0)) -> np.ndarray:
    """The camera_to_frame matrix (4, 4) of a camera at `centre` that looks at `target`.

    Args:
        centre, target: Points (3,) of the frame.
        up: Direction (3,) of the frame that points upwards in the image.
    """
    centre, target, up = (np.asarray(v, np.float64) for v in (centre, target, up))
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(forward, (0.0, 1.0, 0.0) if abs(forward[1]) < 0.9 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(forward, right), forward, centre], 1)
    return pose

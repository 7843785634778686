"""Conversion between Blender's cameras and the server's.

Blender: x right, y up, -z forward; lens in millimetres, sensor fit, shift, pixel aspect. Server (OpenCV): x right,
y down, z forward; focal lengths and centre in pixels, pixel (row i, column j) has its centre at (j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import DreamzoomError

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the server's camera axes to Blender's, and back."""


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and principal point, in pixels of a picture of `width` × `height`."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


def picture_size(render: bpy.types.RenderSettings, longest: int) -> tuple[int, int]:
    """Even width and height of a picture with the render's aspect ratio whose longer side has `longest` pixels."""
    width, height = render.resolution_x, render.resolution_y
    scale = longest / max(width, height)
    return max(16, 2 * round(width * scale / 2)), max(16, 2 * round(height * scale / 2))


def intrinsics_of(camera: bpy.types.Camera, render: bpy.types.RenderSettings, width: int, height: int) -> Intrinsics:
    """The camera's intrinsics for its view in `width` × `height` pixels.

    Raises:
        DreamzoomError: The camera is not a perspective one.
    """
    if camera.type != "PERSP":
        raise DreamzoomError(
            f"The camera “{camera.name}” is not a perspective one", "Set its type to Perspective in the Camera tab"
        )
    columns, rows = render.resolution_x, render.resolution_y
    ratio = render.pixel_aspect_y / render.pixel_aspect_x
    fit = _sensor_fit(camera, columns, rows * ratio)
    sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    across = columns if fit == "HORIZONTAL" else rows * ratio  # the fitted side, in units of a pixel's width
    focal = camera.lens / sensor * across
    cx = columns / 2 - camera.shift_x * across
    cy = rows / 2 + camera.shift_y * across / ratio
    sx, sy = width / columns, height / rows
    return Intrinsics(width, height, focal * sx, focal / ratio * sy, cx * sx, cy * sy)


def set_intrinsics(camera: bpy.types.Camera, render: bpy.types.RenderSettings, view: Intrinsics) -> None:
    """Make the camera and the render show exactly this view; the sensor and its fit are kept."""
    camera.type = "PERSP"
    render.resolution_x, render.resolution_y, render.resolution_percentage = view.width, view.height, 100
    ratio = view.fx / view.fy
    render.pixel_aspect_x, render.pixel_aspect_y = max(1.0, 1 / ratio), max(1.0, ratio)
    fit = _sensor_fit(camera, view.width, view.height * ratio)
    sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    across = view.width if fit == "HORIZONTAL" else view.height * ratio
    camera.lens = view.fx * sensor / across
    camera.shift_x = (view.width / 2 - view.cx) / across
    camera.shift_y = (view.cy - view.height / 2) * ratio / across


def pose_in_gauge(camera_world: np.ndarray, rig_world: np.ndarray) -> np.ndarray:
    """Pose in the gauge of a camera with the server's axes, (4, 4) float64, rigid.

    Args:
        camera_world: (4, 4), Blender camera to world; its scale is ignored, as in a render.
        rig_world: (4, 4), rig to world; its rotation and uniform scale are those of the gauge.

    Raises:
        DreamzoomError: The rig is scaled differently along its axes, sheared or mirrored.
    """
    rig = np.array(rig_world, np.float64)
    scale = np.cbrt(np.linalg.det(rig[:3, :3]))
    if scale <= 1e-12 or not np.allclose(rig[:3, :3].T @ rig[:3, :3], scale**2 * np.eye(3), atol=1e-4 * scale**2):
        raise DreamzoomError("The rig's scale differs between its axes", "Give the rig one scale on all three axes")
    pose = np.linalg.inv(rig) @ np.array(camera_world, np.float64) @ FLIP
    left, _, right = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = left @ right  # the nearest rotation: removes rounding errors and the camera's scale
    if np.linalg.det(pose[:3, :3]) < 0:
        raise DreamzoomError("The camera is mirrored by its own or a parent's scale", "Make all its scales positive")
    return pose


def camera_world(pose: np.ndarray, rig_world: np.ndarray) -> np.ndarray:
    """The inverse of `pose_in_gauge`: the world matrix (4, 4) of a Blender camera, without scale."""
    world = np.array(rig_world, np.float64) @ np.asarray(pose, np.float64) @ FLIP
    world[:3, :3] /= np.linalg.norm(world[:3, :3], axis=0)
    return world


def _sensor_fit(camera: bpy.types.Camera, width: float, height: float) -> str:
    """The side along which the sensor's size is measured, as Blender resolves AUTO."""
    if camera.sensor_fit != "AUTO":
        return camera.sensor_fit
    return "HORIZONTAL" if width >= height else "VERTICAL"

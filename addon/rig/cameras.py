"""Conversion between Blender's cameras and the server's.

Blender: x right, y up, -z forward; lens in millimetres, sensor fit, shift, pixel aspect. Server (OpenCV): x right,
y down, z forward; focal lengths and centre in pixels, pixel (row i, column j) has its centre at (j + 0.5, i + 0.5).

An unevenly scaled parent shears a camera. Blender's renderers then normalise the columns of its world matrix and invert
what they get, so the camera's axes are not orthogonal. `seen_in_gauge` expresses the same picture by a rigid pose and
other intrinsics, which may have a skew.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import DreamzoomError

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the server's camera axes to Blender's, and back."""

ORTHOGONAL = 2e-6
"""Cosines of the angles between a camera's axes below this are rounding errors: 0.004 pixels in 2,000."""


@dataclass(frozen=True)
class Intrinsics:
    """The intrinsics K = ((fx, skew, cx), (0, fy, cy), (0, 0, 1)), in pixels of a picture of `width` × `height`."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    skew: float = 0.0

    @property
    def matrix(self) -> np.ndarray:
        """K, (3, 3) float64."""
        return np.array([[self.fx, self.skew, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)


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
    for name, value in lens_of(camera, render, view).items():
        setattr(camera, name, value)


def lens_of(camera: bpy.types.Camera, render: bpy.types.RenderSettings, view: Intrinsics) -> dict[str, float]:
    """The lens, shift and sensor with which `camera`, with its present sensor and fit, shows a view.

    Args:
        camera: Whose sensor is used.
        render: The scene's, with the view's aspect and pixel aspect.
        view: What is to be shown.
    """
    sx = view.width / render.resolution_x
    ratio = render.pixel_aspect_y / render.pixel_aspect_x
    fit = _sensor_fit(camera, render.resolution_x, render.resolution_y * ratio)
    sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    across = sx * (render.resolution_x if fit == "HORIZONTAL" else render.resolution_y * ratio)
    return {
        "lens": view.fx * sensor / across,
        "shift_x": (view.width / 2 - view.cx) / across,
        "shift_y": (view.cy - view.height / 2) * (view.fx / view.fy) / across,
        "sensor_width": camera.sensor_width,
        "sensor_height": camera.sensor_height,
    }


def pose_in_gauge(camera_world: np.ndarray, rig_world: np.ndarray) -> np.ndarray:
    """Pose in the gauge of a camera with the server's axes, (4, 4) float64, rigid.

    Args:
        camera_world: (4, 4), Blender camera to world; its scale is ignored, as in a render.
        rig_world: (4, 4), rig to world; its rotation and uniform scale are those of the gauge.

    Raises:
        DreamzoomError: The rig is scaled differently along its axes, sheared or mirrored, or the camera is sheared,
            flattened or mirrored.
    """
    pose = axes_in_gauge(camera_world, rig_world)
    if not is_rigid(pose[:3, :3]):
        raise DreamzoomError(
            "The camera is sheared by a parent's uneven scale", "Apply the scale of the camera's parent (Ctrl A, Scale)"
        )
    pose[:3, :3] = _nearest_rotation(pose[:3, :3])
    return pose


def seen_in_gauge(view: Intrinsics, camera_world: np.ndarray, rig_world: np.ndarray) -> tuple[Intrinsics, np.ndarray]:
    """The picture of a camera, which may be sheared by its parents, as that of a rigid camera.

    Blender shows P = K M⁻¹, where M has the camera's axes as columns. The RQ decomposition P ~ K' R, R a rotation,
    gives the same picture (Hartley and Zisserman, Multiple View Geometry, section 6.2.4).

    Args:
        view: The camera's own intrinsics K.
        camera_world, rig_world: As in `pose_in_gauge`.

    Returns:
        The intrinsics K', and the pose (4, 4) float64, rigid, with the server's axes.

    Raises:
        DreamzoomError: As in `pose_in_gauge`, but a sheared camera is allowed.
    """
    pose = axes_in_gauge(camera_world, rig_world)
    if is_rigid(pose[:3, :3]):
        pose[:3, :3] = _nearest_rotation(pose[:3, :3])
        return view, pose
    turn, upper = np.linalg.qr(pose[:3, :3] @ np.linalg.inv(view.matrix))  # = R⁻¹ K'⁻¹ up to the signs of the columns
    signs = np.sign(np.diag(upper))
    pose[:3, :3] = turn * signs
    found = np.linalg.inv(signs[:, None] * upper)
    (fx, skew, cx), (_, fy, cy), _ = (found / found[2, 2]).tolist()
    return Intrinsics(view.width, view.height, fx, fy, cx, cy, skew), pose


def axes_in_gauge(camera_world: np.ndarray, rig_world: np.ndarray) -> np.ndarray:
    """The camera's axes as Blender renders them, (4, 4) float64: unit columns, not orthogonal if it is sheared.

    Args and errors as in `pose_in_gauge`, but a sheared camera is allowed.
    """
    rig = np.array(rig_world, np.float64)
    scale = np.cbrt(np.linalg.det(rig[:3, :3]))
    if scale <= 1e-12 or not np.allclose(rig[:3, :3].T @ rig[:3, :3], scale**2 * np.eye(3), atol=1e-4 * scale**2):
        raise DreamzoomError("The rig's scale differs between its axes", "Give the rig one scale on all three axes")
    pose = np.linalg.inv(rig) @ np.array(camera_world, np.float64) @ FLIP
    lengths = np.linalg.norm(pose[:3, :3], axis=0)
    pose[:3, :3] /= np.maximum(lengths, 1e-30)
    volume = np.linalg.det(pose[:3, :3])
    if abs(volume) < 1e-6:
        raise DreamzoomError("The camera has no depth: a scale of its own or of a parent is 0", "Set that scale to 1")
    if volume < 0:
        raise DreamzoomError("The camera is mirrored by its own or a parent's scale", "Make all its scales positive")
    return pose


def is_rigid(axes: np.ndarray) -> bool:
    """Whether unit axes, the columns of (3, 3), are orthogonal up to the rounding errors of single precision."""
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < ORTHOGONAL)


def _nearest_rotation(axes: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) nearest to axes that differ from one by rounding errors."""
    left, _, right = np.linalg.svd(axes)
    return left @ right


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

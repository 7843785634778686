"""JSON files with one pose per frame: nerfstudio's transforms.json, and the cameras.json of 3D Gaussian Splatting.

transforms.json: `transform_matrix` is 4×4, camera to world, with OpenGL's axes (x right, y up, z back); fl_x, fl_y, cx,
cy, w, h for all frames or each. cameras.json: a list of position (3), rotation (3×3, camera to world, OpenCV's axes),
fx, fy, width, height; the principal point is the middle unless cx and cy are given. SuperSplat and others read both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_files import replacing
from ..camera import Camera
from ..errors import CameraFileError
from ..safety import limits
from ..safety.bounded_json import read_json
from .path import FLIP, CameraPath, NamedCamera, checked_camera, pose_of

ASSUMED = 800
"""Width and height of the pictures where transforms.json tells neither, as in the NeRF synthetic scenes."""


def write_transforms(path: Path, cameras: Sequence[NamedCamera]) -> None:
    """Write transforms.json. Raises OSError."""
    frames = [
        {
            "file_path": f"images/{item.name}",
            "transform_matrix": (item.camera.camera_to_frame @ FLIP).tolist(),
            **_nerf_lens(item.camera),
        }
        for item in cameras
    ]
    _write(path, {"camera_model": "PINHOLE", **_nerf_lens(cameras[0].camera), "frames": frames})


def write_cameras(path: Path, cameras: Sequence[NamedCamera]) -> None:
    """Write cameras.json. Raises OSError."""
    found = []
    for number, item in enumerate(cameras):
        camera = item.camera
        found.append({
            "id": number, "img_name": item.name, "width": camera.width, "height": camera.height,
            "position": camera.centre.tolist(), "rotation": camera.rotation.tolist(),
            "fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy,
        })  # fmt: skip
    _write(path, found)


def read(path: Path) -> CameraPath:
    """Read either file. Raises CameraFileError; RefusedFile; OSError."""
    found = read_json(path, limits.REQUEST_BYTES, links=True)
    try:
        if isinstance(found, dict) and isinstance(found.get("frames"), list):
            return _transforms(found)
        if isinstance(found, list):
            return _cameras(found)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CameraFileError(f"{path.name} is damaged: {type(error).__name__}: {error}") from None
    raise CameraFileError(
        f"{path.name} holds no cameras", "Choose transforms.json, with frames, or cameras.json, a list of cameras"
    )


def _write(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write((json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def _nerf_lens(camera: Camera) -> dict[str, Any]:
    return {
        "fl_x": float(camera.fx), "fl_y": float(camera.fy), "cx": float(camera.cx), "cy": float(camera.cy),
        "w": camera.width, "h": camera.height,
    }  # fmt: skip


def _transforms(found: dict[str, Any]) -> CameraPath:
    if "FISHEYE" in str(found.get("camera_model", "")) or found.get("camera_model") == "EQUIRECTANGULAR":
        raise CameraFileError(f"Its cameras are no pinhole cameras ({found['camera_model']})", "Undistort them first")
    notes = []
    if any(found.get(name) for name in ("k1", "k2", "k3", "k4", "p1", "p2")):
        notes.append("lens distortion is left out")
    if "w" not in found and not all("w" in frame for frame in found["frames"]):
        notes.append(f"no picture size is given: {ASSUMED}×{ASSUMED} is assumed")
    cameras = []
    for number, frame in enumerate(found["frames"]):
        name = Path(str(frame.get("file_path") or number)).name
        own = found | frame
        matrix = np.array(own["transform_matrix"], np.float64)
        if matrix.shape not in ((4, 4), (3, 4)):
            raise CameraFileError(f"The pose of {name} is no 4×4 matrix")
        pose = pose_of(matrix[:3, :3] @ FLIP[:3, :3], matrix[:3, 3], name)
        width, height = float(own.get("w", ASSUMED)), float(own.get("h", ASSUMED))
        fx = own.get("fl_x") or _focal(own, "x", width) or own.get("fl_y") or _focal(own, "y", height)
        if fx is None:
            raise CameraFileError(f"{name} has no focal length (fl_x, or camera_angle_x)")
        fy = own.get("fl_y") or _focal(own, "y", height) or fx
        lens = (fx, fy, own.get("cx", width / 2), own.get("cy", height / 2))
        cameras.append(NamedCamera(name, checked_camera(width, height, lens, pose, name)))
    return CameraPath(cameras, (), "transforms", tuple(notes))


def _focal(own: dict[str, Any], axis: str, size: float) -> float | None:
    angle = own.get(f"camera_angle_{axis}")
    return None if angle is None else size / 2 / math.tan(float(angle) / 2)


def _cameras(found: list[Any]) -> CameraPath:
    cameras = []
    for number, item in enumerate(found):
        name = str(item.get("img_name") or number)
        pose = pose_of(np.array(item["rotation"], np.float64).reshape(3, 3), np.array(item["position"], float), name)
        width, height = float(item["width"]), float(item["height"])
        lens = (item["fx"], item["fy"], item.get("cx", width / 2), item.get("cy", height / 2))
        cameras.append(NamedCamera(name, checked_camera(width, height, lens, pose, name)))
    return CameraPath(cameras, (), "cameras")

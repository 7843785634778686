"""Files of cameras (`core.camera_files`) as keyed cameras in Blender, and a flight as such a file."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ...core import camera_files
from ...core.camera import Camera
from ...core.errors import DreamzoomError
from .. import camera_to_rig, cameras, keyframes
from ..camera_sampling import CameraSample

ROTATIONS = {"-Y": -pi / 2, "Y": pi / 2, "Z": 0.0}
"""The rotation about X, in radians, that turns a file upright, by the axis that points up in it."""


SKEW = 0.1
"""The largest skew in pixels that is left out: across a picture of 2,000 rows at a focal length as long, a tenth of a
pixel.
"""


def import_cameras(
    scene: bpy.types.Scene,
    collection: bpy.types.Collection,
    found: camera_files.CameraPath,
    name: str,
    *,
    up: str,
    scale: float,
    set_render: bool,
) -> tuple[bpy.types.Object, list[str]]:
    """Create a camera with a key for each camera of a file.

    Args:
        scene: Whose resolution the lens refers to.
        collection: Gets the camera.
        found: The cameras of the file.
        name: Of the new camera.
        up: The axis that points up in the file.
        scale: Size of the file's world.
        set_render: Whether the scene's resolution and frame range are set to those of the file.

    Returns:
        The camera, and what is not as in the file, one line each.
    """
    items = [item.camera for item in found.cameras]
    frames = list(found.frames) or list(range(scene.frame_start, scene.frame_start + len(items)))
    turn = np.array(Matrix.Rotation(ROTATIONS[up], 4, "X"))
    data = bpy.data.cameras.new(name)
    obj = bpy.data.objects.new(name, data)
    collection.objects.link(obj)
    if set_render:
        cameras.set_intrinsics(data, scene.render, _intrinsics(items[0]))
        scene.frame_start, scene.frame_end = frames[0], frames[-1]
    lenses = [cameras.lens_of(data, scene.render, _resized(item, scene.render)) for item in items]
    for property_ in ("lens", "shift_x", "shift_y"):
        keyframes.set_values(data, property_, frames, [lens[property_] for lens in lenses])
    poses = []
    for item in items:
        pose = turn @ item.camera_to_frame
        pose[:3, 3] *= scale
        poses.append(pose)
    camera_to_rig.key_pose(obj, frames, poses, ())
    return obj, [*found.notes, *_differences(items, scene.render)]


def export_cameras(
    path: Path,
    kind: str,
    samples: Sequence[CameraSample],
    root: bpy.types.Object | None,
    *,
    up: str,
    positions: np.ndarray | None = None,
    rgb: np.ndarray | None = None,
) -> None:
    """Write the cameras of a flight, those of a rig in its world as it is at zoom 0.

    Args:
        path: The file, or the folder of COLMAP's files.
        kind: One of `camera_files.KINDS`.
        samples: The camera at each frame.
        root: The root of the camera's rig; None if it belongs to none.
        up: The axis that points up in the file.
        positions, rgb: Points in the world, (N, 3), and their sRGB colours.

    Raises:
        DreamzoomError: A camera is sheared with a skew, which these files can't hold.
        OSError: The file can't be written.
    """
    turn = np.array(Matrix.Rotation(-ROTATIONS[up], 4, "X"))
    worlds = (
        [sample.world @ cameras.FLIP for sample in samples]
        if root is None
        else camera_to_rig.at_zoom_0(root, samples)[0]
    )
    found = []
    for sample, world in zip(samples, worlds):
        view, pose = cameras.seen_in_gauge(sample.view, turn @ world @ cameras.FLIP, np.eye(4))
        if abs(view.skew) > SKEW:
            raise DreamzoomError(
                f"At frame {sample.frame} the camera is sheared by a parent's uneven scale, which the file can't hold",
                "Apply the scale of the camera's parent (Ctrl A, Scale)",
            )
        camera = Camera(view.width, view.height, view.fx, view.fy, view.cx, view.cy, pose)
        found.append(camera_files.NamedCamera(f"frame_{sample.frame:05d}.png", camera))
    if positions is not None:
        positions = positions @ turn[:3, :3].T
    camera_files.write(path, kind, found, positions, rgb)


def _intrinsics(camera: Camera) -> cameras.Intrinsics:
    return cameras.Intrinsics(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)


def _resized(camera: Camera, render: bpy.types.RenderSettings) -> cameras.Intrinsics:
    """The view in the render's width, at the camera's own aspect."""
    width = render.resolution_x
    return _intrinsics(camera.resized(width, round(camera.height * width / camera.width)))


def _differences(items: Sequence[Camera], render: bpy.types.RenderSettings) -> list[str]:
    """What a keyed camera can't show as the file says."""
    notes = []
    aspects = {round(item.width / item.height, 3) for item in items}
    if len(aspects) > 1:
        notes.append("the pictures have different aspects, the render has one")
    ratio = render.pixel_aspect_y / render.pixel_aspect_x
    if any(abs(item.fx / item.fy / ratio - 1) > 1e-3 for item in items):
        notes.append("the pixels are not square as in the file: set the render's pixel aspect")
    return notes

"""Cameras as every frame evaluates them, with what parents, constraints and drivers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import DreamzoomError
from . import cameras

LENS = ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height", "clip_start", "clip_end")


@dataclass(frozen=True)
class CameraSample:
    """A camera at one frame.

    Attributes:
        frame: Of the scene.
        camera: The camera's name.
        world: (4, 4) float64, from Blender's camera axes to the world.
        lens: The evaluated values of the properties LENS.
        view: The intrinsics in the render's resolution at 100 %.
        focal: Focal length in units of half the longer side of the picture.
        focal_pixels: Focal length in pixels of the render.
        focus_distance: Of the depth of field, along the view axis, in the world's unit.
        fstop: Of the depth of field.
        root: (4, 4) float64, the world matrix of the rig's root; the identity where no root was sampled.
        zoom: Of that root; 0 without one.
    """

    frame: int
    camera: str
    world: np.ndarray
    lens: dict[str, float]
    view: cameras.Intrinsics
    focal: float
    focal_pixels: float
    focus_distance: float
    fstop: float
    root: np.ndarray
    zoom: float


def sample_camera(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    camera: bpy.types.Object,
    frames: Sequence[int],
    root: bpy.types.Object | None = None,
    *,
    follow_markers: bool = False,
) -> Iterator[CameraSample]:
    """Sample a camera, and the root of its rig, at each of `frames`; the scene's frame is restored at the end.

    Args:
        scene: The scene.
        view_layer: Of the scene.
        camera: The camera. The lens of other cameras is expressed by its sensor.
        frames: The frames.
        root: The root of the camera's rig.
        follow_markers: Whether to sample, at each frame, the camera that Blender renders there.

    Raises:
        DreamzoomError: A camera is not a perspective one, or not in the view layer.
    """
    base = camera.data.original if camera.is_evaluated else camera.data
    before = scene.frame_current, scene.frame_subframe
    try:
        for frame in frames:
            scene.frame_set(frame)
            graph = view_layer.depsgraph
            shown = scene.camera if follow_markers else camera
            if shown is None or shown.name not in view_layer.objects:
                raise DreamzoomError(
                    f"The camera of frame {frame} is not in this view layer", "Show its collection, or choose another"
                )
            yield _sample(scene, frame, shown.evaluated_get(graph), base, root and root.evaluated_get(graph))
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _sample(
    scene: bpy.types.Scene,
    frame: int,
    camera: bpy.types.Object,
    base: bpy.types.Camera,
    root: bpy.types.Object | None,
) -> CameraSample:
    """Sample the current frame; `camera` and `root` are evaluated objects, `base` has the sensor for other cameras."""
    scale = scene.render.resolution_percentage / 100
    width, height = (round(side * scale) for side in (scene.render.resolution_x, scene.render.resolution_y))
    view = cameras.intrinsics_of(camera.data, scene.render, width, height)
    world = np.array(camera.matrix_world, np.float64)
    dof = camera.data.dof
    distance = dof.focus_distance
    if dof.focus_object is not None:
        forward = -world[:3, 2] / np.linalg.norm(world[:3, 2])
        distance = abs(float(forward @ (np.array(dof.focus_object.matrix_world.translation) - world[:3, 3])))
    lens = {name: getattr(camera.data, name) for name in LENS}
    if camera.data.original != base:
        lens |= cameras.lens_of(base, scene.render, view)
    return CameraSample(
        frame,
        camera.name,
        world,
        lens,
        cameras.intrinsics_of(camera.data, scene.render, scene.render.resolution_x, scene.render.resolution_y),
        2 * view.fx / width if width >= height else 2 * view.fy / height,
        max(view.fx, view.fy),
        distance,
        dof.aperture_fstop,
        np.eye(4) if root is None else np.array(root.matrix_world, np.float64),
        0.0 if root is None else float(root.get("zoom", 0.0)),
    )

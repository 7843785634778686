"""Cameras as every frame evaluates them, with what parents, constraints and drivers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from . import cameras

LENS = ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height", "clip_start", "clip_end")


@dataclass(frozen=True)
class CameraSample:
    """A camera at one frame.

    Attributes:
        frame: Of the scene.
        world: (4, 4) float64, from Blender's camera axes to the world.
        lens: The evaluated values of the properties LENS.
        focal: Focal length in units of half the longer side of the picture.
        focal_pixels: Focal length in pixels of the render.
        focus_distance: Of the depth of field, along the view axis, in the world's unit.
        fstop: Of the depth of field.
        root: (4, 4) float64, the world matrix of the rig's root; the identity where no root was sampled.
        zoom: Of that root; 0 without one.
    """

    frame: int
    world: np.ndarray
    lens: dict[str, float]
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
) -> Iterator[CameraSample]:
    """Sample a camera, and the root of its rig, at each of `frames`; the scene's frame is restored at the end.

    Raises:
        DreamzoomError: The camera is not a perspective one.
    """
    before = scene.frame_current, scene.frame_subframe
    try:
        for frame in frames:
            scene.frame_set(frame)
            graph = view_layer.depsgraph
            yield _sample(scene, frame, camera.evaluated_get(graph), root and root.evaluated_get(graph))
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _sample(
    scene: bpy.types.Scene, frame: int, camera: bpy.types.Object, root: bpy.types.Object | None
) -> CameraSample:
    """Sample the current frame; `camera` and `root` are evaluated objects."""
    scale = scene.render.resolution_percentage / 100
    width, height = (round(side * scale) for side in (scene.render.resolution_x, scene.render.resolution_y))
    view = cameras.intrinsics_of(camera.data, scene.render, width, height)
    world = np.array(camera.matrix_world, np.float64)
    dof = camera.data.dof
    distance = dof.focus_distance
    if dof.focus_object is not None:
        forward = -world[:3, 2] / np.linalg.norm(world[:3, 2])
        distance = abs(float(forward @ (np.array(dof.focus_object.matrix_world.translation) - world[:3, 3])))
    return CameraSample(
        frame,
        world,
        {name: getattr(camera.data, name) for name in LENS},
        2 * view.fx / width if width >= height else 2 * view.fy / height,
        max(view.fx, view.fy),
        distance,
        dof.aperture_fstop,
        np.eye(4) if root is None else np.array(root.matrix_world, np.float64),
        0.0 if root is None else float(root.get("zoom", 0.0)),
    )

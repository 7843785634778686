"""Cameras as every frame evaluates them, with what parents, constraints and drivers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from . import cameras

LENS = ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height", "clip_start", "clip_end")


@dataclass(frozen=True)
class Moment:
    """A camera at one frame.

    Attributes:
        frame: Of the scene.
        world: (4, 4) float64, Blender's camera axes to world.
        data: The evaluated values of LENS.
        focal: Focal length in half sides of the picture, the longer one.
        focal_pixels: The same in pixels of the render.
        focus_distance: What its depth of field is set to, along the view, in the world.
        fstop: Of its depth of field.
        base: (4, 4), the matrix of the object beside which the camera is looked at; the identity without one.
        zoom: The zoom of that object where it is a rig, else 0.
    """

    frame: int
    world: np.ndarray
    data: dict[str, float]
    focal: float
    focal_pixels: float
    focus_distance: float
    fstop: float
    base: np.ndarray
    zoom: float


def moments(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    camera: bpy.types.Object,
    frames: Sequence[int],
    base: bpy.types.Object | None = None,
) -> Iterator[Moment]:
    """The camera at each of `frames`, one after another; the scene is at its own frame again when it ends.

    Raises:
        DreamzoomError: The camera is not a perspective one.
    """
    before = scene.frame_current, scene.frame_subframe
    try:
        for frame in frames:
            scene.frame_set(frame)
            graph = view_layer.depsgraph
            yield _moment(scene, frame, camera.evaluated_get(graph), base and base.evaluated_get(graph))
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _moment(scene: bpy.types.Scene, frame: int, camera: bpy.types.Object, base: bpy.types.Object | None) -> Moment:
    """`camera` and `base` are evaluated."""
    scale = scene.render.resolution_percentage / 100
    width, height = (round(side * scale) for side in (scene.render.resolution_x, scene.render.resolution_y))
    view = cameras.intrinsics_of(camera.data, scene.render, width, height)
    world = np.array(camera.matrix_world, np.float64)
    dof = camera.data.dof
    distance = dof.focus_distance
    if dof.focus_object is not None:
        forward = -world[:3, 2] / np.linalg.norm(world[:3, 2])
        distance = abs(float(forward @ (np.array(dof.focus_object.matrix_world.translation) - world[:3, 3])))
    return Moment(
        frame,
        world,
        {name: getattr(camera.data, name) for name in LENS},
        2 * view.fx / width if width >= height else 2 * view.fy / height,
        max(view.fx, view.fy),
        distance,
        dof.aperture_fstop,
        np.eye(4) if base is None else np.array(base.matrix_world, np.float64),
        0.0 if base is None else float(base.get("zoom", 0.0)),
    )

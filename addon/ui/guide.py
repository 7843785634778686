"""The guide in the viewport: the path along which a rig's levels were dreamed, and how far the camera may leave it."""

from __future__ import annotations

from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from .. import rig
from ..rig import coverage

PATH_COLOUR, RING_COLOUR, OUTSIDE_COLOUR = (0.35, 0.8, 1.0, 0.8), (0.4, 0.9, 0.4, 0.9), (1.0, 0.35, 0.2, 1.0)
LINE_WIDTH = 2.0

_handler: Any = None


def lines(root: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """The guide's lines in the world: the dreamed path (N, 3), and the border (M, 3) of where the camera may be now."""
    path = coverage.dreamed_path(root)
    to_world = np.array(root.matrix_world, np.float64)
    ring = coverage.allowed_ring(path, float(root.get("zoom", 0.0)))
    return _moved(path[:, 1:], to_world), _moved(ring, to_world)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return (points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def _draw() -> None:
    """Draw the guide of the active rig, unless the view is through its camera or overlays are off."""
    context = bpy.context
    space: Any = context.space_data
    root = rig.active_rig(context)
    if root is None or not root.dreamzoom.show_guide or not space.overlay.show_overlays:
        return
    if space.region_3d.view_perspective == "CAMERA" or not len(coverage.dreamed_path(root)):
        return
    path, ring = lines(root)
    camera = root.dreamzoom.camera
    found = coverage.deviation(root, camera) if camera is not None else None
    is_outside = found is not None and not found.is_covered
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    gpu.state.blend_set("ALPHA")
    for points, kind, colour in (
        (path, "LINE_STRIP", PATH_COLOUR),
        (np.concatenate([ring, ring[:1]]), "LINE_STRIP", OUTSIDE_COLOUR if is_outside else RING_COLOUR),
    ):
        if len(points) > 1:
            shader.bind()
            shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
            shader.uniform_float("lineWidth", LINE_WIDTH)
            shader.uniform_float("color", colour)
            batch_for_shader(shader, kind, {"pos": points}).draw(shader)
    gpu.state.blend_set("NONE")


def register() -> None:
    global _handler
    if not bpy.app.background:
        _handler = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    global _handler
    if _handler is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handler, "WINDOW")
        _handler = None

"""Long work on the main thread, split into time slices between which Blender draws and the artist can work."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

import bpy

from ..core.errors import DreamzoomError

SLICE_SECONDS = 0.012
"""How long a slice takes, unless its smallest piece of work takes longer: less than a frame of a screen."""

MOUSE_OPERATORS = ("TRANSFORM_OT_", "SCULPT_OT_", "PAINT_OT_")
"""Prefixes of the names of operators that follow the mouse."""

Result = TypeVar("Result")
SlicedWork = Generator[float, None, Result]
"""Work that yields its progress (0 to 1) after each slice and returns its result. Between two slices the scene is as
the artist left it, and may be changed."""


@dataclass
class TimeSlice:
    """The time that work may take before it yields.

    Attributes:
        seconds: Length of a slice; infinite where all is done in one slice, as in scripts.
    """

    seconds: float = math.inf
    _start: float = field(default_factory=time.perf_counter)

    def begin(self) -> None:
        """Begin a new slice."""
        self._start = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether the work should yield."""
        return time.perf_counter() - self._start >= self.seconds

    @property
    def is_unlimited(self) -> bool:
        """Whether the work never needs to yield."""
        return self.seconds == math.inf


class RigReference:
    """Refers to a rig, its scene and a view layer; looked up again in each slice, since undo replaces the objects.

    Args:
        root: The rig.
        scene: Which contains it.
        view_layer: Of that scene.
    """

    def __init__(self, root: bpy.types.Object, scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer):
        self._root, self._scene, self._view_layer = root.session_uid, scene.session_uid, view_layer.name

    def resolve(self) -> tuple[bpy.types.Object, bpy.types.Scene, bpy.types.ViewLayer]:
        """The rig's root, the scene and the view layer as they are now.

        Raises:
            DreamzoomError: One of them was removed.
        """
        scene = next((scene for scene in bpy.data.scenes if scene.session_uid == self._scene), None)
        view_layer = scene.view_layers.get(self._view_layer) if scene else None
        if scene is None or view_layer is None:
            raise DreamzoomError("The scene of this rig is gone", "Press Generate in the scene that you want")
        root = next((obj for obj in scene.objects if obj.session_uid == self._root), None)
        if root is None:
            raise DreamzoomError("The rig was removed from the scene", "Undo its removal, then press Generate")
        return root, scene, view_layer


def run_to_end(work: SlicedWork[Result]) -> Result:
    """Run all slices at once and return the result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def is_scene_in_use() -> bool:
    """Whether an operator follows the mouse or a render reads the scene: then not even its frame may be changed."""
    if any(bpy.app.is_job_running(kind) for kind in ("RENDER", "OBJECT_BAKE")):
        return True
    windows = bpy.context.window_manager.windows
    return any(op.bl_idname.startswith(MOUSE_OPERATORS) for window in windows for op in window.modal_operators)

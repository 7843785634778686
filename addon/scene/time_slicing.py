"""Long work on the main thread in slices, between which Blender draws and the artist works on."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

import bpy

from ..core.errors import DreamzoomError

SECONDS = 0.05
"""How long a slice takes, unless its least piece takes longer."""

HELD = ("TRANSFORM_OT_", "SCULPT_OT_", "PAINT_OT_")
"""Operators, as their names begin, that follow the mouse."""

Result = TypeVar("Result")
Sliced = Generator[float, None, Result]
"""Work that yields, between slices, how far it is (0 to 1), and returns its result. While it is between slices the
scene is as the artist left it, and may be changed."""


@dataclass
class Slice:
    """The slice that goes on; without `seconds` there is but one, for scripts.

    Attributes:
        seconds: How long it may take.
    """

    seconds: float = math.inf
    _begun: float = field(default_factory=time.perf_counter)

    def begin(self) -> None:
        """A new slice begins."""
        self._begun = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether it is time to yield."""
        return time.perf_counter() - self._begun >= self.seconds

    @property
    def is_endless(self) -> bool:
        """Whether nothing else waits."""
        return self.seconds == math.inf


class Place:
    """A rig in a scene: found anew in each slice, since undo puts other objects into their place.

    Args:
        root: The rig.
        scene: Where it is.
        view_layer: Which of the scene's.
    """

    def __init__(self, root: bpy.types.Object, scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer):
        self._root, self._scene, self._view_layer = root.session_uid, scene.session_uid, view_layer.name

    def find(self) -> tuple[bpy.types.Object, bpy.types.Scene, bpy.types.ViewLayer]:
        """The three, as they are now.

        Raises:
            DreamzoomError: One of them is gone.
        """
        scene = next((scene for scene in bpy.data.scenes if scene.session_uid == self._scene), None)
        view_layer = scene.view_layers.get(self._view_layer) if scene else None
        if scene is None or view_layer is None:
            raise DreamzoomError("The scene of this rig is gone", "Press Generate in the scene that you want")
        root = next((obj for obj in scene.objects if obj.session_uid == self._root), None)
        if root is None:
            raise DreamzoomError("The rig was removed from the scene", "Undo its removal, then press Generate")
        return root, scene, view_layer


def finished(work: Sliced[Result]) -> Result:
    """Do it all at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def is_in_hand() -> bool:
    """Whether the artist holds something, or a render reads the scene: it must not be changed then, if only briefly."""
    if any(bpy.app.is_job_running(kind) for kind in ("RENDER", "OBJECT_BAKE")):
        return True
    windows = bpy.context.window_manager.windows
    return any(held.bl_idname.startswith(HELD) for window in windows for held in window.modal_operators)

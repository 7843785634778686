"""The capture of the scene with which a job begins: its cameras frame by frame, then the artist's own objects."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import bpy

from ..backend import job_folders
from ..core.errors import DreamzoomError
from . import assets, request
from .time_slicing import RigReference, SlicedWork, TimeSlice, is_scene_in_use, run_to_end

CAMERA_SHARE = 0.5
"""The share of the progress that the cameras take."""


class SceneCapture:
    """One capture, either all at once or in time slices between which Blender stays usable.

    Args:
        root: The rig.
        scene: Which contains it.
        view_layer: Of the scene; only what it shows is captured.
        seconds: How long a slice may take, unless a frame takes longer.

    Attributes:
        fraction: Progress, 0 to 1.
        folder: The job folder, into which the objects are written; known once the cameras have been captured.
        request: The server's request, None until the end.
    """

    def __init__(self, root: bpy.types.Object, scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer, seconds: float):
        self.fraction, self.folder = 0.0, Path()
        self.request: dict[str, Any] | None = None
        self._reference, self._time_slice = RigReference(root, scene, view_layer), TimeSlice(seconds)
        self._work = self._capture()

    def run(self) -> dict[str, Any]:
        """Capture all at once and return the request. Raises DreamzoomError: The scene can't be sent as it is."""
        self.request = run_to_end(self._work)
        return self.request

    def step(self) -> bool:
        """Capture for one slice, or do nothing while the scene is in use; whether the capture is complete.

        Raises:
            DreamzoomError: The scene can't be sent as it is, or was changed meanwhile so that it makes no sense.
        """
        if is_scene_in_use():
            return False
        self._time_slice.begin()
        try:
            self.fraction = next(self._work)
        except StopIteration as end:
            self.request = end.value
        except ReferenceError as error:
            raise DreamzoomError("The scene was changed while it was captured", "Press Generate again") from error
        return self.request is not None

    def close(self) -> None:
        """Give the capture up."""
        self._work.close()

    def _capture(self) -> SlicedWork[dict[str, Any]]:
        found = yield from _scaled(request.capture(self._reference, self._time_slice), 0.0, CAMERA_SHARE)
        self.folder = job_folders.ensure(self._reference.resolve()[0])
        objects = assets.capture(self._reference, self.folder, found, self._time_slice)
        return (yield from _scaled(objects, CAMERA_SHARE, 1.0))


def _scaled(work: SlicedWork[dict[str, Any]], start: float, end: float) -> SlicedWork[dict[str, Any]]:
    """The same work with its progress mapped from 0..1 to `start`..`end`."""
    with closing(work):
        while True:
            try:
                fraction = next(work)
            except StopIteration as done:
                return done.value
            yield start + (end - start) * fraction

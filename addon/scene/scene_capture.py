"""The look at the scene with which a job begins: its cameras frame after frame, then the artist's own objects."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import bpy

from ..backend import job_folders
from ..core.errors import DreamzoomError
from . import assets, request
from .time_slicing import Place, Slice, Sliced, finished, is_in_hand

CAMERAS = 0.5
"""The share of it that goes to the cameras."""


class Looking:
    """One look, all at once or in slices between which Blender stays usable.

    Args:
        root: The rig.
        scene: Where it is.
        view_layer: What is to be seen of it.
        seconds: How long a slice may take, unless a frame takes longer.

    Attributes:
        fraction: 0 to 1.
        folder: The job's, in which the objects were written; as soon as it is known.
        found: The request, at the end.
    """

    def __init__(self, root: bpy.types.Object, scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer, seconds: float):
        self.fraction, self.folder = 0.0, Path()
        self.found: dict[str, Any] | None = None
        self._place, self._turn = Place(root, scene, view_layer), Slice(seconds)
        self._work = self._look()

    def to_the_end(self) -> dict[str, Any]:
        """The request, at once. Raises DreamzoomError: The scene can't be sent as it is."""
        self.found = finished(self._work)
        return self.found

    def step(self) -> bool:
        """One slice, but nothing while the artist holds something; whether it has come to its end.

        Raises:
            DreamzoomError: The scene can't be sent as it is, or was changed meanwhile so that it makes no sense.
        """
        if is_in_hand():
            return False
        self._turn.begin()
        try:
            self.fraction = next(self._work)
        except StopIteration as end:
            self.found = end.value
        except ReferenceError as error:
            raise DreamzoomError("The scene was changed while it was looked at", "Press Generate again") from error
        return self.found is not None

    def close(self) -> None:
        """Give it up."""
        self._work.close()

    def _look(self) -> Sliced[dict[str, Any]]:
        found = yield from _scaled(request.look(self._place, self._turn), 0.0, CAMERAS)
        self.folder = job_folders.ensure(self._place.find()[0])
        return (yield from _scaled(assets.look(self._place, self.folder, found, self._turn), CAMERAS, 1.0))


def _scaled(work: Sliced[dict[str, Any]], start: float, end: float) -> Sliced[dict[str, Any]]:
    """The same, whose fractions are a part of the whole."""
    with closing(work):
        while True:
            try:
                fraction = next(work)
            except StopIteration as done:
                return done.value
            yield start + (end - start) * fraction

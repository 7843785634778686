"""How long a rig's next job will take on this machine, before it is started."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ..core import step_times
from ..rig import cameras
from . import prompt_changes
from .disk_looks import DiskLooks

LONG_SECONDS = 600.0
"""From so long on, the panel warns of a job."""

REFRESH_SECONDS = 5.0
"""How often the measured times are read again, since the panel asks whenever it is drawn."""

_times: DiskLooks[str, step_times.Times] = DiskLooks(lambda _: step_times.read(), REFRESH_SECONDS)


@dataclass(frozen=True)
class Estimate:
    """A job before it is started.

    Attributes:
        levels: How many levels are dreamed.
        width, height: Size of their pictures in pixels.
        seconds: How long it takes; None where it is not known at all, as for models that were never used here.
        is_measured: Whether that is from measurements on this machine.
    """

    levels: int
    width: int
    height: int
    seconds: float | None
    is_measured: bool

    @property
    def is_long(self) -> bool:
        """Whether the artist should know before pressing Generate."""
        return self.seconds is not None and self.seconds > LONG_SECONDS


def of_rig(root: bpy.types.Object, scene: bpy.types.Scene) -> Estimate:
    """The estimate for a rig as it is set up now: for all levels, or those that Generate will redo."""
    settings = root.dreamzoom
    again = prompt_changes.redone(settings) if settings.dreamed else []
    count = len(again) or len(settings.levels)
    width, height = cameras.picture_size(scene.render, settings.size)
    seconds, is_measured = step_times.of_level(_times.get("") or {}, settings.engine, settings.quality, width * height)
    known = is_measured or settings.engine == "procedural"
    return Estimate(count, width, height, seconds * count if known else None, is_measured)

"""The space that a job needs: estimated before it begins, and waited for before a step writes what it has computed.

The factors are measured on finished jobs of several engines, at 64×36 to 480×270: 570 to 840 bytes a pixel and level
until a quality's limits of points and splats are reached.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from core.disk import free_bytes, size_text
from core.errors import DreamzoomError
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.steps import File, Step
from dreamzoom.progress import Report
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.quality import settings

SPLATS_PER_PIXEL = POINTS_PER_PIXEL = 2.9
SPLAT_BYTES = 73
POINT_BYTES = {layout.CLOUD.name: 40, layout.POINTS.name: 30}
PIXEL_BYTES = {
    layout.VIEWS.name: 25,
    layout.FITTED_VIEWS.name: 65,
    layout.FINAL_PICTURES.name: 30,
    layout.DEPTH.name: 9,
}
OTHER_PIXEL_BYTES = 5
"""Of a picture."""
LEAST_BYTES = 4096
"""Of any file, and of a step's record."""
RESERVE = 16 << 20
"""Bytes that a job leaves free on its disk."""
PATIENCE = 600.0
"""Seconds that a step waits for space before it fails."""


class Room:
    """The space for a job in its folder.

    Args:
        folder: The job's folder.
        request: The job's request.
    """

    def __init__(self, folder: Folder, request: Request):
        limits = settings(request)
        self._folder = folder
        self._pixels = request.width * request.height
        self._splats = min(SPLATS_PER_PIXEL * self._pixels, 1.1 * limits.cap)
        self._points = min(POINTS_PER_PIXEL * self._pixels, limits.points)

    def check(self, steps: Iterable[Step]) -> None:
        """Refuse to begin a job for which there is no space: of steps that were not done yet.

        Raises:
            DreamzoomError: There is not enough; the message says how much is needed and free, and where.
        """
        waiting = [step for step in steps if not self._folder.exists(layout.record(step.digest))]
        needed, free = self.bytes_of(file for step in waiting for file in step.files) + RESERVE, self._free()
        if free is not None and waiting and free < needed:
            raise DreamzoomError(
                f"the job in {self._folder.root} needs about {size_text(needed)}, {size_text(free)} are free there",
                "free some space there, or choose another folder, fewer levels, smaller pictures or a lower quality",
            )

    def wait(self, step: Step, report: Report) -> None:
        """Wait until there is space for the files of a step. Its work is kept meanwhile, and a cancel is noticed.

        Raises:
            DreamzoomError: There is none after `PATIENCE` seconds.
            Cancelled: The job was cancelled.
        """
        needed, began, said = self.bytes_of(step.files) + RESERVE, time.monotonic(), False
        while (free := self._free()) is not None and free < needed:
            told = f"{size_text(needed)} are needed in {self._folder.root}, {size_text(free)} are free"
            if not said:
                report.log(f"the disk is nearly full: {told}; the job waits until there is space", level="warning")
                said = True
            if time.monotonic() - began > PATIENCE:
                raise DreamzoomError(
                    f"the disk is nearly full: {told}",
                    "free some space there, then generate again: it goes on from where it stopped",
                )
            report.check()
            time.sleep(0.2)

    def bytes_of(self, files: Iterable[File]) -> int:
        """The estimated size of files that steps write."""
        return round(sum(self._bytes(file) + LEAST_BYTES for file in files))

    def _bytes(self, file: File) -> float:
        name = file.entry.name
        if name in (layout.SPLATS.name, layout.FITTED_SPLATS.name):
            return SPLAT_BYTES * self._splats
        if name in POINT_BYTES:
            return POINT_BYTES[name] * self._points
        if file.level is None:
            return 0
        return PIXEL_BYTES.get(name, OTHER_PIXEL_BYTES) * self._pixels

    def _free(self) -> int | None:
        return free_bytes(self._folder.root)

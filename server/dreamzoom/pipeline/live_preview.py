"""The live picture: what a step has so far, reduced and written by a thread of its own; no step waits for it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import numpy as np

from dreamzoom.pipeline.folder import Folder
from dreamzoom.report import PREVIEW_SIDE
from dreamzoom.stages.base import layout


class LivePicture:
    """Writes the newest picture that it was given; one that is overtaken while it waits is left out.

    Args:
        folder: Of the job; the picture is `layout.LIVE_PREVIEW` in it.
        written: Called by the thread after each picture, with the level that it was given with.
        failed: Called by the thread when a picture can't be written, with the reason.
    """

    def __init__(self, folder: Folder, written: Callable[[int | None], None], failed: Callable[[str], None]):
        self._folder, self._written, self._failed = folder, written, failed
        self._changed = threading.Condition()
        self._waiting: tuple[np.ndarray, int | None] | None = None
        self._busy = self._closed = False
        self._thread: threading.Thread | None = None

    def show(self, rgb: np.ndarray, level: int | None) -> None:
        """Take a picture (H, W, 3) float32 sRGB in 0..1, which nobody changes any more; returns at once."""
        with self._changed:
            self._waiting = rgb, level
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="live picture", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait_written(self) -> None:
        """Wait until the newest picture is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._busy)

    def close(self) -> None:
        """Leave out what waits, end the thread and remove the picture."""
        with self._changed:
            self._closed, self._waiting = True, None
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._folder.remove(layout.LIVE_PREVIEW)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                if self._waiting is None:
                    return
                (rgb, level), self._waiting, self._busy = self._waiting, None, True
            try:
                self._folder.write(layout.LIVE_PREVIEW, encoded(rgb))
                self._written(level)
            except Exception as error:  # a full disk, or a listener that is gone: no reason to stop the step
                self._failed(f"the live picture could not be shown: {error}")
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()


def encoded(rgb: np.ndarray) -> bytes:
    """A picture as PNG, its longer side at most `PREVIEW_SIDE` pixels, reduced by area."""
    from PIL import Image

    from core.colour import to_bytes

    image = Image.fromarray(to_bytes(rgb))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BOX)
    data = io.BytesIO()
    image.save(data, "png", compress_level=1)
    return data.getvalue()

"""The live preview: a step's unfinished picture, downscaled and written by a separate thread without blocking steps."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import numpy as np

from dreamzoom.pipeline.folder import Folder
from dreamzoom.progress import PREVIEW_SIDE
from dreamzoom.stages.base import layout


class LivePicture:
    """Writes the newest picture; pictures that are replaced before they are written are dropped.

    Args:
        folder: The job's folder; the picture is written to `layout.LIVE_PREVIEW`.
        written: Called by the thread with the picture's level after each picture.
        failed: Called by the thread with the reason if a picture can't be written.
    """

    def __init__(self, folder: Folder, written: Callable[[int | None], None], failed: Callable[[str], None]):
        self._folder, self._written, self._failed = folder, written, failed
        self._changed = threading.Condition()
        self._waiting: tuple[np.ndarray, int | None] | None = None
        self._busy = self._closed = False
        self._thread: threading.Thread | None = None

    def show(self, rgb: np.ndarray, level: int | None) -> None:
        """Queue a picture (H, W, 3) float32 sRGB in 0..1, which must not be modified afterwards. Returns at once."""
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
        """Drop the queued picture, stop the thread and remove the file."""
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
            except Exception as error:  # a full disk or a closed connection must not stop the step
                self._failed(f"the live picture could not be shown: {error}")
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()


def encoded(rgb: np.ndarray) -> bytes:
    """Encode a picture as PNG, box-filtered so that its longer side is at most `PREVIEW_SIDE` pixels."""
    from PIL import Image

    from core.colour import to_bytes

    image = Image.fromarray(to_bytes(rgb))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BOX)
    data = io.BytesIO()
    image.save(data, "png", compress_level=1)
    return data.getvalue()

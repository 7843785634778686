"""Progress of long work: what it reports, and how it learns of a cancel. Stages know nothing else of their caller."""

from __future__ import annotations

import numpy as np

PREVIEW_INTERVAL = 0.5
"""Seconds between two previews, at least."""
PREVIEW_SIDE = 512
"""Pixels of a preview's longer side, at most."""


class Report:
    """Receives progress, log lines and previews; this base class ignores them, the job's runner passes its own.

    A stage calls `progress` at least every half second of work: that call is also where a cancel is noticed.
    """

    def progress(self, fraction: float, message: str = "") -> None:
        """Report that `fraction` (0 to 1) of this step is done. Raises `errors.Cancelled` if the job was cancelled."""

    def check(self) -> None:
        """Notice a cancel without reporting progress: for a small part of a step. Raises as `progress`."""

    def log(self, message: str, *, level: str = "info") -> None:
        """Log one line; level is "info", "warning" or "error"."""

    def preview(self, rgb: np.ndarray) -> None:
        """Show an unfinished picture, (H, W, 3) float32 sRGB in 0..1, which the caller changes no more. Cheap to
        ignore; callers limit the rate.
        """

"""Earlier results of a job that this process works on: see `core.protocol.versions`."""

from __future__ import annotations

from pathlib import Path

from core.protocol import versions
from core.protocol.versions import KEPT
from dreamzoom.pipeline.folder import Folder

__all__ = ["KEPT", "keep_result"]


def keep_result(folder: Folder) -> Path | None:
    """Keep a finished job's result as a new version. The caller holds the folder's lock.

    Returns:
        The version's folder; None where there is no whole result to keep.

    Raises:
        NotWritten: The disk is full, or the folder can't be written; nothing was changed.
    """
    return versions.keep_result(folder.files)

"""Earlier results of a job. Before a changed request overwrites a finished job, its result is kept as a version: a job
folder of its own within the job's, `versions/0001`, with request, result and all exported files.

The files are hard links where the file system has them, so that a version needs space only for what changed since.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from core.protocol import result
from dreamzoom.pipeline.folder import Folder
from dreamzoom.stages.base import layout

KEPT = 4
"""How many earlier results are kept; the oldest are removed first."""

UNFINISHED = "unfinished"


def keep_result(folder: Folder) -> Path | None:
    """Keep a finished job's result as a new version. The caller holds the folder's lock.

    Returns:
        The version's folder; None where there is no whole result to keep.

    Raises:
        OSError: The disk is full, or the folder can't be written; nothing was changed.
    """
    try:
        found = result.read(folder.root)
        names = [result.NAME, layout.REQUEST, *found["files"]]
        names += [name for name in (layout.PLAN.path(),) if folder.exists(name) and name not in names]
        if not all(folder.exists(name) for name in names):
            return None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    home = folder.root / result.VERSIONS
    unfinished = home / UNFINISHED
    _remove(unfinished)
    try:
        _link(folder, dict.fromkeys(names), unfinished)
        target = home / f"{_last(home) + 1:04d}"
        unfinished.rename(target)
    except OSError:
        _remove(unfinished)
        raise
    prune(folder)
    return target


def prune(folder: Folder, keep: int = KEPT) -> None:
    """Remove all but the newest versions."""
    for old in result.versions(folder.root)[:-keep] if keep else result.versions(folder.root):
        _remove(old)


def _link(folder: Folder, names: Sequence[str] | dict[str, None], target: Path) -> None:
    """Link or copy files of a job folder into another folder, under the same names."""
    for name in names:
        source, link = folder.path(name), target.joinpath(*name.split("/"))
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, link)
        except OSError:  # a file system without hard links
            shutil.copy2(source, link)


def _last(home: Path) -> int:
    return max((int(path.name) for path in home.iterdir() if path.name.isdigit()), default=0) if home.is_dir() else 0


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path)

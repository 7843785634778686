"""What Dreamzoom keeps on this machine's disks: compiled code, models that it downloaded, files that steps fetched for
jobs of other machines, environments, and jobs.

Nothing is ever removed by itself. What is removed is only what Dreamzoom made, and links are never followed.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.disk import size_text
from core.errors import BadRequest
from core.installation import STAMP
from core.protocol import result
from core.safety.regular_files import is_link
from dreamzoom import numba_cache
from dreamzoom.cluster import cache
from dreamzoom.engines.diffusion import model_cache
from dreamzoom.pipeline.folder import Folder
from dreamzoom.stages.base import layout

JOB_FILES = (layout.REQUEST, layout.JOURNAL, layout.LIVE_PREVIEW, layout.INPUT_INDEX, layout.PLAN.path(), result.NAME)
JOB_FILES += (layout.SERVING,)
JOB_FOLDERS = (layout.RECORDS, layout.INPUTS, "levels", result.VERSIONS)
"""What a job makes at the top of its folder; everything else there is the artist's."""

STORE = ".received"
"""Beside the jobs that clients on other machines started: what they sent."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Leftover:
    """Something that can be removed.

    Attributes:
        kind: "kernels", "model", "files", "environment", "job" or "received" (files that clients elsewhere sent).
        path: Its folder.
        bytes: Its size.
        days: Since it was last changed or used.
        in_use: Whether this process uses it; then it can't be removed.
    """

    kind: str
    path: Path
    bytes: int
    days: float
    in_use: bool = False

    def facts(self) -> Facts:
        """As JSON values."""
        return asdict(self) | {"path": str(self.path), "days": round(self.days, 1)}

    def line(self) -> str:
        """As a line for people."""
        used = "  in use" if self.in_use else ""
        return f"{self.kind:12} {size_text(self.bytes):>8}  {self.days:5.0f} days  {self.path}{used}"


def find(jobs: Sequence[Path] = ()) -> list[Leftover]:
    """Everything that is there, the largest first.

    Args:
        jobs: Jobs, or folders with jobs in them, at most two levels down.
    """
    current = os.environ.get("NUMBA_CACHE_DIR", "")
    found = [_leftover("kernels", path, str(path) == current) for path in _folders(numba_cache.home())]
    found += [_leftover("model", path) for path in _folders(model_cache.cache_folder()) if model_cache.is_ours(path)]
    if _is_real(cache.cache_folder(), stat.S_ISDIR):
        found.append(_leftover("files", cache.cache_folder()))
    here = Path(sys.prefix)
    beside = [path for path in _folders(here.parent) if (path / STAMP).is_file()]
    found += [_leftover("environment", path, path == here) for path in beside]
    found += [_leftover("job", path) for path in _jobs(jobs)]
    stores = [Path(place).absolute() / STORE for place in jobs]
    found += [_leftover("received", path) for path in stores if _is_real(path, stat.S_ISDIR)]
    return sorted(found, key=lambda one: -one.bytes)


def remove(paths: Iterable[Path], jobs: Sequence[Path] = ()) -> list[Leftover]:
    """Remove some of what `find` finds; returns it.

    Raises:
        BadRequest: A path is none of them, or in use; nothing is removed then.
        FolderBusy: A job runs.
        OSError: Something can't be removed.
    """
    there = {str(one.path): one for one in find(jobs)}
    chosen = []
    for path in map(str, paths):
        one = there.get(str(Path(path).absolute()))
        if one is None:
            raise BadRequest("path", f"must be one of those that `dreamzoom clean` lists; got {path!r}")
        if one.in_use:
            raise BadRequest("path", f"must not be in use; {path} is what this Dreamzoom runs with")
        chosen.append(one)
    for one in chosen:
        if one.kind == "job":
            _remove_job(one.path)
        else:
            shutil.rmtree(one.path)  # removes links, not what they lead to
    return chosen


def _jobs(places: Sequence[Path], depth: int = 2) -> Iterator[Path]:
    """The jobs among these folders, and in them down to `depth` levels: a file's folder has one for each rig."""
    for place in map(Path.absolute, map(Path, places)):
        if _is_job(place):
            yield place
        elif depth:
            yield from _jobs(_folders(place), depth - 1)


def _is_job(path: Path) -> bool:
    return _is_real(path / layout.REQUEST, stat.S_ISREG) and _is_real(path / layout.RECORDS, stat.S_ISDIR)


def _remove_job(path: Path) -> None:
    """Remove what the job made; the folder itself only if nothing else is in it."""
    folder = Folder(path)
    with folder.lock():
        for name in JOB_FOLDERS:
            if _is_real(path / name, stat.S_ISDIR):
                shutil.rmtree(path / name)
        for name in JOB_FILES:
            if _is_real(path / name, stat.S_ISREG):
                (path / name).unlink()
    (path / layout.LOCK).unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


def _folders(place: Path) -> list[Path]:
    """The real folders in a folder."""
    try:
        return sorted(path for path in place.iterdir() if _is_real(path, stat.S_ISDIR))
    except OSError:
        return []


def _is_real(path: Path, kind) -> bool:
    """Whether this is there, of this kind, and no link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return kind(found.st_mode) and not is_link(found)


def _leftover(kind: str, path: Path, in_use: bool = False) -> Leftover:
    size, newest = 0, path.lstat().st_mtime
    for place, _, names in os.walk(path):
        for name in names:
            try:
                found = Path(place, name).lstat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                size, newest = size + found.st_size, max(newest, found.st_mtime)
    return Leftover(kind, path, size, max(0.0, (time.time() - newest) / 86400), in_use)

"""Earlier results of a job. Before a changed request overwrites a finished job, its result is kept as a version: a job
folder of its own within the job's, `versions/0001`, with request, result and all exported files.

The files are hard links where the file system has them, so that a version needs space only for what changed since. The
server keeps versions of its jobs, the add-on of jobs that it fetches from another machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import RefusedFile
from ..safety.contained import ContainedFolder
from . import result

REQUEST, PLAN = "request.json", "plan.json"

KEPT = 4
"""How many earlier results are kept; the oldest are removed first."""

UNFINISHED = "unfinished"


def keep_result(folder: ContainedFolder) -> Path | None:
    """Keep a finished job's result as a new version. No other process may work in the folder.

    Returns:
        The version's folder; None where there is no whole result to keep.

    Raises:
        NotWritten: The disk is full, or the folder can't be written; nothing was changed.
    """
    try:
        found = result.read(folder.root)
        names = [result.NAME, REQUEST, *found["files"]]
        names += [name for name in (PLAN,) if folder.exists(name) and name not in names]
        if not all(folder.exists(name) for name in names):
            return None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    unfinished = f"{result.VERSIONS}/{UNFINISHED}"
    _remove(folder, unfinished)
    earlier = result.versions(folder.root)
    target = f"{result.VERSIONS}/{int(earlier[-1].name) + 1 if earlier else 1:04d}"
    try:
        for name in dict.fromkeys(names):
            folder.link(name, f"{unfinished}/{name}")
        folder.sync({f"{unfinished}/{name}".rpartition("/")[0] for name in names})
        folder.rename_folder(unfinished, target)
    except OSError:
        _remove(folder, unfinished, names)
        raise
    prune(folder)
    return folder.root / target


def prune(folder: ContainedFolder, keep: int = KEPT) -> None:
    """Remove all but the newest versions."""
    earlier = result.versions(folder.root)
    for old in earlier[:-keep] if keep else earlier:
        _remove(folder, f"{result.VERSIONS}/{old.name}")


def _remove(folder: ContainedFolder, version: str, known: Sequence[str] = ()) -> None:
    """Remove the files of a version, which its result or `known` lists, and folders that are then empty."""
    names = [REQUEST, PLAN, *known]
    with contextlib.suppress(OSError, ValueError):
        names += result.read(folder.root / version)["files"]
    for name in [*names, result.NAME]:
        with contextlib.suppress(RefusedFile, FileNotFoundError):
            folder.remove(f"{version}/{name}")
    parents = {parent.as_posix() for name in names for parent in PurePosixPath(version, name).parents}
    for parent in sorted((one for one in parents if one.startswith(version)), reverse=True):
        with contextlib.suppress(RefusedFile):
            folder.remove_empty(parent)

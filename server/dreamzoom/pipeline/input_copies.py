"""Copies of the artist's files in the job's folder, so that a job can be resumed after the originals were moved."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import BadRequest
from dreamzoom.pipeline.folder import Folder
from dreamzoom.request.inputs import Input, check, digest_of_file, named_files
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout


def keep(folder: Folder, request: Request, log: Callable[[str], None]) -> dict[str, Input]:
    """Copy the files that a request names into the job's folder, and check them. The caller holds the folder's lock.

    If an original file no longer exists, the copy of an earlier run is used.

    Args:
        folder: The job's folder.
        request: With absolute paths.
        log: Receives a message for each missing original.

    Raises:
        BadRequest: A file is missing, can't be read, or has the wrong format; the error names the field.
    """
    before = _index(folder)
    kept: dict[str, dict[str, str]] = {}
    for field, name in named_files(request).items():
        source, copy = Path(name), before.get(field)
        if copy is not None and not source.exists() and _is_copy(folder, copy, name):
            log(f"{source.name} no longer exists in {source.parent}; its copy in the job's folder is used")
            kept[field] = copy
        else:
            kept[field] = _copied(folder, field, source)
    found = {field: Input(folder.path(entry["file"]), entry["sha256"]) for field, entry in kept.items()}
    if kept != before:
        check(found)
        folder.write_json(layout.INPUT_INDEX, kept)
    for path in folder.path(layout.INPUTS).glob("*/*"):
        if path not in {one.path for one in found.values()}:
            path.unlink(missing_ok=True)
    return found


def kept(folder: Folder, request: Request) -> dict[str, Input]:
    """The copies that `keep` made of the files that a request names; nothing is written.

    Raises:
        BadRequest: A file was not copied; the error names the field.
    """
    index = _index(folder)
    for field in named_files(request):
        if field not in index:
            raise BadRequest(field, "has no copy in the job's folder; prepare the job first")
    return {field: Input(folder.path(index[field]["file"]), index[field]["sha256"]) for field in named_files(request)}


def _index(folder: Folder) -> dict[str, Any]:
    """The files copied earlier: by field the "source" path, the "file" in the folder, and its "sha256"."""
    try:
        index = folder.read_json(layout.INPUT_INDEX)
    except (FileNotFoundError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _is_copy(folder: Folder, entry: Any, source: str) -> bool:
    """Whether an entry of the index is a complete copy of this source."""
    try:
        return entry["source"] == source and folder.digest(entry["file"]) == entry["sha256"]
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _copied(folder: Folder, field: str, source: Path) -> dict[str, str]:
    """Copy a file unless it was already copied; returns its entry for the index."""
    digest = digest_of_file(field, source)
    plain = re.sub(r"[:\\]", "_", source.name)
    name = f"{layout.INPUTS}/{digest[:16]}/{plain}"
    if not folder.exists(name) or folder.digest(name) != digest:
        folder.write_with(name, lambda temporary: shutil.copyfile(source, temporary))
        if folder.digest(name) != digest:
            raise BadRequest(field, f"must not change while it is read; {source.name} changed")
    return {"source": str(source), "file": name, "sha256": digest}

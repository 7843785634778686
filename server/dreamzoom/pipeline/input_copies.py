"""Copies of the artist's files in the job's folder, so that a job can go on after they were moved."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import BadRequest
from dreamzoom.pipeline.folder import Folder
from dreamzoom.request.inputs import Input, check, digest_of_file, named_files
from dreamzoom.stages.base import layout
from dreamzoom.wire import Request


def keep(folder: Folder, request: Request, log: Callable[[str], None]) -> dict[str, Input]:
    """Copy the files that a request names into the job's folder, and check them; the caller holds the folder's lock.

    A file that is gone from where the artist had it is taken from the copy of an earlier run.

    Args:
        folder: The job's.
        request: With absolute paths.
        log: Is told of files that are gone.

    Raises:
        BadRequest: A file is missing, can't be read, or is no picture or depth map; it names the field.
    """
    before = _index(folder)
    kept: dict[str, dict[str, str]] = {}
    for field, name in named_files(request).items():
        source, copy = Path(name), before.get(field)
        if copy is not None and not source.exists() and _is_copy(folder, copy, name):
            log(f"{source.name} is gone from {source.parent}; its copy in the job's folder is used")
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


def _index(folder: Folder) -> dict[str, Any]:
    """What was copied before: by field the "source", the "file" within the folder, and its "sha256"."""
    try:
        index = folder.read_json(layout.INPUT_INDEX)
    except (FileNotFoundError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _is_copy(folder: Folder, entry: Any, source: str) -> bool:
    """Whether an entry of the index is a whole copy of this source."""
    try:
        return entry["source"] == source and folder.digest(entry["file"]) == entry["sha256"]
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _copied(folder: Folder, field: str, source: Path) -> dict[str, str]:
    """Copy a file, unless that was done; returns its entry in the index."""
    digest = digest_of_file(field, source)
    plain = re.sub(r"[:\\]", "_", source.name)
    name = f"{layout.INPUTS}/{digest[:16]}/{plain}"
    if not folder.exists(name) or folder.digest(name) != digest:
        folder.write_with(name, lambda temporary: shutil.copyfile(source, temporary))
        if folder.digest(name) != digest:
            raise BadRequest(field, f"must stay as it is while it is read; {source.name} changed")
    return {"source": str(source), "file": name, "sha256": digest}

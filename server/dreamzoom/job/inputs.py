"""The artist's own files: copied into the job's folder, so that a job goes on when they move and notices a change."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRequest, SplatFileError
from dreamzoom import images
from dreamzoom.job.folder import Folder
from dreamzoom.wire import Request

INDEX = "inputs.json"
SAME_ASPECT = 0.02
"""A depth map may differ from its picture's aspect by so much: what rounding to whole pixels does to small ones."""


@dataclass(frozen=True)
class Input:
    """A picture, depth map or PLY of splats that a level names.

    Attributes:
        path: Where it can be read now.
        sha256: Of its bytes, in hex, so that another picture under the same name is noticed.
    """

    path: Path
    sha256: str


def named(request: Request) -> dict[str, str]:
    """The files that a request names, by field: {"levels[0].image": "/photos/a.jpg"}."""
    found = {
        f"levels[{index}].{kind}": name
        for index, level in enumerate(request.levels)
        for kind, name in (("image", level.image), ("depth", level.depth))
        if name is not None
    }
    for index, level in enumerate(request.levels):
        found |= dict(zip(asset_fields(request, index), level.assets))
    return found


def asset_fields(request: Request, level: int) -> list[str]:
    """The fields that name the artist's own objects under a level."""
    return [f"levels[{level}].assets[{number}]" for number in range(len(request.levels[level].assets))]


def in_place(request: Request) -> dict[str, Input]:
    """The files where the artist has them. Raises BadRequest for one that can't be read."""
    return {field: Input(Path(name), _digest(field, Path(name))) for field, name in named(request).items()}


def keep(folder: Folder, request: Request, log: Callable[[str], None]) -> dict[str, Input]:
    """Copy what a request names into the job's folder, and check it; only for who holds the lock.

    A file that is gone from where the artist had it is taken from the copy of an earlier run.

    Args:
        folder: The job's.
        request: With absolute paths.
        log: Hears of files that are gone.

    Raises:
        BadRequest: A file is missing, can't be read, or is no picture or depth map; it names the field.
    """
    before = _index(folder)
    kept: dict[str, dict[str, str]] = {}
    for field, name in named(request).items():
        source, copy = Path(name), before.get(field)
        if copy is not None and not source.exists() and _is_copy(folder, copy, name):
            log(f"{source.name} is gone from {source.parent}; its copy in the job's folder is used")
            kept[field] = copy
        else:
            kept[field] = _copied(folder, field, source)
    found = {field: Input(folder.path(entry["file"]), entry["sha256"]) for field, entry in kept.items()}
    if kept != before:
        _check(found)
        folder.write_json(INDEX, kept)
    for path in folder.path("inputs").glob("*/*"):
        if path not in {one.path for one in found.values()}:
            path.unlink(missing_ok=True)
    return found


def _index(folder: Folder) -> dict[str, Any]:
    """What was copied before: by field the "source", the "file" within the folder, and its "sha256"."""
    try:
        index = folder.read_json(INDEX)
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
    digest = _digest(field, source)
    plain = re.sub(r"[:\\]", "_", source.name)
    name = f"inputs/{digest[:16]}/{plain}"
    if not folder.exists(name) or folder.digest(name) != digest:
        folder.write_with(name, lambda temporary: shutil.copyfile(source, temporary))
        if folder.digest(name) != digest:
            raise BadRequest(field, f"must stay as it is while it is read; {source.name} changed")
    return {"source": str(source), "file": name, "sha256": digest}


def _digest(field: str, path: Path) -> str:
    if path.exists() and not path.is_file():
        raise BadRequest(field, f"must be the path of a file; {path} is none")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadRequest(field, f"must be a file that can be read: {path} ({error.strerror or error})") from None


def _check(inputs: Mapping[str, Input]) -> None:
    """Read every file once, so that a bad one is named before hours of work; depths must be of their pictures."""
    sizes = {
        field: images.picture_size(one.path, field=field) for field, one in inputs.items() if field.endswith(".image")
    }
    for field in inputs.keys() - sizes.keys():
        path = inputs[field].path
        if not field.endswith(".depth"):
            _check_splats(field, path)
            continue
        rows, columns = images.read_depth(path, None, _quiet, field=field).shape
        width, height = sizes[field.removesuffix("depth") + "image"]
        if abs(columns * height / (rows * width) - 1) > SAME_ASPECT:
            raise BadRequest(
                field,
                f"must have its picture's aspect: {path.name} has {columns}×{rows} pixels, "
                f"the picture {width}×{height}",
            )


def _check_splats(field: str, path: Path) -> None:
    from core.formats.splat_ply import read_splats

    try:
        read_splats(path)
    except SplatFileError as error:
        raise BadRequest(field, f"must be a PLY of Gaussian splats; {error}") from None


def _quiet(message: str) -> None:
    """What is odd about a depth is told when it is used."""

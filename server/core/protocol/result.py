"""result.json, the description of a finished job's folder. The server writes it, both sides read it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, cast

from ..errors import RefusedFile
from ..safety import limits
from ..safety.bounded_json import read_json
from ..safety.contained import ContainedFolder, is_contained

NAME = "result.json"
VERSION = 1
MAX_LEVELS, MAX_FACTOR = 64, 16.0
"""Limits of the request."""

VERSIONS = "versions"
"""The folder within a job's that holds its earlier results, each a job folder named by a number."""


class LevelResult(TypedDict):
    """One level. Paths are relative to the job's folder, with "/" on every system.

    Attributes:
        index: k.
        prompt, negative_prompt, seed, focus: As in the request.
        image, cloud, splats, preview: Paths of the files.
        points, splat_count: Number of points in the cloud and of splats.
    """

    index: int
    prompt: str
    negative_prompt: str
    seed: int
    focus: list[float]
    image: str
    cloud: str
    splats: str
    preview: str
    points: int
    splat_count: int


class Result(TypedDict):
    """The contents of result.json.

    Attributes:
        version: `VERSION`.
        request_digest: SHA-256 of the request.
        seed, quality, zoom_factor, width, height, cameras: As in the request.
        engine: The models that made the pictures, with digests of their weights.
        levels: All levels, in order.
        files: SHA-256 of each result file, by its path.
    """

    version: int
    request_digest: str
    seed: int
    quality: str
    engine: dict[str, Any]
    zoom_factor: float
    width: int
    height: int
    levels: list[LevelResult]
    cameras: list[dict[str, Any]]
    files: dict[str, str]


def versions(folder: Path) -> list[Path]:
    """The folders of a job's earlier results, oldest first."""
    inside = ContainedFolder(folder)
    with contextlib.suppress(RefusedFile, OSError):
        names = [name for name, found in inside.names(VERSIONS) if stat.S_ISDIR(found.st_mode)]
        numbered = sorted((name for name in names if re.fullmatch("[0-9]{1,9}", name)), key=int)
        found = [f"{VERSIONS}/{name}" for name in numbered]
        return [inside.root / name for name in found if inside.exists(f"{name}/{NAME}")]
    return []


def newest(folder: Path) -> Path:
    """The folder that holds a job's newest result: its own, or that of an earlier result while a new one is not whole.
    Where there is no result it is the job's own.
    """
    folder = Path(folder)
    return folder if os.path.lexists(folder / NAME) else next(reversed(versions(folder)), folder)  # noqa: PTH110


def read(folder: Path) -> Result:
    """Read and validate a job folder's result.json.

    Raises:
        FileNotFoundError: There is none: the job is not finished.
        OSError: It can't be read.
        ValueError: It is no regular file, above a limit or damaged, or names a file outside the folder; the message
            says which part.
    """
    return checked(read_json(Path(folder) / NAME, limits.RESULT_BYTES))


def checked(found: Any) -> Result:
    """Validate all fields that are there. Those that the display of the levels needs must be there.

    Returns:
        `found` itself.

    Raises:
        ValueError: Something is missing or of another kind, or a file lies outside the folder.
    """
    levels = found.get("levels") if isinstance(found, dict) else None
    if not isinstance(levels, list) or not levels:
        raise ValueError("it lists no levels")
    version = found.get("version", VERSION)
    if not _is_whole(version) or version < 1:
        raise ValueError("its version is not a number")
    if version > VERSION:
        raise ValueError(f"it was made by a newer Dreamzoom (version {version} of the file): update this one")
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"it lists more than {MAX_LEVELS} levels")
    for index, level in enumerate(levels):
        _check_level(level, index)
    factor = found.get("zoom_factor")
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 1 < factor <= MAX_FACTOR:
        raise ValueError("it has no valid zoom factor")
    for name, fits in _FIELDS.items():
        if name in found and not fits(found[name]):
            raise ValueError(f"its field {name} is not valid")
    return cast("Result", found)


def _check_level(level: Any, index: int) -> None:
    if not isinstance(level, dict) or not _is_whole(level.get("index")) or level["index"] != index:
        raise ValueError(f"level {index} is missing")
    for name in ("cloud", "splats"):
        if not isinstance(level.get(name), str):
            raise ValueError(f"level {index} names no {name}")
    for name in ("cloud", "splats", "image", "preview"):
        if name in level and not is_contained(level[name]):
            raise ValueError(f"level {index} names a file outside its folder: {str(level[name])[:80]!r}")
    for name, fits in _LEVEL_FIELDS.items():
        if name in level and not fits(level[name]):
            raise ValueError(f"the field {name} of level {index} is not valid")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))


_LEVEL_FIELDS: dict[str, Callable[[Any], bool]] = {
    "prompt": _is_text,
    "negative_prompt": _is_text,
    "seed": _is_count,
    "focus": _is_point,
    "points": _is_count,
    "splat_count": _is_count,
}

_FIELDS: dict[str, Callable[[Any], bool]] = {
    "request_digest": _is_text,
    "seed": _is_count,
    "quality": _is_text,
    "engine": lambda value: isinstance(value, dict),
    "width": _is_count,
    "height": _is_count,
    "cameras": lambda value: isinstance(value, list) and all(isinstance(camera, dict) for camera in value),
    "files": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}

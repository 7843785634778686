"""result.json, the description of a finished job's folder. The server writes it, both sides read it."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, cast

NAME = "result.json"
VERSION = 1

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
    home = Path(folder) / VERSIONS
    found = [path for path in home.iterdir() if path.name.isdigit()] if home.is_dir() else []
    return sorted((path for path in found if (path / NAME).is_file()), key=lambda path: int(path.name))


def newest(folder: Path) -> Path:
    """The folder that holds a job's newest result: its own, or that of an earlier result while a new one is not whole.
    Where there is no result it is the job's own.
    """
    folder = Path(folder)
    return folder if (folder / NAME).is_file() else next(reversed(versions(folder)), folder)


def read(folder: Path) -> Result:
    """Read and validate a job folder's result.json.

    Raises:
        FileNotFoundError: There is none: the job is not finished.
        OSError: It can't be read.
        ValueError: It is damaged, or names a file outside the folder; the message says which part.
    """
    try:
        found = json.loads((Path(folder) / NAME).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from None
    return checked(found)


def checked(found: Any) -> Result:
    """Validate what the display of the levels needs: their order, their files and the zoom factor.

    Returns:
        `found` itself.

    Raises:
        ValueError: Something is missing, or a file lies outside the folder.
    """
    levels = found.get("levels") if isinstance(found, dict) else None
    if not isinstance(levels, list) or not levels:
        raise ValueError("it lists no levels")
    for index, level in enumerate(levels):
        if not isinstance(level, dict) or level.get("index") != index:
            raise ValueError(f"level {index} is missing")
        for name in ("cloud", "splats"):
            if not isinstance(level.get(name), str):
                raise ValueError(f"level {index} names no {name}")
            if not is_inside(level[name]):
                raise ValueError(f"level {index} names a file outside its folder: {level[name]}")
    if isinstance(found.get("zoom_factor"), bool) or not isinstance(found.get("zoom_factor"), (int, float)):
        raise ValueError("it has no zoom factor")
    return cast("Result", found)


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside its folder on every operating system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and not any(p == ".." or ":" in p or "\\" in p for p in parts)

"""result.json, the description of a finished job's folder. The server writes it, both sides read it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from ..errors import DamagedJob, DreamzoomError, RefusedFile
from ..safety import limits
from ..safety.bounded_json import decode_json
from ..safety.contained import ContainedFolder, is_contained
from ..safety.regular_files import is_link
from ..safety.seal import CHECK, check_seal, sha256_of

NAME = "result.json"
VERSION = 2
"""Since version 2 it carries a check of itself (see `seal`); version 1 is read too."""


class NewerResult(DreamzoomError, ValueError):
    """A result.json of a version that this Dreamzoom does not know."""


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
        key: The client's name for the level, as in the request; missing where it gave none.
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
    key: NotRequired[int]


class Note(TypedDict):
    """What was guessed or changed when a file that the artist gives was read, or what of a prompt was left out.

    Attributes:
        level: The level that names the file; None for all.
        field: The request's field.
        text: One line, in English.
    """

    level: int | None
    field: str
    text: str


class Result(TypedDict):
    """The contents of result.json.

    Attributes:
        version: `VERSION`.
        request_digest: SHA-256 of the request.
        seed, quality, zoom_factor, width, height, cameras: As in the request.
        engine: The models that made the pictures, with digests of their weights.
        levels: All levels, in order.
        notes: What was guessed or changed in the artist's own files; older results have none.
        files: SHA-256 of each result file, by its path.
        check: Of all else (see `safety.seal`).
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
    notes: list[Note]
    files: dict[str, str]
    check: str


def bounded_notes(notes: Iterable[Any]) -> list[Note]:
    """Notes that may be shown: of the right kinds, in single lines without control characters, not too long or many.
    Others are left out.
    """
    found: list[Note] = []
    for note in notes:
        if not isinstance(note, dict):
            continue
        level, field, text = (note.get(name) for name in ("level", "field", "text"))
        if not isinstance(text, str) or not isinstance(field, str) or not (level is None or type(level) is int):
            continue
        line = _line(text, limits.NOTE_CHARACTERS)
        if line and len(found) < limits.RESULT_NOTES:
            found.append({"level": level, "field": _line(field, limits.NOTE_CHARACTERS), "text": line})
    return found


def notes_of(found: Result) -> list[Note]:
    """The notes of a result, which may be of a foreign job."""
    notes: Any = found.get("notes")
    return bounded_notes(notes) if isinstance(notes, list) else []


def _line(text: str, most: int) -> str:
    """A text in one line, without characters that have no shape or change how others are written."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * most])
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def versions(folder: Path) -> list[Path]:
    """The folders of a job's earlier results, oldest first. Links are left out."""
    home, found = Path(folder) / VERSIONS, []
    with contextlib.suppress(RefusedFile, OSError):
        for name, state in ContainedFolder(folder).names(VERSIONS):
            if re.fullmatch("[0-9]{1,9}", name) and not is_link(state) and (home / name / NAME).is_file():
                found.append(home / name)
    return sorted(found, key=lambda path: int(path.name))


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
        NewerResult: Its version is not known here. Also a ValueError.
        ValueError: It is damaged, above a limit, or names a file outside the folder; the message says which part.
    """
    return checked(decode_json(ContainedFolder(folder).read(NAME, limits.RESULT_BYTES), NAME, limits.RESULT_BYTES))


def checked(found: Any) -> Result:
    """Validate what both sides rely on: version and check, the levels' order, their files and the zoom factor.

    Returns:
        `found` itself.

    Raises:
        NewerResult: Its version is not known here.
        ValueError: Something is missing or damaged, or a file lies outside the folder.
    """
    _check_newer(found)
    levels = found.get("levels") if isinstance(found, dict) else None
    if not isinstance(levels, list) or not levels:
        raise ValueError("it lists no levels")
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"it lists more than {MAX_LEVELS} levels")
    for index, level in enumerate(levels):
        if not isinstance(level, dict) or level.get("index") != index or isinstance(level["index"], bool):
            raise ValueError(f"level {index} is missing")
        for name in ("cloud", "splats"):
            if not isinstance(level.get(name), str):
                raise ValueError(f"level {index} names no {name}")
        for name in ("cloud", "splats", "image", "preview"):
            if name in level and not is_contained(level[name]):
                raise ValueError(f"level {index} names a file outside its folder: {level[name]!r:.80}")
        _check_kinds(level, _LEVEL_KINDS, f" of level {index}")
    files = found.get("files", {})
    if not isinstance(files, dict) or not all(is_contained(n) and isinstance(h, str) for n, h in files.items()):
        raise ValueError("its list of files is damaged")
    factor = found.get("zoom_factor")
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 < factor <= MAX_FACTOR:
        raise ValueError("it has no zoom factor that can be")
    _check_kinds(found, _KINDS, "")
    version = found.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError("it has no version")
    if version >= 2 or CHECK in found:
        check_seal(found, NAME)
    return cast("Result", found)


_LEVEL_KINDS = {
    "prompt": str,
    "negative_prompt": str,
    "seed": int,
    "focus": list,
    "points": int,
    "splat_count": int,
    "key": int,
}
_KINDS = {
    "request_digest": str,
    "seed": int,
    "quality": str,
    "engine": dict,
    "width": int,
    "height": int,
    "cameras": list,
}


def _check_kinds(found: dict[str, Any], kinds: dict[str, type], where: str) -> None:
    """Raise ValueError for a field of another kind; numbers must not be negative, elements be what cameras and focuses
    are.
    """
    for name, kind in kinds.items():
        value: Any = found.get(name, kind())
        if not (isinstance(value, kind) and not isinstance(value, bool) and _fits(name, value)):
            raise ValueError(f"the field {name}{where} is not valid")


def _fits(name: str, value: Any) -> bool:
    """Whether a value of the right kind is one that the field may have."""
    if isinstance(value, int):
        return value >= 0
    if name == "focus":
        return len(value) in (0, 3) and all(isinstance(number, (int, float)) for number in value)
    return name != "cameras" or all(isinstance(camera, dict) for camera in value)


def _check_newer(found: Any) -> None:
    """Raise NewerResult before anything else is looked at: it may be otherwise there."""
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise NewerResult(
            f"{NAME} was made by a newer Dreamzoom: its version is {str(version)[:20]}, this one reads {VERSION}",
            "Update Dreamzoom, or generate the job again in a new folder",
        )


def damaged_files(folder: Path, found: Result, names: Iterable[str] | None = None) -> list[str]:
    """The files of a result that do not have the hash that it tells of them, or are no regular files in the folder.

    Args:
        folder: The job's folder.
        found: Its result.
        names: The files to look at; all that the result lists if None.
    """
    contained = ContainedFolder(folder)
    damaged = []
    for name in found["files"] if names is None else names:
        try:
            with contained.open(name) as file:
                is_right = sha256_of(file) == found["files"].get(name)
        except (OSError, RefusedFile):
            is_right = False
        if not is_right:
            damaged.append(name)
    return damaged


def check_level(folder: Path, found: Result, level: int) -> None:
    """Check the files of one level against the hashes in the result.

    Raises:
        DamagedJob: One is damaged or missing; the error names it, and offers the repair.
    """
    if not level < len(found["levels"]):
        raise DamagedJob(f"The result in {folder} has no level {level}", "Repair", (NAME,))
    entry = found["levels"][level]
    listed = [entry[name] for name in ("cloud", "splats", "image", "preview") if name in entry]
    beside = [name for name in found.get("files", {}) if name.startswith(entry["splats"].rpartition("/")[0] + "/")]
    if "files" not in found:
        return  # of a version before hashes were listed
    damaged = damaged_files(folder, found, dict.fromkeys([*listed, *beside]))
    if damaged:
        others = f" and {len(damaged) - 1} more files" if len(damaged) > 1 else ""
        raise DamagedJob(f"{damaged[0]}{others} in {folder} was damaged or changed", "Repair", tuple(damaged))


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside its folder on every operating system."""
    return is_contained(name)

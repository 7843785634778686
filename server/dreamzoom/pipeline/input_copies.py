"""Copies of the artist's files in the job's folder, so that a job can be resumed after the originals were moved.

A job's own request names the copies, never the originals: see `portable`. Files are checked before they are copied, and
only copies that the index lists are ever removed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRequest, RefusedFile
from core.safety import limits
from core.safety.regular_files import open_regular
from dreamzoom import progress
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.integrity import origins
from dreamzoom.request.inputs import (
    Input,
    check,
    digest_of_file,
    most_bytes,
    named_files,
    size_of_file,
    with_files,
    with_models,
)
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout


@dataclass(frozen=True)
class Source:
    """A file that a request names.

    Attributes:
        path: Where it can be read now: the original, or the copy of an earlier run.
        sha256: SHA-256 of its content, in hex; empty while it is not known.
        copy: The name of its copy in the job's folder; empty while the hash is not known.
        original: The absolute path of the original; empty if it is not known.
    """

    path: Path
    sha256: str
    copy: str
    original: str


def keep(folder: Folder, request: Request, log: Callable[[str], None]) -> dict[str, Input]:
    """Copy the files that a request names into the job's folder, and check them. The caller holds the folder's lock.

    Args:
        folder: The job's folder, which exists.
        request: With absolute paths, or as the job's folder holds it.
        log: Receives a message for each missing original.

    Raises:
        BadRequest: As `find`.
    """
    sources = find(folder, request, log)
    copy(folder, sources)
    discard(folder)
    return planned(folder, sources)


def find(folder: Folder, request: Request, log: Callable[[str], None]) -> dict[str, Source]:
    """The files that a request names, by field, checked: new ones before they are read as a whole. Writes nothing.

    If an original file no longer exists, the copy of an earlier run is used.

    Raises:
        BadRequest: A file is missing, can't be read, or has the wrong format; the error names the field.
    """
    index, known = read_index(folder), known_paths(folder)
    places = {field: _place(folder, field, name, index, known, log) for field, name in named_files(request).items()}
    sizes = {field: size_of_file(field, place.path) for field, place in places.items()}
    is_new = any(sizes[field] != index.get(field, {}).get("stamp", [-1])[0] for field in places)
    if is_new:
        check({field: Input(place.path, "") for field, place in places.items()})
    found = {field: _hashed(field, place) for field, place in places.items()}
    if not is_new and any(one.sha256 != index[field]["sha256"] for field, one in found.items()):
        check({field: Input(one.path, one.sha256) for field, one in found.items()})
    return found


def planned(folder: Folder, sources: Mapping[str, Source]) -> dict[str, Input]:
    """The copies of these files, which `copy` makes if they are not there yet."""
    return {field: Input(folder.path(one.copy), one.sha256) for field, one in sources.items()}


def copy(folder: Folder, sources: Mapping[str, Source]) -> None:
    """Copy files into the job's folder. The caller holds the folder's lock and calls `discard` when the request that
    names them is written: until then the copies of the request before are kept.

    Raises:
        BadRequest: A file has changed since it was found.
        NotWritten: The disk is full or the like.
    """
    before, leaving = read_index(folder), _leaving(folder)
    kept = {field: {"file": one.copy, "sha256": one.sha256} for field, one in sources.items()}
    old = {entry["file"] for entry in before.values()} | set(leaving)
    if kept != {field: {"file": one["file"], "sha256": one["sha256"]} for field, one in before.items()}:
        _write_index(folder, kept, old - {one.copy for one in sources.values()})
    for field, one in sources.items():
        if not _is_whole(folder, one.copy, one.sha256):
            _copy(folder, field, one)
    stamped = {field: entry | {"stamp": folder.stamp(entry["file"])} for field, entry in kept.items()}
    if stamped != before or (old and not kept):
        _write_index(folder, stamped, old - {one.copy for one in sources.values()})


def discard(folder: Folder) -> None:
    """Remove the copies that the index lists as no longer named. The caller holds the folder's lock."""
    leaving = _leaving(folder)
    for name in leaving:
        if layout.copied_digest(name) is not None:
            with contextlib.suppress(RefusedFile):  # a link in its place is not ours
                folder.remove(name)
            folder.remove_empty(name.rpartition("/")[0])
    if leaving:
        _write_index(folder, read_index(folder), set())


def kept(folder: Folder, request: Request) -> dict[str, Input]:
    """The copies that `keep` made of the files that a request names; nothing is written.

    Raises:
        BadRequest: A file was not copied; the error names the field.
    """
    index = read_index(folder)
    for field in named_files(request):
        if field not in index:
            raise BadRequest(field, "has no copy in the job's folder; prepare the job first")
    return {field: Input(folder.path(index[field]["file"]), index[field]["sha256"]) for field in named_files(request)}


def portable(request: Request, sources: Mapping[str, Source]) -> Request:
    """The request as the job's folder holds it: it names the copies, and models and LoRAs by their names alone, so that
    no path of this machine stands in a folder that may be shared.
    """

    def base_name(field: str, name: str) -> str:
        return Path(name).name if Path(name).is_absolute() else name

    return with_models(with_files(request, lambda field, name: sources[field].copy), base_name)


def with_known_models(request: Request, known: Mapping[str, str]) -> Request:
    """The request of a job's folder, with the paths of its models and LoRAs where they are known (`known_paths`)."""

    def located(field: str, name: str) -> str:
        path = known.get(field, name)
        return path if Path(path).name == name and Path(path).exists() else name

    return with_models(request, located)


def outside_paths(request: Request, sources: Mapping[str, Source]) -> dict[str, str]:
    """The absolute paths of a request's originals, models and LoRAs, by field."""
    found = {field: one.original for field, one in sources.items() if one.original}

    def noted(field: str, name: str) -> str:
        if Path(name).is_absolute():
            found[field] = name
        return name

    with_models(request, noted)
    return found


def known_paths(folder: Folder) -> dict[str, str]:
    """Where the files of the folder's request lay on this machine, by field."""
    try:
        return origins.load(hashlib.sha256(folder.read(layout.REQUEST, limits.REQUEST_BYTES)).hexdigest())
    except (FileNotFoundError, RefusedFile):
        return {}


def read_index(folder: Folder) -> dict[str, dict[str, Any]]:
    """The copies in the folder, by field: the "file", its "sha256", and its "stamp". Empty if the index is damaged."""
    try:
        return checked_index(folder)
    except (FileNotFoundError, RefusedFile):
        return {}


def checked_index(folder: Folder) -> dict[str, dict[str, Any]]:
    """As `read_index`. Raises FileNotFoundError, and RefusedFile if the index is damaged."""
    files = _read_index(folder).get("files")
    if not isinstance(files, dict) or not all(_is_entry(entry) for entry in files.values()):
        raise RefusedFile(f"{layout.INPUT_INDEX} is damaged")
    return files


def _read_index(folder: Folder) -> dict[str, Any]:
    index = folder.read_sealed(layout.INPUT_INDEX, limits.RECORD_BYTES, lambda key: key.startswith("levels["))
    return index if "files" in index else {"files": index}  # as older versions wrote it, with the "source" of each file


def _leaving(folder: Folder) -> list[str]:
    try:
        found = _read_index(folder).get("leaving")
    except (FileNotFoundError, RefusedFile):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _write_index(folder: Folder, files: Mapping[str, Any], leaving: set[str]) -> None:
    folder.write_sealed(layout.INPUT_INDEX, {"files": files, "leaving": sorted(leaving)})


def _is_entry(entry: Any) -> bool:
    good = isinstance(entry, dict) and isinstance(entry.get("file"), str) and isinstance(entry.get("sha256"), str)
    return good and layout.copied_digest(entry["file"]) is not None


def _place(
    folder: Folder,
    field: str,
    name: str,
    index: Mapping[str, dict[str, Any]],
    known: Mapping[str, str],
    log: Callable[[str], None],
) -> Source:
    """Where one file is: the original if it exists, else its copy, whose hash is then checked."""
    is_copy = layout.copied_digest(name) is not None
    original = known.get(field, "") if is_copy else name
    entry = index.get(field)
    if entry is not None and not is_copy and name not in (known.get(field), entry.get("source")):
        entry = None
    copied = name if is_copy else entry["file"] if entry is not None else ""
    if copied and not (original and Path(original).exists()):
        digest = _copied_digest(folder, copied, entry)
        if digest:
            if original:
                place = Path(original)
                log(f"{place.name} no longer exists in {place.parent}; its copy in the job's folder is used")
            return Source(folder.path(copied), digest, copied, original)
        if not original:
            raise BadRequest(
                field, f"has lost its copy {copied} in the job's folder; generate the job again with the original file"
            )
    return Source(Path(original), "", "", original)


def _hashed(field: str, place: Source) -> Source:
    if place.sha256:
        return place
    digest = digest_of_file(field, place.path)
    return Source(place.path, digest, layout.input_copy(digest, place.path.name), place.original)


def _copied_digest(folder: Folder, name: str, entry: Mapping[str, Any] | None) -> str:
    """SHA-256 of a copy; empty if it is missing or damaged."""
    try:
        digest = folder.digest(name)
    except FileNotFoundError:
        return ""
    expected = entry["sha256"] if entry is not None and entry["file"] == name else digest
    return digest if digest == expected and digest[:16] == layout.copied_digest(name) else ""


def _is_whole(folder: Folder, name: str, sha256: str) -> bool:
    try:
        return folder.digest(name) == sha256
    except FileNotFoundError:
        return False


def _copy(folder: Folder, field: str, source: Source) -> None:
    """Copy one file; nothing of it stays if it is not what was found before."""

    def write(temporary: Path) -> None:
        digest = hashlib.sha256()
        with open_regular(source.path, most_bytes(field), links=True) as file, temporary.open("wb") as target:
            while piece := file.read(4 << 20):
                progress.check()
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != source.sha256:
            raise BadRequest(field, f"must not change while it is read; {source.path.name} changed")

    folder.write_with(source.copy, write)

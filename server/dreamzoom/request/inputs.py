"""The artist's files that a request names: pictures, depth maps and splats, identified by the hash of their content."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from core.errors import BadRequest, RefusedFile, SplatFileError
from core.safety import limits
from core.safety.regular_files import check_regular, open_regular
from core.safety.seal import sha256_of
from dreamzoom import progress
from dreamzoom.request import images, schema
from dreamzoom.request.schema import Request

SAME_ASPECT = 0.02
"""Relative tolerance between the aspects of a depth map and its picture, for the rounding of small sizes to pixels."""


@dataclasses.dataclass(frozen=True)
class Input:
    """A picture, depth map or PLY of splats that a level names.

    Attributes:
        path: Where the file can be read. Not part of digests: the same file elsewhere gives the same results.
        sha256: SHA-256 of the content in hex, so that a changed file under the same name is detected.
    """

    path: Path = dataclasses.field(metadata={"digest": False})
    sha256: str


def named_files(request: Request) -> dict[str, str]:
    """The files that a request names, by field: {"levels[0].image": "/photos/a.jpg"}."""
    found = {
        f"levels[{index}].{kind}": name
        for index, level in enumerate(request.levels)
        for kind, name in (("image", level.image), ("depth", level.depth), ("splats", level.splats))
        if name is not None
    }
    for index, level in enumerate(request.levels):
        found |= dict(zip(asset_fields(request, index), level.assets))
    return found


def scene_field(level: int) -> str:
    """The field of a level that names a scene of splats."""
    return f"levels[{level}].splats"


def asset_fields(request: Request, level: int) -> list[str]:
    """The fields of a level that name the artist's own objects."""
    return [f"levels[{level}].assets[{number}]" for number in range(len(request.levels[level].assets))]


def with_files(request: Request, change: Callable[[str, str], str]) -> Request:
    """The request with each file's name replaced by `change(field, name)`; the fields are those of `named_files`."""

    def changed(field: str, name: str | None) -> str | None:
        return None if name is None else change(field, name)

    levels = [
        msgspec.structs.replace(
            level,
            image=changed(f"levels[{index}].image", level.image),
            depth=changed(f"levels[{index}].depth", level.depth),
            splats=changed(scene_field(index), level.splats),
            assets=list(map(change, asset_fields(request, index), level.assets)),
        )
        for index, level in enumerate(request.levels)
    ]
    return msgspec.structs.replace(request, levels=levels)


def with_models(request: Request, change: Callable[[str, str], str]) -> Request:
    """The request with the name of each model folder and LoRA replaced by `change(field, name)`."""
    engine = request.engine
    if not isinstance(engine, schema.DiffusionEngine):
        return request
    loras = [
        msgspec.structs.replace(lora, file=change(f"engine.loras[{index}].file", lora.file))
        for index, lora in enumerate(engine.loras)
    ]
    model, depth = change("engine.model", engine.model), change("engine.depth_model", engine.depth_model)
    return msgspec.structs.replace(
        request, engine=msgspec.structs.replace(engine, model=model, depth_model=depth, loras=loras)
    )


def in_place(request: Request) -> dict[str, Input]:
    """The files at their original paths, by field. Raises BadRequest if one can't be read."""
    return {field: Input(Path(name), digest_of_file(field, Path(name))) for field, name in named_files(request).items()}


def most_bytes(field: str) -> int:
    """The largest size of a file that this field names."""
    return limits.SPLAT_FILE_BYTES if ".assets[" in field or field.endswith(".splats") else limits.PICTURE_BYTES


def size_of_file(field: str, path: Path) -> int:
    """The size of a file in bytes. Raises BadRequest, which names the field, if it is no regular file or too large."""
    try:
        found = path.stat()
        check_regular(path, found, most_bytes(field))
        return found.st_size
    except RefusedFile as error:
        raise BadRequest(field, f"must be the path of a file; {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadRequest(field, f"must be a file that can be read: {path} ({reason or error})") from None


def digest_of_file(field: str, path: Path) -> str:
    """SHA-256 of a file in hex. Raises BadRequest, which names the field, if it is not a file or can't be read."""
    size_of_file(field, path)
    try:
        with open_regular(path, most_bytes(field), links=True) as file:
            return sha256_of(file, progress.check)
    except (OSError, RefusedFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRequest(field, f"must be a file that can be read: {path} ({reason})") from None


def check(inputs: Mapping[str, Input]) -> None:
    """Read every file once, to find errors before the job starts. Depth maps must have their picture's aspect.

    Raises:
        BadRequest: A file can't be read or has the wrong format; the error names the field.
    """
    sizes = {
        field: images.picture_size(one.path, field=field) for field, one in inputs.items() if field.endswith(".image")
    }
    for field in inputs.keys() - sizes.keys():
        path = inputs[field].path
        if not field.endswith(".depth"):
            _check_splats(field, path)
            continue
        rows, columns = images.read_depth(path, None, _ignore, field=field).shape
        width, height = sizes[field.removesuffix("depth") + "image"]
        if abs(columns * height / (rows * width) - 1) > SAME_ASPECT:
            raise BadRequest(
                field,
                f"must have its picture's aspect: {path.name} has {columns}×{rows} pixels, "
                f"the picture {width}×{height}",
            )


def _check_splats(field: str, path: Path) -> None:
    from core import formats

    if path.suffix.lower() in (".gltf", ".json"):  # the job keeps a copy of what is named, and of nothing beside it
        raise BadRequest(field, f"must be one file of Gaussian splats; export {path.name} as GLB, SOG or PLY")
    try:
        splats, _ = formats.read_upright(path)
    except SplatFileError as error:
        raise BadRequest(field, f"must be a file of Gaussian splats; {error}") from None
    if not len(splats):
        raise BadRequest(field, f"must be a file of Gaussian splats; {path.name} holds none that can be shown")


def _ignore(message: str) -> None:
    """Ignore messages about a depth map; they are logged when it is used."""


def located(request: Request, base: Path) -> Request:
    """The request with all paths made absolute; relative paths are resolved against `base`. A model name that is not a
    folder in `base` is not changed.
    """

    def model(field: str, name: str) -> str:
        if field.endswith(".file"):
            return _absolute(name, base)
        return _absolute(name, base) if name and (base / name).is_dir() else name

    return with_models(with_files(request, lambda field, name: _absolute(name, base)), model)


def _absolute(name: str, base: Path) -> str:
    return os.path.normpath(base.absolute() / name)

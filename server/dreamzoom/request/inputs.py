"""The artist's files that a request names: pictures, depth maps and splats, each known by the hash of its bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.errors import BadRequest, SplatFileError
from dreamzoom import images, wire
from dreamzoom.wire import Request

SAME_ASPECT = 0.02
"""A depth map may differ from its picture's aspect by so much: what rounding to whole pixels does to small ones."""


@dataclasses.dataclass(frozen=True)
class Input:
    """A picture, depth map or PLY of splats that a level names.

    Attributes:
        path: Where it can be read now. Digests leave it out: the same file elsewhere gives the same results.
        sha256: Of its bytes, in hex, so that another file under the same name is noticed.
    """

    path: Path = dataclasses.field(metadata={"digest": False})
    sha256: str


def named_files(request: Request) -> dict[str, str]:
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
    """The files where the artist has them, by field. Raises BadRequest for one that can't be read."""
    return {field: Input(Path(name), digest_of_file(field, Path(name))) for field, name in named_files(request).items()}


def digest_of_file(field: str, path: Path) -> str:
    """SHA-256 of a file, in hex. Raises BadRequest, which names the field, if it is no file or can't be read."""
    if path.exists() and not path.is_file():
        raise BadRequest(field, f"must be the path of a file; {path} is none")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadRequest(field, f"must be a file that can be read: {path} ({error.strerror or error})") from None


def check(inputs: Mapping[str, Input]) -> None:
    """Read every file once, so that a bad one is found before hours of work; depths must have their pictures' aspect.

    Raises:
        BadRequest: A file can't be read, or is no picture, depth map or PLY of splats; it names the field.
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
    from core.formats.splat_ply import read_splats

    try:
        read_splats(path)
    except SplatFileError as error:
        raise BadRequest(field, f"must be a PLY of Gaussian splats; {error}") from None


def _ignore(message: str) -> None:
    """Remarks about a depth map are logged when it is used."""


def located(request: Request, base: Path) -> Request:
    """The same request with the paths in it made absolute: relative ones count from `base`."""
    levels = [
        msgspec.structs.replace(
            level,
            image=_absolute(level.image, base),
            depth=_absolute(level.depth, base),
            assets=[_absolute(name, base) for name in level.assets],
        )
        for level in request.levels
    ]
    return msgspec.structs.replace(request, levels=levels, engine=_engine_located(request.engine, base))


def _engine_located(engine: wire.Engine, base: Path) -> wire.Engine:
    """Folders of models and files of LoRAs likewise; a model's name that is no folder there stays a name."""
    if not isinstance(engine, wire.DiffusionEngine):
        return engine

    def found(name: str) -> str:
        return _absolute(name, base) or name if name and (base / name).is_dir() else name

    loras = [msgspec.structs.replace(lora, file=_absolute(lora.file, base)) for lora in engine.loras]
    return msgspec.structs.replace(
        engine, model=found(engine.model), depth_model=found(engine.depth_model), loras=loras
    )


def _absolute(name: str | None, base: Path) -> str | None:
    return None if name is None else os.path.normpath(base.absolute() / name)

"""Reading and writing files of splats and of points.

`FORMATS` is the registry of splat formats: a new format is a module that defines `FORMAT`, and one line here. Point
clouds are not in the registry: `points` reads and writes them.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import SplatFileError
from ..gaussians import Gaussians
from . import compressed_ply, dot_splat, splat_ply, spz
from .format import Format, SplatFile

__all__ = ["FORMATS", "SUFFIXES", "Format", "SplatFile", "read", "write"]

FORMATS: tuple[Format, ...] = (
    compressed_ply.FORMAT,
    splat_ply.FORMAT,
    spz.FORMAT,
    dot_splat.FORMAT,
)
"""All splat formats. Reading uses the first that recognises the file, writing the first whose suffix matches."""

SUFFIXES = tuple(dict.fromkeys(f".{form.suffix.rpartition('.')[2]}" for form in FORMATS))
"""The last file name suffix of each format, for file dialogs."""


def read(path: Path) -> SplatFile:
    """Read a file of splats. The format follows from the content; only `.splat`, without magic number, from the name.

    Raises:
        SplatFileError: The file is of no known format or invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        magic = file.read(4)
    form = next((form for form in FORMATS if form.recognises(path, magic)), None)
    if form is None:
        raise SplatFileError(
            f"{path.name}: not a file of splats that is known", f"files that can be read end in {_listed()}"
        )
    return form.read(path).usable()


def write(path: Path, splats: Gaussians) -> None:
    """Write splats in the format of the file name's suffix.

    Raises:
        SplatFileError: The suffix is of no known format, or the format can't store these splats.
        OSError: The folder can't be written.
    """
    path = Path(path)
    form = next((form for form in FORMATS if path.name.lower().endswith(form.suffix)), None)
    if form is None:
        raise SplatFileError(f"{path.name}: splats are written as {_listed()}")
    form.write(path, splats)


def _listed() -> str:
    return ", ".join(form.suffix for form in FORMATS)

"""Files of splats and of points, in and out.

`FORMATS` is the one registry: a new format of splats is a module that ends in its `FORMAT`, and its line here. Points
are no format of it: `points` reads and writes them.
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
"""All formats of splats. A file is of the first that recognises it, or to be written in the first whose suffix fits."""

SUFFIXES = tuple(dict.fromkeys(f".{form.suffix.rpartition('.')[2]}" for form in FORMATS))
"""The last suffixes of all formats' file names, for file choosers."""


def read(path: Path) -> SplatFile:
    """Read a file of splats, of the format that its content shows; only `.splat`, which has no mark, goes by its name.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
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
    """Write splats in the format that the file's name ends in.

    Raises:
        SplatFileError: The ending is of no known format, or the format can't hold these splats.
        OSError: The folder can't be written.
    """
    path = Path(path)
    form = next((form for form in FORMATS if path.name.lower().endswith(form.suffix)), None)
    if form is None:
        raise SplatFileError(f"{path.name}: splats are written as {_listed()}")
    form.write(path, splats)


def _listed() -> str:
    return ", ".join(form.suffix for form in FORMATS)

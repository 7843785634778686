"""Reading and writing files of splats and of points.

`FORMATS` is the registry of splat formats: a new format is a module that defines `FORMAT`, and one line here. Point
clouds are not in the registry: `points` reads and writes them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import SplatFileError
from ..gaussians import Gaussians
from . import compressed_ply, dot_splat, gltf, sog, splat_ply, spz
from .axes import usual
from .format import About, Format, SplatFile
from .source import GZIP, Inflater, Source

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "About",
    "Format",
    "SplatFile",
    "format_of",
    "read",
    "read_upright",
    "write",
]

FORMATS: tuple[Format, ...] = (
    compressed_ply.FORMAT,
    splat_ply.FORMAT,
    spz.FORMAT,
    gltf.FORMAT,
    sog.FORMAT,
    dot_splat.FORMAT,
)
"""All splat formats. Reading uses the first that recognises the file, writing the first whose suffix matches."""

SUFFIXES = tuple(dict.fromkeys(f".{form.suffix.rpartition('.')[2]}" for form in FORMATS))
"""The last file name suffix of each format, for file dialogs."""


def read(path: Path) -> SplatFile:
    """Read a file of splats, or a folder with a SOG. The format follows from the content; only `.splat`, without magic
    number, from the name.

    Raises:
        SplatFileError: The file is of no known format or invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    path = Path(path)
    source = Source(path / "meta.json" if path.is_dir() else path)
    magic = source.read(0, 4)
    if magic.startswith(GZIP) and Inflater(source).read(4) != spz.MAGIC and source.path.suffix.lower() != ".spz":
        source = source.unpacked()
        magic = source.read(0, 4)
    form = next((form for form in FORMATS if form.recognises(source, magic)), None)
    if form is None:
        raise SplatFileError(
            f"{source.name}: not a file of splats that is known", f"files that can be read end in {_listed()}"
        )
    return replace(form.read(source).usable(), form=form.name)


def read_upright(path: Path) -> tuple[Gaussians, str]:
    """Read splats for a frame with z up (x right, y ahead), at the places that the file gives them.

    They are turned as the file or its format demands; a PLY that says nothing of its axes is in that frame already.

    Returns:
        The splats, and one line about what the file says and what was changed; "" if there is nothing to say.

    Raises:
        SplatFileError, OSError: As `read` does.
    """
    file = read(path)
    name = Path(path).name
    if file.axes.said or not format_named(file.form).keeps_axes:
        return file.upright(), f"{name}: {file.report}"
    placed = replace(file, axes=usual("Z")).upright()
    return placed, f"{name}: {'; '.join(file.changes)}" if file.changes else ""


def format_named(name: str) -> Format:
    """The format of this name. Raises StopIteration if there is none."""
    return next(form for form in FORMATS if form.name == name)


def write(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
    """Write splats in the format of the file name's suffix.

    Raises:
        SplatFileError: The suffix is of no known format, or the format can't store these splats.
        OSError: The folder can't be written.
    """
    format_of(path).write(Path(path), splats, about)


def format_of(path: Path) -> Format:
    """The format in which splats are written to a file of this name.

    Raises:
        SplatFileError: The suffix is of no known format.
    """
    form = next((form for form in FORMATS if Path(path).name.lower().endswith(form.suffix)), None)
    if form is None:
        raise SplatFileError(f"{Path(path).name}: splats are written as {_listed()}")
    return form


def _listed() -> str:
    return ", ".join(form.suffix for form in FORMATS)

"""Files of splats: 3DGS PLY, SuperSplat's compressed PLY, `.splat` and SPZ, in and out."""

from __future__ import annotations

from pathlib import Path

from ..errors import SplatFileError
from ..gaussians import Gaussians
from . import compressed_ply, dot_splat, splat_ply, spz
from . import ply as container
from .splat_ply import read_pieces, read_splats, write_splats

__all__ = ["read", "read_pieces", "read_splats", "write", "write_splats"]

FORMATS = {".compressed.ply": compressed_ply, ".ply": splat_ply, ".splat": dot_splat, ".spz": spz}
"""By the end of the file's name; the longest that fits counts."""


def read(path: Path) -> tuple[Gaussians, str]:
    """Read a file of splats, of the format that its content shows; only `.splat`, which has no mark, goes by its name.

    Returns:
        The splats, and one line about what was left out ("" when nothing was).

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    path = Path(path)
    splats, dropped = _format_of(path).read_counted(path)
    if not dropped:
        return splats, ""
    whole = len(splats) + dropped
    return splats, f"{path.name}: {dropped:,} of {whole:,} splats were left out: they hold NaN or infinite values"


def write(path: Path, splats: Gaussians):
    """Write splats in the format that the file's name ends in.

    Raises:
        SplatFileError: The ending is of no known format, or the format can't hold these splats.
        OSError: The folder can't be written.
    """
    path = Path(path)
    ending = next((ending for ending in FORMATS if path.name.lower().endswith(ending)), None)
    if ending is None:
        raise SplatFileError(f"{path.name}: splats are written as {', '.join(FORMATS)}")
    FORMATS[ending].write_splats(path, splats)


def _format_of(path: Path):
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:3] == b"ply":
        return compressed_ply if compressed_ply.is_compressed(container.header_of(path)) else splat_ply
    if magic == spz.MAGIC or magic[:2] == spz.GZIP:
        return spz
    if path.suffix.lower() == ".splat":
        return dot_splat
    raise SplatFileError(
        f"{path.name}: not a file of splats that is known", f"files that can be read end in {', '.join(FORMATS)}"
    )

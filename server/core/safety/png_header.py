"""The size of a PNG, so that Blender, which decodes any picture, gets only ones of a size that can be."""

from __future__ import annotations

import struct
from pathlib import Path

from ..errors import RefusedFile
from . import limits
from .regular_files import is_link, open_regular

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_size(path: Path, most_pixels: int, *, parents: int = 0) -> tuple[int, int]:
    """Width and height of a PNG, by its header.

    Args:
        path: The file, which may be no link.
        most_pixels: How many pixels it may have.
        parents: How many of the folders above it may be no links either.

    Raises:
        FileNotFoundError, OSError: It can't be opened.
        RefusedFile: It is no PNG, no regular file, or too large.
    """
    path = Path(path)
    for folder in list(path.parents)[:parents]:
        if is_link(folder.lstat()):
            raise RefusedFile(f"{folder} is a link")
    with open_regular(path, limits.PICTURE_BYTES) as file:
        head = file.read(24)
    if head[:8] != _SIGNATURE or head[12:16] != b"IHDR" or len(head) < 24:
        raise RefusedFile(f"{path.name} is no PNG")
    width, height = struct.unpack_from(">II", head, 16)
    if not 0 < width * height <= most_pixels:
        raise RefusedFile(f"{path.name} has {width}×{height} pixels; at most {most_pixels:,} are shown")
    return width, height

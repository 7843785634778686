"""The tags of a TIFF file's first picture, read and checked before it is decoded ("TIFF Revision 6.0")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.request.pictures.checks import check_size

WIDTH, HEIGHT, BITS, COMPRESSION, SUBFILE, SAMPLES, PLANAR = 256, 257, 258, 259, 254, 277, 284
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION, ORIENTATION, PHOTOMETRIC = 317, 338, 339, 50706, 274, 262
FLOAT = 3

_SIZES = {1: 1, 3: 2, 4: 4, 16: 8, 2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_TAGS, _MOST_VALUES = 4096, 1_000_000
_RAW = "is a camera raw file: develop it to a TIFF or JPEG picture first"


@dataclass(frozen=True)
class Tags:
    """The integer tags of the first picture, and the byte order ("<" or ">")."""

    order: str
    values: dict[int, tuple[int, ...]]

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return self.values.get(tag, (default,))[0]


def check_tiff(path: Path, field: str) -> Tags:
    """Read the tags of the first picture and check what a decoder would allocate.

    Raises:
        BadRequest: The tags are damaged, claim too large a picture or tile, or belong to a camera's raw file, whose
            first picture is a small preview.
    """
    try:
        tags = read_tags(path)
    except (struct.error, ValueError, OSError, KeyError, OverflowError, IndexError) as error:
        raise BadRequest(field, f"{path.name} can't be read: its TIFF tags are damaged ({error})") from None
    if DNG_VERSION in tags.values or tags.first(SUBFILE, 0) & 1:
        raise BadRequest(field, f"{path.name} {_RAW}")
    with path.open("rb") as file:
        if file.read(10)[8:10] == b"CR":
            raise BadRequest(field, f"{path.name} {_RAW}")
    check_size(path.name, field, tags.first(WIDTH, 0), tags.first(HEIGHT, 0))
    side = max(tags.first(TILE_WIDTH, 1), tags.first(TILE_HEIGHT, 1))
    if tags.first(TILE_WIDTH, 1) * tags.first(TILE_HEIGHT, 1) > limits.PICTURE_BOMB_PIXELS or side < 1:
        raise BadRequest(field, f"{path.name} can't be read: its tiles are too large")
    if not 1 <= tags.first(SAMPLES, 1) <= 8:
        raise BadRequest(field, f"{path.name} can't be read: it has {tags.first(SAMPLES, 1)} samples a pixel")
    if not all(1 <= bits <= 64 for bits in tags.values.get(BITS, (1,))):
        raise BadRequest(field, f"{path.name} can't be read: it has samples of {tags.values[BITS]} bits")
    return tags


def read_tags(path: Path) -> Tags:
    """The integer tags of the first picture. Raises ValueError, KeyError or struct.error if they are damaged."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        at = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
        file.seek(at)
        (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        if count > _MOST_TAGS:
            raise ValueError(f"{count} tags")
        entries = file.read(count * (20 if big else 12))
        return Tags(order, dict(_entries(file, entries, order, big, length)))


def _entries(file: BinaryIO, entries: bytes, order: str, big: bool, length: int):
    """Pairs (tag, values) of the integer tags."""
    step, inline = (20, 8) if big else (12, 4)
    for start in range(0, len(entries) - step + 1, step):
        tag, kind = struct.unpack_from(order + "HH", entries, start)
        (count,) = struct.unpack_from(order + ("Q" if big else "I"), entries, start + 4)
        code = _CODES.get(kind)
        if code is None or not 0 < count <= _MOST_VALUES:
            continue
        size = count * _SIZES[kind]
        place = start + (12 if big else 8)
        data = entries[place : place + size]
        if size > inline:
            (at,) = struct.unpack_from(order + ("Q" if big else "I"), entries, place)
            if at + size > length:
                raise ValueError(f"tag {tag} lies outside the file")
            file.seek(at)
            data = file.read(size)
        yield tag, struct.unpack(f"{order}{count}{code}", data)

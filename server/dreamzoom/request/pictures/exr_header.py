"""The header of an OpenEXR file, parsed and checked before the library opens it ("OpenEXR File Layout").

The library allocates what a header claims; so sizes, channels and the length of the file are checked here first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.request.pictures.checks import check_size

COMPRESSIONS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB", "HTJ2K256", "HTJ2K32")
_LINES = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32)
"""Rows in a chunk of scan lines, by compression."""

_TYPE_BYTES = (4, 2, 4)
"""Bytes of a value by pixel type: uint, half, float."""

_TILED, _LONG_NAMES, _DEEP, _MULTIPART = 0x200, 0x400, 0x800, 0x1000

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Channel:
    """A channel of a part: its full name, the bytes of a value, and its subsampling in x and y."""

    name: str
    bytes: int
    sampling: tuple[int, int]


@dataclass(frozen=True)
class Part:
    """One part of the file.

    Attributes:
        name: Empty in files of one part.
        channels: In the file's order.
        data, display: The data and the display window: least x, least y, greatest x, greatest y, in pixels.
        view: The view of a stereo picture ("left"), empty if there is none.
    """

    name: str
    channels: tuple[Channel, ...]
    data: Box
    display: Box
    view: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the data window."""
        return self.data[2] - self.data[0] + 1, self.data[3] - self.data[1] + 1


def read_header(path: Path, field: str) -> list[Part]:
    """Parse and check the headers of all parts.

    Raises:
        BadRequest: The header is damaged, claims more pixels, parts or channels than allowed, does not fit the length
            of the file, or describes deep data.
    """
    with path.open("rb") as file:
        data = file.read(limits.PICTURE_HEADER_BYTES)
    try:
        parts = _parts(data, path.stat().st_size, path.name, field)
    except (struct.error, IndexError, ValueError, UnicodeDecodeError, KeyError, OverflowError) as error:
        raise BadRequest(field, f"{path.name} can't be read as EXR: its header is damaged ({error})") from None
    return parts


def _parts(data: bytes, length: int, name: str, field: str) -> list[Part]:
    magic, version = struct.unpack_from("<II", data)
    if magic != 20000630 or version & 0xFF != 2:
        raise ValueError("not an EXR file of version 2")
    if version & _DEEP:
        raise BadRequest(field, f"{name} has deep samples; flatten it to a plain picture first")
    at, found, multipart = 8, [], bool(version & _MULTIPART)
    chunks = 0
    while True:
        attributes, at = _attributes(data, at)
        if not attributes:
            break
        part, count = _part(attributes, bool(version & _TILED), multipart, name, field)
        found.append(part)
        chunks += count
        if not multipart:
            break
        if len(found) > limits.PICTURE_PARTS:
            raise ValueError(f"more than {limits.PICTURE_PARTS} parts")
    if not found:
        raise ValueError("no part")
    if sum(len(part.channels) for part in found) > limits.PICTURE_CHANNELS:
        raise ValueError(f"more than {limits.PICTURE_CHANNELS} channels")
    if at + 16 * chunks > length:  # the offset table, then at least a head of 8 bytes for each chunk
        raise BadRequest(field, f"{name} can't be read as EXR: it is cut off, or its header claims too many pixels")
    return found


def _attributes(data: bytes, at: int) -> tuple[dict[str, tuple[str, bytes]], int]:
    """The attributes of one header by name, as (type, value), and the place after them."""
    found: dict[str, tuple[str, bytes]] = {}
    while True:
        name, at = _text(data, at)
        if not name:
            return found, at
        kind, at = _text(data, at)
        (size,) = struct.unpack_from("<i", data, at)
        at += 4
        if size < 0 or at + size > len(data):
            raise ValueError(f"attribute {name[:40]!r} of {size} bytes")
        found[name] = (kind, data[at : at + size])
        at += size


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at, at + 256)
    return data[at:end].decode("utf-8", "replace"), end + 1


def _part(attributes, tiled: bool, multipart: bool, name: str, field: str) -> tuple[Part, int]:
    """A part and the number of its chunks."""
    values = {key: value for key, (_, value) in attributes.items()}
    window = struct.unpack("<4i", values["dataWindow"])
    display = struct.unpack("<4i", values["displayWindow"])
    kind = values.get("type", b"").rstrip(b"\0").decode("ascii", "replace")
    if kind.startswith("deep"):
        raise BadRequest(field, f"{name} has deep samples; flatten it to a plain picture first")
    part = Part(_string(values, "name"), _channels(values["channels"]), window, display, _string(values, "view"))
    width, height = part.size
    check_size(name, field, width, height)
    if not (abs(window[0]) < 2**30 and abs(window[1]) < 2**30):
        raise ValueError(f"data window {window}")
    if tiled and not multipart or kind == "tiledimage":
        across, down = struct.unpack_from("<II", values["tiles"])
        if not (0 < across <= 65536 and 0 < down <= 65536 and across * down <= 2**26):
            raise ValueError(f"tiles of {across}×{down} pixels")
        return part, -(-width // across) * -(-height // down)
    compression = values["compression"][0]
    if compression >= len(COMPRESSIONS):
        raise ValueError(f"unknown compression {compression}")
    return part, -(-height // _LINES[compression])


def _string(values: dict[str, bytes], key: str) -> str:
    return values.get(key, b"").rstrip(b"\0").decode("utf-8", "replace")


def _channels(data: bytes) -> tuple[Channel, ...]:
    at, found = 0, []
    while True:
        name, at = _text(data, at)
        if not name:
            return tuple(found)
        kind, _, across, down = struct.unpack_from("<iB3xii", data, at)
        if not (0 <= kind < 3 and 0 < across <= 64 and 0 < down <= 64):
            raise ValueError(f"channel {name[:40]!r}")
        found.append(Channel(name, _TYPE_BYTES[kind], (across, down)))
        at += 16
        if len(found) > limits.PICTURE_CHANNELS:
            raise ValueError(f"more than {limits.PICTURE_CHANNELS} channels")

"""TIFF pictures and depth maps of floating-point samples, which Pillow reads only in part.

Uncompressed, PackBits, LZW and deflate, in strips or tiles, with or without predictor ("TIFF Revision 6.0"; Adobe's
"TIFF Technical Note 3" for the floating-point predictor).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.jit import njit
from dreamzoom.request.pictures import tiff_tags as tags
from dreamzoom.request.pictures.checks import check_ratio, check_size
from dreamzoom.request.pictures.decoded import Decoded, from_light

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 8, 32946, 32773
_NAMES = {2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 7: "JPEG", 50000: "Zstandard", 50001: "WebP", 34887: "LERC"}
_NAMES |= {34925: "LZMA"}
_ASSOCIATED = 1


def is_float(found: tags.Tags) -> bool:
    """Whether the samples are floating-point numbers."""
    return found.first(tags.SAMPLE_FORMAT, 1) == tags.FLOAT


def read_float_tiff(path: Path, found: tags.Tags, field: str) -> Decoded:
    """A picture in linear light. Arguments and errors as `read_samples`."""
    samples = read_samples(path, found, field)
    count = samples.shape[-1]
    colours = 1 if count < 3 else 3
    kind = found.first(tags.EXTRA_SAMPLES, 0)
    alpha = samples[..., colours] if count > colours and kind in (1, 2) else None
    return from_light([samples[..., n] for n in range(colours)], alpha, premultiplied=kind == _ASSOCIATED)


def read_samples(path: Path, found: tags.Tags, field: str) -> np.ndarray:
    """All samples (H, W, channels) float32.

    Args:
        path: The file.
        found: Its tags, as checked by `tiff_tags.check_tiff`.
        field: Name of the request's field, for error messages.

    Raises:
        BadRequest: The file is damaged, too large, or compressed in another way.
    """
    plan = _plan(path, found, field)
    check_size(path.name, field, plan.width, plan.height, limits.PICTURE_FLOAT_PIXELS)
    pixels = plan.width * plan.height
    check_ratio(path.name, field, pixels, pixels * plan.channels * plan.bytes, path.stat().st_size)
    out = np.zeros((plan.height, plan.width, plan.channels), np.float32)
    try:
        with path.open("rb") as file:
            for top, left, channel, offset, length in plan.blocks():
                file.seek(offset)
                block = _block(file.read(length), plan)
                rows, columns = min(plan.rows, plan.height - top), min(plan.columns, plan.width - left)
                out[top : top + rows, left : left + columns, channel] = block[:rows, :columns]
    except (ValueError, zlib.error, IndexError, OSError) as error:
        raise BadRequest(field, f"{path.name} can't be read: {error}") from None
    return _turned(out, found.first(tags.ORIENTATION, 1))


@dataclass(frozen=True)
class _Plan:
    """How the samples are stored: sizes in pixels, of blocks (strips or tiles) too; offsets and lengths in bytes."""

    width: int
    height: int
    channels: int
    bytes: int
    columns: int
    rows: int
    planar: bool
    tiled: bool
    compression: int
    predictor: int
    order: str
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def block_channels(self) -> int:
        """Channels in one block."""
        return 1 if self.planar else self.channels

    def blocks(self) -> Iterator[tuple[int, int, slice, int, int]]:
        """Top row, left column, channels, offset and length of each block."""
        places = [(t, s) for t in range(0, self.height, self.rows) for s in range(0, self.width, self.columns)]
        for plane in range(self.channels if self.planar else 1):
            channels = slice(plane, plane + 1) if self.planar else slice(None)
            for number, (top, left) in enumerate(places, plane * len(places)):
                yield top, left, channels, self.offsets[number], self.lengths[number]


def _plan(path: Path, found: tags.Tags, field: str) -> _Plan:
    width, height = found.first(tags.WIDTH, 0), found.first(tags.HEIGHT, 0)
    bits = set(found.values.get(tags.BITS, (1,)))
    compression = found.first(tags.COMPRESSION, _NONE)
    if compression not in (_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS):
        name = _NAMES.get(compression, str(compression))
        raise BadRequest(field, f"{path.name} is a TIFF of {name} compression; save it with LZW, deflate or none")
    if len(bits) != 1 or not bits <= {16, 32, 64}:
        raise BadRequest(field, f"{path.name} can't be read: floating-point samples of {sorted(bits)} bits")
    tiled = tags.TILE_OFFSETS in found.values
    columns = found.first(tags.TILE_WIDTH, 0) if tiled else width
    rows = found.first(tags.TILE_HEIGHT, 0) if tiled else min(found.first(tags.ROWS_PER_STRIP, height), height)
    if not (columns > 0 and rows > 0):
        raise BadRequest(field, f"{path.name} can't be read: its strips or tiles have no size")
    plan = _Plan(
        width,
        height,
        found.first(tags.SAMPLES, 1),
        bits.pop() // 8,
        columns,
        rows,
        found.first(tags.PLANAR, 1) == 2,
        tiled,
        compression,
        found.first(tags.PREDICTOR, 1),
        found.order,
        found.values.get(tags.TILE_OFFSETS if tiled else tags.STRIP_OFFSETS, ()),
        found.values.get(tags.TILE_BYTES if tiled else tags.STRIP_BYTES, ()),
    )
    count = -(-height // rows) * -(-width // columns) * (plan.channels if plan.planar else 1)
    size, length = columns * rows * plan.block_channels * plan.bytes, path.stat().st_size
    outside = any(o + n > length for o, n in zip(plan.offsets, plan.lengths))
    if len(plan.offsets) < count or len(plan.lengths) < count or outside or size > limits.ARRAY_BYTES // 4:
        raise BadRequest(field, f"{path.name} can't be read: it is cut off, or its header claims too many pixels")
    return plan


def _block(data: bytes, plan: _Plan) -> np.ndarray:
    """The samples of a block, (rows, columns, channels) float32; rows that are missing in the last strip are 0."""
    row = plan.columns * plan.block_channels
    wanted = row * plan.rows * plan.bytes
    raw = _unpacked(data, plan.compression, wanted)
    rows = len(raw) // (row * plan.bytes)
    if rows == 0:
        raise ValueError("a strip or tile is cut off")
    raw = raw[: rows * row * plan.bytes]
    kind = np.dtype(f"{plan.order}f{plan.bytes}")
    if plan.predictor == 3:
        flat = raw.reshape(rows, plan.bytes * plan.columns, plan.block_channels)
        flat = np.cumsum(flat, 1, dtype=np.uint8)
        planes = flat.reshape(rows, plan.bytes, row)
        values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{plan.bytes}")[..., 0]
    elif plan.predictor == 2:
        steps = raw.view(f"{plan.order}u{plan.bytes}").reshape(rows, plan.columns, plan.block_channels)
        whole = np.cumsum(steps, 1, dtype=f"u{plan.bytes}")
        values = whole.view(f"f{plan.bytes}").reshape(rows, row)
    else:
        values = raw.view(kind).reshape(rows, row)
    out = np.zeros((plan.rows, plan.columns, plan.block_channels), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        out[:rows] = values.reshape(rows, plan.columns, plan.block_channels).astype(np.float32)
    return out


def _unpacked(data: bytes, compression: int, wanted: int) -> np.ndarray:
    """The bytes of a block, uint8, at most `wanted`."""
    if compression == _NONE:
        return np.frombuffer(data[:wanted], np.uint8)
    if compression in (_DEFLATE, _OLD_DEFLATE):
        return np.frombuffer(zlib.decompressobj().decompress(data, wanted), np.uint8)
    source, out = np.frombuffer(data, np.uint8), np.zeros(wanted, np.uint8)
    count = _lzw(source, out) if compression == _LZW else _packbits(source, out)
    if count < 0:
        raise ValueError("its compressed data are damaged")
    return out[:count]


@njit(cache=True, nogil=True)
def _packbits(source, out):
    """Unpack PackBits from `source` to `out` (uint8 arrays); returns the number of bytes, -1 if damaged."""
    at, n = 0, 0
    while at < len(source) and n < len(out):
        head = source[at]
        at += 1
        if head < 128:
            for _ in range(head + 1):
                if at >= len(source) or n >= len(out):
                    return n
                out[n] = source[at]
                at += 1
                n += 1
        elif head > 128:
            if at >= len(source):
                return -1
            for _ in range(257 - head):
                if n >= len(out):
                    return n
                out[n] = source[at]
                n += 1
            at += 1
    return n


@njit(cache=True, nogil=True)
def _lzw(source, out):
    """Unpack TIFF's LZW (codes of 9 to 12 bits, most significant bit first, early change) from `source` to `out`.

    A code stands for a string that lies in `out` already, so the table holds places and lengths.

    Returns:
        The number of bytes, -1 if damaged.
    """
    place, length = np.zeros(4096, np.int64), np.zeros(4096, np.int64)
    bits, buffer, held, at, n = 9, 0, 0, 0, 0
    following, before_place, before_length = 258, 0, 0
    while True:
        while held < bits:
            if at >= len(source):
                return n
            buffer = ((buffer << 8) | source[at]) & 0xFFFFFFFF
            at += 1
            held += 8
        code = (buffer >> (held - bits)) & ((1 << bits) - 1)
        held -= bits
        if code == 257 or n >= len(out):
            return n
        if code == 256:
            bits, following, before_length = 9, 258, 0
            continue
        start = n
        if code < 256:
            out[n] = code
            n += 1
        elif code < following and length[code] > 0:
            for k in range(length[code]):
                if n >= len(out):
                    return n
                out[n] = out[place[code] + k]
                n += 1
        elif code == following and before_length > 0:
            for k in range(before_length + 1):
                if n >= len(out):
                    return n
                out[n] = out[before_place + k] if k < before_length else out[before_place]
                n += 1
        else:
            return -1
        if before_length > 0 and following < 4096:
            place[following], length[following] = before_place, before_length + 1
            following += 1
        before_place, before_length = start, n - start
        if following + 1 >= (1 << bits) and bits < 12:
            bits += 1


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """An array (H, W, channels) turned upright by TIFF's orientation tag."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return values[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]

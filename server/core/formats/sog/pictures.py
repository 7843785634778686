"""Pictures of bytes: their sizes are read here, decoding is left to a decoder that server and add-on register, and
lossless WebP is written here (RFC 9649), so that both write the same bytes.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable

import numpy as np

from ...errors import SplatFileError

Decoder = Callable[[bytes], np.ndarray]

MOST_SIDE = 16383
"""Width and height that WebP allows."""

_decoders: list[Decoder] = []


def register(decoder: Decoder) -> None:
    """Set what decodes pictures.

    Args:
        decoder: Takes the bytes of a WebP or PNG picture, returns (H, W, 4) uint8, its values unchanged, and raises
            ValueError if it is damaged.
    """
    _decoders[:] = [decoder]


def size_of(name: str, data: bytes) -> tuple[int, int]:
    """Width and height of a WebP or PNG picture, by its header.

    Raises:
        SplatFileError: It is neither, or WebP with loss, which changes values.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = data[12:16]
        if kind == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if kind == b"VP8X" and len(data) >= 30 and b"VP8L" in data[30:2048]:
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        raise SplatFileError(f"{name}: one of its pictures is WebP with loss, or damaged")
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    raise SplatFileError(f"{name}: one of its pictures is neither WebP nor PNG")


def decoded(name: str, data: bytes) -> np.ndarray:
    """The values of a picture, (H, W, 4) uint8. Its size must have been checked.

    Raises:
        SplatFileError: It is damaged, or nothing here decodes pictures.
    """
    width, height = size_of(name, data)
    if not _decoders:
        raise SplatFileError(f"{name}: a SOG needs a decoder of pictures, which this Python lacks", "save it as PLY")
    try:
        picture = _decoders[0](data)
    except (ValueError, OSError, SyntaxError, RuntimeError) as error:
        raise SplatFileError(f"{name}: one of its pictures is damaged ({' '.join(str(error).split())})") from None
    if picture.shape != (height, width, 4) or picture.dtype != np.uint8:
        raise SplatFileError(f"{name}: one of its pictures is damaged: its size is not that of its header")
    return picture


def webp(picture: np.ndarray) -> bytes:
    """Encode (H, W, 4) uint8 RGBA as lossless WebP: Huffman codes, and differences to the left where that is shorter.

    Equal pictures give equal bytes. Raises ValueError for sides above `MOST_SIDE`.
    """
    height, width = picture.shape[:2]
    if not 0 < width <= MOST_SIDE or not 0 < height <= MOST_SIDE:
        raise ValueError(f"{width}×{height} pixels are more than WebP allows")
    bits = _Bits()
    bits.put(0x2F, 8)
    bits.put(width - 1 | (height - 1) << 14 | 1 << 28, 32)
    residual = _differences(picture)
    if _entropy(residual) < _entropy(picture):
        bits.put(1 | 0 << 1 | 7 << 3, 6)  # predictor transform, one mode for blocks of 512 pixels
        bits.put(0, 1)  # its picture of modes has no colour cache
        for symbol in (1, 0, 0, 255, 0):  # mode 1, in green: the pixel to the left
            _put_single(bits, symbol)
        picture = residual
    bits.put(0, 3)  # no further transform, no colour cache, one set of codes
    flat = picture.reshape(-1, 4)
    codes = []
    for channel, alphabet in ((1, 280), (0, 256), (2, 256), (3, 256)):
        codes.append(_put_code(bits, np.bincount(flat[:, channel], minlength=alphabet)))
    _put_single(bits, 0)  # distances, of which there are none
    _put_pixels(bits, flat, codes)
    data = bits.done()
    data += b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBPVP8L" + struct.pack("<I", bits.bytes) + data


class _Bits:
    """Bits, the least significant one first."""

    def __init__(self):
        self._parts: list[np.ndarray] = []
        self.bytes = 0

    def put(self, value: int, count: int) -> None:
        self._parts.append(np.array([value >> index & 1 for index in range(count)], np.uint8))

    def put_array(self, bits: np.ndarray) -> None:
        self._parts.append(bits)

    def done(self) -> bytes:
        data = np.packbits(np.concatenate(self._parts), bitorder="little").tobytes()
        self.bytes = len(data)
        return data


def _differences(picture: np.ndarray) -> np.ndarray:
    """What remains of each pixel without the one to the left; above, in the first column; opaque black at first."""
    residual = np.empty_like(picture)
    residual[:, 1:] = picture[:, 1:] - picture[:, :-1]
    residual[1:, 0] = picture[1:, 0] - picture[:-1, 0]
    residual[0, 0] = picture[0, 0] - np.array([0, 0, 0, 255], np.uint8)
    return residual


def _entropy(picture: np.ndarray) -> float:
    """The bits of a picture with ideal codes for each channel."""
    total = 0.0
    for channel in range(4):
        counts = np.bincount(picture[..., channel].ravel(), minlength=256)
        shares = counts[counts > 0]
        total -= float((shares * np.log2(shares / shares.sum())).sum())
    return total


def _put_single(bits: _Bits, symbol: int) -> None:
    """A code of one symbol, which needs no bits."""
    bits.put(1 | 0 << 1 | 1 << 2 | symbol << 3, 11)


def _put_code(bits: _Bits, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write the code for symbols of these counts. Returns each symbol's code, its first bit lowest, and its length."""
    used = np.flatnonzero(counts)
    if len(used) == 1:
        _put_single(bits, int(used[0]))
        return np.zeros(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
    lengths = _lengths(counts)
    bits.put(0, 1)
    bits.put(15, 4)  # 19 lengths of codes for lengths, in the format's order: four bits each for lengths 0 to 15
    for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15):
        bits.put(0 if symbol > 15 else 4, 3)
    bits.put(0, 1)  # the lengths of all symbols follow
    for length in lengths.tolist():
        bits.put(_reversed(length, 4), 4)
    codes, code, before = np.zeros(len(counts), np.uint64), 0, 0
    for symbol in sorted(used.tolist(), key=lambda symbol: (lengths[symbol], symbol)):
        length = int(lengths[symbol])
        code <<= length - before
        codes[symbol] = _reversed(code, length)
        code, before = code + 1, length
    return codes, lengths.astype(np.uint64)


def _lengths(counts: np.ndarray) -> np.ndarray:
    """Lengths of a Huffman code, 15 bits at most: counts are evened out until that is so. At least two are used."""
    counts = counts.astype(np.int64)
    while True:
        lengths = np.zeros(len(counts), np.int64)
        heap = [(int(counts[symbol]), int(symbol), [int(symbol)]) for symbol in np.flatnonzero(counts)]
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            lengths[first[2] + second[2]] += 1
            heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), first[2] + second[2]))
        if lengths.max() <= 15:
            return lengths
        counts = np.where(counts > 0, counts // 2 + 1, 0)


def _reversed(value: int, count: int) -> int:
    return sum((value >> index & 1) << (count - 1 - index) for index in range(count))


def _put_pixels(bits: _Bits, flat: np.ndarray, codes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write pixels (N, 4): the codes of green, red, blue and alpha, 60 bits at most each pixel."""
    for start in range(0, len(flat), 1 << 20):
        some = flat[start : start + (1 << 20)]
        words, sizes = np.zeros(len(some), np.uint64), np.zeros(len(some), np.uint64)
        for channel, (code, length) in zip((1, 0, 2, 3), codes):
            words |= code[some[:, channel]] << sizes
            sizes += length[some[:, channel]]
        ends = np.cumsum(sizes.astype(np.int64))
        bits.put_array(_packed(words, ends - sizes.astype(np.int64), int(ends[-1])))


def _packed(words: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """`count` bits, (count,) uint8, in which each word, of 60 bits at most, stands at its place."""
    packed = np.zeros(count // 64 + 2, np.uint64)
    cells, shifts = places >> 6, (places & 63).astype(np.uint64)
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    packed[cells[first]] |= np.bitwise_or.reduceat(words << shifts, first)
    over = np.where(shifts > 0, words >> (np.uint64(64) - np.maximum(shifts, np.uint64(1))), np.uint64(0))
    packed[cells[first] + 1] |= np.bitwise_or.reduceat(over, first)
    return np.unpackbits(packed.view(np.uint8), count=count, bitorder="little")

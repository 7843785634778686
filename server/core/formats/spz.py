"""Niantic's SPZ format: versions 1 to 3 are one gzip stream, version 4 has one ZSTD stream per attribute.

The axes are x right, y up, z back unless an extension names others. They are not converted: the caller does that.
"""

from __future__ import annotations

import gzip
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import in_chunks, mapped_zeros
from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from ..quaternions import unit
from ..safety import limits
from . import axes, quantization
from .format import About, Format, SplatFile
from .source import GZIP, Inflater, Source, check_ratio, check_rows

MAGIC = b"NGSP"
HEADER = struct.Struct("<4sIIBBBB")
STREAMS = struct.Struct("<I12x")
"""Version 4's addition to the header: the byte offset of the table of streams."""
ENTRY = struct.Struct("<QQ")
RECORD = struct.Struct("<II")
"""The head of an extension: its type, and the number of bytes that follow."""
COORDINATES = 0xADBE0003
"""The extension that names the axes: an index into `SYSTEMS`."""
SYSTEMS = (
    *("", "LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF"),
    *("LFD", "RFD", "LFU", "RFU", "LBD", "RBD", "LBU", "RBU"),
)
ANTIALIASED, EXTENDED = 1, 2
"""Bits of the header's flags."""
COLOUR_SCALE = np.float32(0.15)
MOST_FRACTION = 20
CHUNK = 1 << 15

_BYTES = np.arange(256, dtype=np.float32)
LOGITS = quantization.logits_of(np.arange(256, dtype=np.uint8))
COLOURS = (_BYTES / 255 - np.float32(0.5)) / COLOUR_SCALE
LOG_SCALES = _BYTES / 16 - 10
HARMONICS = (_BYTES - 128) / 128
"""The values of the bytes 0 to 255."""


def recognises(source: Path | Source, magic: bytes) -> bool:
    """Whether a file is SPZ by its first bytes or its name."""
    return magic == MAGIC or magic.startswith(GZIP) or Source.of(source).path.suffix.lower() == FORMAT.suffix


def read(path: Path | Source) -> SplatFile:
    """Read an SPZ file of version 1 to 4. No rows are left out, but of version 1 those that are NaN or infinite.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    source = Source.of(path)
    packed = _streams_of(source) if source.read(0, 4) == MAGIC else _legacy_parts(source)
    count = packed.count
    splats = Gaussians(
        mapped_zeros((count, 3)),
        mapped_zeros((count, 3)),
        mapped_zeros((count, 4)),
        mapped_zeros((count,)),
        mapped_zeros((count, (packed.degree + 1) ** 2, 3)),
    )
    in_chunks(lambda where: _fill(splats, packed, where), count, CHUNK)
    found, note = _extensions(packed.extensions) if packed.flags & EXTENDED else (None, "")
    finite = np.isfinite(splats.means).all(-1) if packed.version == 1 else np.ones(count, bool)
    return SplatFile(
        splats if finite.all() else splats[finite],
        found or axes.usual("Y"),
        count - int(np.count_nonzero(finite)),
        antialiased=bool(packed.flags & ANTIALIASED),
        notes=(note,) if note else (),
    )


def _fill(out: Gaussians, packed: _Packed, where: slice) -> None:
    """Decode the rows of a slice."""
    positions, alphas, colours, scales, rotations, harmonics = (
        np.frombuffer(part, np.uint8).reshape(packed.count, len(part) // packed.count)[where] for part in packed.parts
    )
    if packed.version == 1:
        out.means[where] = positions.view("<f2")
    else:
        out.means[where] = _fixed_point(positions, packed.fraction)
    out.logit_opacities[where] = LOGITS[alphas[:, 0]]
    out.sh[where, 0] = COLOURS[colours]
    out.log_scales[where] = LOG_SCALES[scales]
    out.quaternions[where] = _unpacked_rotations(rotations, packed.version)
    if packed.degree:
        out.sh[where, 1:] = HARMONICS[harmonics].reshape(len(harmonics), -1, 3)


def write_splats(path: Path, splats: Gaussians, about: About | int = 4, version: int = 4) -> None:
    """Write an SPZ file: positions in 24 bits, all other values in about 8; `extra` is lost.

    Positions get as many fractional bits as their range allows. Harmonics use all 8 bits.

    Args:
        path: The file.
        splats: With y up.
        about: Whether the file says that the splats are anti-aliased; or the version.
        version: 2 to 4.

    Raises:
        SplatFileError: The version is not 2, 3 or 4, the splats lie too far out, or their degree is above 3.
        OSError: The folder can't be written.
    """
    if isinstance(about, int):
        about, version = About(), about
    data = packed_bytes(Path(path).name, splats, about, version)
    with replacing(path) as file:
        file.write(data)


def packed_bytes(name: str, splats: Gaussians, about: About, version: int = 4) -> bytes:
    """The bytes of an SPZ file. `name` is for messages. Raises as `write_splats` does."""
    degree = round(splats.sh.shape[1] ** 0.5) - 1
    if version not in (2, 3, 4) or degree > 3:
        raise SplatFileError(f"{name}: SPZ {version} with harmonics of degree {degree} can't be written")
    fraction = _fraction_for(splats.means, name)
    fixed = np.round(splats.means.astype(np.float64) * (1 << fraction)).astype("<i4")
    parts = [
        np.ascontiguousarray(fixed.view(np.uint8).reshape(-1, 4)[:, :3]).tobytes(),
        quantization.opacity_bytes(splats.logit_opacities).tobytes(),
        quantization.to_byte(splats.sh[:, 0] * (COLOUR_SCALE * 255) + np.float32(127.5)).tobytes(),
        quantization.to_byte((splats.log_scales + 10) * 16).tobytes(),
        _packed_rotations(splats.quaternions, version),
        quantization.to_byte(splats.sh[:, 1:] * 128 + 128).tobytes(),
    ]
    flags = ANTIALIASED if about.antialiased else 0
    if version < 4:
        header = HEADER.pack(MAGIC, version, len(splats), degree, fraction, flags, 0)
        return gzip.compress(header + b"".join(parts), 6, mtime=0)
    parts = [part for part in parts if part]
    packed = [_zstd(name).ZstdCompressor(level=12).compress(part) for part in parts]
    return b"".join(
        [
            HEADER.pack(MAGIC, version, len(splats), degree, fraction, flags, len(parts)),
            STREAMS.pack(HEADER.size + STREAMS.size),
            *(ENTRY.pack(len(small), len(part)) for small, part in zip(packed, parts)),
            *packed,
        ]
    )


@dataclass(frozen=True)
class _Packed:
    """The header's fields, the unpacked bytes of each attribute in the file's order, and those of the extensions."""

    version: int
    count: int
    degree: int
    fraction: int
    flags: int
    parts: list[bytes]
    extensions: bytes


def _sizes(version: int, count: int, degree: int) -> list[int]:
    """Sizes in bytes of positions, alphas, colours, scales, rotations and harmonics, in the file's order."""
    return [
        (6 if version == 1 else 9) * count,
        count,
        3 * count,
        3 * count,
        (3 if version < 3 else 4) * count,
        3 * count * (degree * degree + 2 * degree),
    ]


def _checked(header: tuple, name: str, versions: tuple[int, ...], size: int) -> tuple[int, int, int, int, int]:
    """Validate a header for a file of `size` bytes. Returns version, count, degree, fraction bits and flags."""
    magic, version, count, degree, fraction, flags, _ = header
    if magic != MAGIC or version not in versions:
        known = "" if magic != MAGIC or version <= 4 else f"; it is of version {version}, which is newer"
        raise SplatFileError(f"{name}: not an SPZ file of a known version{known}")
    if degree > 4 or (version > 1 and not 1 <= fraction <= 24):
        raise SplatFileError(f"{name}: the SPZ header is damaged")
    try:
        check_ratio(name, size, sum(_sizes(version, count, degree)))
        check_rows(name, count)
    except SplatFileError:
        raise SplatFileError(f"{name}: the SPZ claims {count:,} splats, more than {size:,} bytes can hold") from None
    return version, count, degree, fraction, flags


def _legacy_parts(source: Source) -> _Packed:
    """Unpack a file of version 1 to 3."""
    if source.read(0, 2) != GZIP:
        raise SplatFileError(f"{source.name}: not an SPZ file, or a damaged one")
    inflater = Inflater(source)
    head = inflater.read(HEADER.size)
    if len(head) < HEADER.size:
        raise SplatFileError(f"{source.name}: the SPZ file is truncated")
    version, count, degree, fraction, flags = _checked(HEADER.unpack(head), source.name, (1, 2, 3), source.size)
    parts = [inflater.read(size) for size in _sizes(version, count, degree)]
    if [len(part) for part in parts] != _sizes(version, count, degree):
        raise SplatFileError(f"{source.name}: the SPZ file is truncated")
    extensions = inflater.read(limits.SPLAT_EXTENSION_BYTES) if flags & EXTENDED else b""
    return _Packed(version, count, degree, fraction, flags, parts, extensions)


def _streams_of(source: Source) -> _Packed:
    """Unpack a file of version 4."""
    data, name = source.read(), source.name
    if len(data) < HEADER.size + STREAMS.size:
        raise SplatFileError(f"{name}: the SPZ file is truncated")
    header = HEADER.unpack_from(data)
    version, count, degree, fraction, flags = _checked(header, name, (4,), len(data))
    sizes = _sizes(version, count, degree)
    (entry,) = STREAMS.unpack_from(data, HEADER.size)
    used = [index for index, size in enumerate(sizes) if size or header[-1] == len(sizes)]
    start = entry + ENTRY.size * len(used)
    if header[-1] != len(used) or entry < HEADER.size + STREAMS.size or start > len(data):
        raise SplatFileError(f"{name}: the SPZ file's table of streams is damaged")
    packed_parts: dict[int, bytes] = {}
    for place, index in enumerate(used):
        packed, promised = ENTRY.unpack_from(data, entry + ENTRY.size * place)
        if promised != sizes[index] or start + packed > len(data):
            raise SplatFileError(f"{name}: the SPZ file is truncated, or its table of streams is damaged")
        if promised:
            packed_parts[index] = data[start : start + packed]
        start += packed
    with ThreadPoolExecutor(4) as threads:
        unpacked = threads.map(lambda index: _unzstd(packed_parts[index], sizes[index], name), packed_parts)
        parts = [b""] * len(sizes)
        for index, part in zip(packed_parts, unpacked):
            parts[index] = part
    extensions = data[
        HEADER.size + STREAMS.size : min(entry, HEADER.size + STREAMS.size + limits.SPLAT_EXTENSION_BYTES)
    ]
    return _Packed(version, count, degree, fraction, flags, parts, extensions)


def _extensions(data: bytes) -> tuple[axes.Axes | None, str]:
    """The axes that the extensions name, and a phrase about those that are not known or damaged."""
    found, unknown, place = None, 0, 0
    while place + RECORD.size <= len(data):
        kind, size = RECORD.unpack_from(data, place)
        content = data[place + RECORD.size : place + RECORD.size + size]
        place += RECORD.size + size
        if len(content) < size:
            return found, "its extensions are damaged and were ignored from there on"
        if kind == COORDINATES and size >= 4:
            (index,) = struct.unpack_from("<I", content)
            named = axes.named(SYSTEMS[index]) if index < len(SYSTEMS) else None
            found = axes.Axes(named.matrix, f"{named.said}, as the file says") if named else found
            unknown += index >= len(SYSTEMS)
        elif kind >> 16 != COORDINATES >> 16:
            unknown += 1
    return found, f"{unknown} extension{'s' * (unknown > 1)} of the file not known, skipped" if unknown else ""


def _zstd(name: str):
    """The ZSTD package, which the server's environment and Blender both include."""
    try:
        import zstandard
    except ImportError:
        raise SplatFileError(
            f"{name}: an SPZ of version 4 needs ZSTD, which this Python lacks", "save the splats as PLY"
        ) from None
    return zstandard


def _unzstd(packed: bytes, size: int, name: str) -> bytes:
    """Decompress one stream of exactly `size` bytes, and never more than that."""
    zstandard = _zstd(name)
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(packed)) as reader:
            part = reader.read(size)
    except zstandard.ZstdError as error:
        raise SplatFileError(f"{name}: a stream of the SPZ file is damaged") from error
    if len(part) != size:
        raise SplatFileError(f"{name}: a stream of the SPZ file is too short")
    return part


def _fixed_point(part: np.ndarray, fraction: int) -> np.ndarray:
    """Decode bytes (N, 9) of 24-bit little-endian signed numbers with `fraction` fractional bits to (N, 3) float32."""
    words = np.zeros((3 * len(part), 4), np.uint8)
    words[:, 1:] = part.reshape(-1, 3)
    values = words.view("<i4")[:, 0] >> 8
    return (values.astype(np.float32) / np.float32(1 << fraction)).reshape(-1, 3)


def _fraction_for(means: np.ndarray, name: str) -> int:
    """The number of fractional bits with which positions (N, 3) fit 24 bits."""
    reach = float(np.abs(means).max(initial=0))
    fraction = MOST_FRACTION if reach == 0 else min(MOST_FRACTION, int(np.floor(np.log2(((1 << 23) - 1) / reach))))
    if not np.isfinite(reach) or fraction < 1:
        raise SplatFileError(f"{name}: the splats reach {reach:.3g} from the origin, too far for SPZ")
    return fraction


def _unpacked_rotations(part: np.ndarray, version: int) -> np.ndarray:
    """Decode bytes (N, 3) or (N, 4) to quaternions wxyz (N, 4) float32.

    Versions 1 and 2 store x, y, z in 8 bits each; 3 and 4 the smallest three of xyzw with 9 bits and a sign each.
    """
    if version < 3:
        xyz = part / np.float32(127.5) - 1
        w = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", xyz, xyz)))
        return unit(np.concatenate([w[:, None], xyz], -1))
    words = np.ascontiguousarray(part).view("<u4")[:, 0]
    coded = words[:, None] >> np.array([20, 10, 0], np.uint32)
    magnitude = (coded & np.uint32(511)).astype(np.float32) * (quantization.SQRT_HALF / 511)
    three = np.where(coded >> np.uint32(9) & np.uint32(1), -magnitude, magnitude)
    return quantization.from_smallest_three((words >> np.uint32(30)).astype(np.intp), three)[:, [3, 0, 1, 2]]


def _packed_rotations(quaternions: np.ndarray, version: int) -> bytes:
    """Encode quaternions wxyz (N, 4); the inverse of `_unpacked_rotations`."""
    xyzw = quaternions[:, [1, 2, 3, 0]]
    if version < 3:
        positive = np.where(xyzw[:, 3:] < 0, -xyzw[:, :3], xyzw[:, :3])
        return quantization.to_byte(positive * np.float32(127.5) + np.float32(127.5)).tobytes()
    largest, three = quantization.smallest_three(xyzw)
    magnitude = np.minimum(np.floor(np.abs(three) * (511 / quantization.SQRT_HALF) + np.float32(0.5)), 511).astype(
        np.uint32
    )
    coded = magnitude | (three < 0).astype(np.uint32) << np.uint32(9)
    words = largest.astype(np.uint32)
    for axis in range(3):
        words = words << np.uint32(10) | coded[:, axis]
    return words.astype("<u4").tobytes()


FORMAT = Format("SPZ", ".spz", recognises, read, write_splats, "Y")

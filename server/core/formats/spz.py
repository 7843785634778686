"""Niantic's SPZ format: versions 2 and 3 are one gzip stream, version 4 has one ZSTD stream per attribute.

Coordinate axes are not converted: SPZ defines x right, y up, z back; a 3DGS PLY mostly has x right, y down, z forward;
a level's frame has z up. The caller rotates the splats.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from ..quaternions import unit
from . import quantization
from .format import Format, SplatFile

MAGIC = b"NGSP"
GZIP = b"\x1f\x8b"
HEADER = struct.Struct("<4sIIBBBB")
STREAMS = struct.Struct("<I12x")
"""Version 4's addition to the header: the byte offset of the table of streams."""
ENTRY = struct.Struct("<QQ")
COLOUR_SCALE = np.float32(0.15)
MOST_COMPRESSION = 1100
"""Upper limit of the compression ratio (deflate's maximum is lower); headers that claim more are rejected."""
MOST_FRACTION = 20


def recognises(path: Path, magic: bytes) -> bool:
    """Whether a file is SPZ by its first bytes or its name."""
    return magic == MAGIC or magic.startswith(GZIP) or path.suffix.lower() == FORMAT.suffix


def read(path: Path) -> SplatFile:
    """Read an SPZ file of version 2, 3 or 4. No rows are left out: the format can't store NaN or infinite values.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    path = Path(path)
    data = path.read_bytes()
    unpack = _streams_of if data[:4] == MAGIC else _legacy_parts
    version, count, degree, fraction, parts = unpack(data, path.name)
    positions, alphas, colours, scales, rotations, harmonics = parts
    sh = np.empty((count, (degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (_floats(colours, 3) / 255 - np.float32(0.5)) / COLOUR_SCALE
    sh[:, 1:] = (_floats(harmonics, 3).reshape(count, sh.shape[1] - 1, 3) - 128) / 128
    splats = Gaussians(
        _fixed_point(positions, fraction),
        _floats(scales, 3) / 16 - 10,
        _unpacked_rotations(rotations, version),
        quantization.logits_of(np.frombuffer(alphas, np.uint8)),
        sh,
    )
    return SplatFile(splats, "Y")


def write_splats(path: Path, splats: Gaussians, version: int = 4):
    """Write an SPZ file: positions in 24 bits, all other values in about 8; `extra` is lost.

    Positions get as many fractional bits as their range allows. Harmonics use all 8 bits.

    Raises:
        SplatFileError: The version is not 2, 3 or 4, the splats lie too far out, or their degree is above 3.
        OSError: The folder can't be written.
    """
    degree = round(splats.sh.shape[1] ** 0.5) - 1
    if version not in (2, 3, 4) or degree > 3:
        raise SplatFileError(f"{Path(path).name}: SPZ {version} with harmonics of degree {degree} can't be written")
    fraction = _fraction_for(splats.means, Path(path).name)
    fixed = np.round(splats.means.astype(np.float64) * (1 << fraction)).astype("<i4")
    parts = [
        np.ascontiguousarray(fixed.view(np.uint8).reshape(-1, 4)[:, :3]).tobytes(),
        quantization.opacity_bytes(splats.logit_opacities).tobytes(),
        quantization.to_byte(splats.sh[:, 0] * (COLOUR_SCALE * 255) + np.float32(127.5)).tobytes(),
        quantization.to_byte((splats.log_scales + 10) * 16).tobytes(),
        _packed_rotations(splats.quaternions, version),
        quantization.to_byte(splats.sh[:, 1:] * 128 + 128).tobytes(),
    ]
    with replacing(path) as file:
        if version < 4:
            header = HEADER.pack(MAGIC, version, len(splats), degree, fraction, 0, 0)
            file.write(gzip.compress(header + b"".join(parts), 6, mtime=0))
            return
        parts = [part for part in parts if part]
        packed = [_zstd(Path(path).name).ZstdCompressor(level=12).compress(part) for part in parts]
        file.write(HEADER.pack(MAGIC, version, len(splats), degree, fraction, 0, len(parts)))
        file.write(STREAMS.pack(HEADER.size + STREAMS.size))
        file.write(b"".join(ENTRY.pack(len(small), len(part)) for small, part in zip(packed, parts)))
        file.write(b"".join(packed))


def _sizes(version: int, count: int, degree: int) -> list[int]:
    """Sizes in bytes of positions, alphas, colours, scales, rotations and harmonics, in the file's order."""
    return [
        9 * count,
        count,
        3 * count,
        3 * count,
        (3 if version < 3 else 4) * count,
        3 * count * (degree * degree + 2 * degree),
    ]


def _checked(header: tuple, name: str, versions: tuple[int, ...], size: int) -> tuple[int, int, int, int]:
    """Validate a header for a file of `size` bytes. Returns version, count, degree and fraction bits."""
    magic, version, count, degree, fraction, _, _ = header
    if magic != MAGIC or version not in versions:
        raise SplatFileError(f"{name}: not an SPZ file of a known version")
    if degree > 4 or not 1 <= fraction <= 24:
        raise SplatFileError(f"{name}: the SPZ header is damaged")
    if sum(_sizes(version, count, degree)) > size * MOST_COMPRESSION:
        raise SplatFileError(f"{name}: the SPZ claims {count:,} splats, more than {size:,} bytes can hold")
    return version, count, degree, fraction


def _legacy_parts(data: bytes, name: str):
    """Decompress a file of version 2 or 3: version, count, degree, fraction bits, and the bytes of each attribute."""
    inflater = zlib.decompressobj(31)
    try:
        head = inflater.decompress(data, HEADER.size)
        if len(head) < HEADER.size:
            raise SplatFileError(f"{name}: the SPZ file is truncated")
        version, count, degree, fraction = _checked(HEADER.unpack(head), name, (2, 3), len(data))
        sizes = _sizes(version, count, degree)
        body = inflater.decompress(inflater.unconsumed_tail, sum(sizes)) if sum(sizes) else b""
    except zlib.error as error:
        raise SplatFileError(f"{name}: not an SPZ file, or a damaged one ({error})") from error
    if len(body) < sum(sizes):
        raise SplatFileError(f"{name}: the SPZ file is truncated")
    ends = np.cumsum(sizes)
    return version, count, degree, fraction, [body[end - size : end] for size, end in zip(sizes, ends)]


def _streams_of(data: bytes, name: str):
    """Decompress a file of version 4: version, count, degree, fraction bits, and the bytes of each attribute."""
    if len(data) < HEADER.size + STREAMS.size:
        raise SplatFileError(f"{name}: the SPZ file is truncated")
    header = HEADER.unpack_from(data)
    version, count, degree, fraction = _checked(header, name, (4,), len(data))
    sizes = _sizes(version, count, degree)
    (entry,) = STREAMS.unpack_from(data, HEADER.size)
    used = [index for index, size in enumerate(sizes) if size]
    start = entry + ENTRY.size * len(used)
    if header[-1] != len(used) or entry < HEADER.size + STREAMS.size or start > len(data):
        raise SplatFileError(f"{name}: the SPZ file's table of streams is damaged")
    parts = [b""] * len(sizes)
    for place, index in enumerate(used):
        packed, promised = ENTRY.unpack_from(data, entry + ENTRY.size * place)
        if promised != sizes[index] or start + packed > len(data):
            raise SplatFileError(f"{name}: the SPZ file is truncated, or its table of streams is damaged")
        parts[index] = _unzstd(data[start : start + packed], promised, name)
        start += packed
    return version, count, degree, fraction, parts


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


def _floats(part: bytes, width: int) -> np.ndarray:
    return np.frombuffer(part, np.uint8).reshape(-1, width).astype(np.float32)


def _fixed_point(part: bytes, fraction: int) -> np.ndarray:
    """Decode 24-bit little-endian signed numbers with `fraction` fractional bits to (N, 3) float32."""
    words = np.zeros((len(part) // 3, 4), np.uint8)
    words[:, 1:] = np.frombuffer(part, np.uint8).reshape(-1, 3)
    values = words.view("<i4")[:, 0] >> 8
    return (values.astype(np.float32) / np.float32(1 << fraction)).reshape(-1, 3)


def _fraction_for(means: np.ndarray, name: str) -> int:
    """The number of fractional bits with which positions (N, 3) fit 24 bits."""
    reach = float(np.abs(means).max(initial=0))
    fraction = MOST_FRACTION if reach == 0 else min(MOST_FRACTION, int(np.floor(np.log2(((1 << 23) - 1) / reach))))
    if not np.isfinite(reach) or fraction < 1:
        raise SplatFileError(f"{name}: the splats reach {reach:.3g} from the origin, too far for SPZ")
    return fraction


def _unpacked_rotations(part: bytes, version: int) -> np.ndarray:
    """Decode quaternions wxyz (N, 4) float32.

    Version 2 stores x, y, z in 8 bits each; versions 3 and 4 the smallest three of xyzw with 9 bits and a sign each.
    """
    if version < 3:
        xyz = _floats(part, 3) / np.float32(127.5) - 1
        w = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", xyz, xyz)))
        return unit(np.concatenate([w[:, None], xyz], -1))
    words = np.frombuffer(part, "<u4")
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


FORMAT = Format("SPZ", ".spz", recognises, read, write_splats)

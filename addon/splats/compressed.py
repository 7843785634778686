"""Splats in few bits: SuperSplat's compressed PLY, `.splat`, and Niantic's SPZ, into arrays. No bpy here.

Values come out as the file has them; who imports turns the axes. What a header claims is checked against the file's
size before anything is allocated.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from . import ply
from .arrays import SH_C0, SplatFileError, Splats, unit

CHUNK = 256
BOUNDS = [
    f"{end}_{axis}" for group in ("", "scale_") for end in ("min", "max") for axis in (f"{group}{a}" for a in "xyz")
]
COLOUR_BOUNDS = [f"{end}_{axis}" for end in ("min", "max") for axis in "rgb"]
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
SQRT_HALF = np.float32(np.sqrt(0.5))
LEAST_OPACITY = np.float32(1e-6)
SPLAT_ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])

SPZ_MAGIC = b"NGSP"
GZIP_MAGIC = b"\x1f\x8b"
SPZ_HEADER = struct.Struct("<4sIIBBBB")
SPZ_STREAMS = struct.Struct("<I12x")
SPZ_ENTRY = struct.Struct("<QQ")
MOST_COMPRESSION = 1100
"""A header that claims more than this many bytes per byte of the file is not believed."""

_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def read_compressed_ply(path: Path) -> Splats:
    """Read a compressed PLY; splats whose chunk has bounds that are NaN or infinite are left out and counted.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    tables = {table.name: table for table in ply.tables_of(path)}
    chunks, vertices, harmonics = (tables.get(name) for name in ("chunk", "vertex", "sh"))
    if chunks is None or vertices is None:
        raise SplatFileError(f"{path.name} holds no splats: the compressed PLY lacks a table")
    coloured = "min_r" in chunks.columns
    needed = {chunks: BOUNDS + COLOUR_BOUNDS if coloured else BOUNDS, vertices: PACKED}
    for table, names in needed.items():
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise SplatFileError(f"{path.name} holds no splats: the compressed PLY has no {missing[0]}")
        table.check()
    if chunks.count != -(-vertices.count // CHUNK) or any(vertices.dtype[name] != np.uint32 for name in PACKED):
        raise SplatFileError(f"{path.name} is damaged: the tables of the compressed PLY do not fit each other")
    coded = np.zeros((vertices.count, 0, 3), np.uint8)
    if harmonics is not None:
        coded = _coded_harmonics(harmonics, vertices.count)
    with np.errstate(over="ignore", invalid="ignore"):
        splats = _unpacked(vertices.rows(0, vertices.count), chunks.rows(0, chunks.count), coded, coloured)
        good = np.isfinite(splats.means).all(-1) & np.isfinite(splats.log_scales).all(-1)
        good &= np.isfinite(splats.sh[:, 0]).all(-1)
    return _without(splats, good)


def read_dot_splat(path: Path) -> Splats:
    """Read a `.splat` file: 32 bytes a splat, no header. Raises as `read_compressed_ply`."""
    size = path.stat().st_size
    if size == 0 or size % SPLAT_ROW.itemsize:
        raise SplatFileError(
            f"{path.name} is truncated or no .splat file: {size:,} bytes are no whole number of splats"
        )
    rows = np.fromfile(path, SPLAT_ROW)
    good = np.isfinite(rows["mean"]).all(-1) & np.isfinite(rows["scale"]).all(-1) & (rows["scale"] >= 0).all(-1)
    with np.errstate(invalid="ignore"):
        log_scales = np.log(np.maximum(rows["scale"], np.float32(1e-30)))
    splats = Splats(
        np.ascontiguousarray(rows["mean"]),
        log_scales,
        unit((rows["rotation"].astype(np.float32) - 128) / 128),
        _logits(rows["rgba"][:, 3]),
        _constant(rows["rgba"][:, :3].astype(np.float32) / 255)[:, None],
    )
    return _without(splats, good)


def read_spz(path: Path) -> Splats:
    """Read an SPZ file of version 2, 3 (gzip) or 4 (ZSTD). Raises as `read_compressed_ply`."""
    data = path.read_bytes()
    unpack = _spz_streams if data[:4] == SPZ_MAGIC else _spz_gzip
    version, count, degree, fraction, parts = unpack(data, path.name)
    positions, alphas, colours, scales, rotations, harmonics = parts
    words = np.zeros((3 * count, 4), np.uint8)
    words[:, 1:] = np.frombuffer(positions, np.uint8).reshape(-1, 3)
    fixed = (words.view("<i4")[:, 0] >> 8).astype(np.float32)
    sh = np.empty((count, (degree + 1) ** 2, 3), np.float32)
    sh[:, 0] = (_floats(colours, 3) / 255 - np.float32(0.5)) / np.float32(0.15)
    sh[:, 1:] = (_floats(harmonics, 3).reshape(count, sh.shape[1] - 1, 3) - 128) / 128
    return Splats(
        (fixed / np.float32(1 << fraction)).reshape(-1, 3),
        _floats(scales, 3) / 16 - 10,
        _spz_rotations(rotations, version),
        _logits(np.frombuffer(alphas, np.uint8)),
        sh,
    )


def _without(splats: Splats, good: np.ndarray) -> Splats:
    dropped = len(splats) - int(np.count_nonzero(good))
    if not dropped:
        return splats
    kept = splats[good]
    kept.dropped = dropped
    return kept


def _logits(alphas: np.ndarray) -> np.ndarray:
    alpha = np.clip(alphas.astype(np.float32) / np.float32(255), LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(alpha / (1 - alpha))


def _constant(rgb: np.ndarray) -> np.ndarray:
    return ((rgb - np.float32(0.5)) / np.float32(SH_C0)).astype(np.float32)


def _from_smallest_three(largest: np.ndarray, three: np.ndarray) -> np.ndarray:
    """Unit quaternions (N, 4) from the index of the largest component, which is positive, and the others in order."""
    quaternions = np.empty((len(three), 4), np.float32)
    np.put_along_axis(quaternions, _OTHERS[largest], three, -1)
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", three, three)))
    np.put_along_axis(quaternions, largest[:, None], rest[:, None], -1)
    return quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)


def _coded_harmonics(table: ply.Table, count: int) -> np.ndarray:
    """The bytes of the harmonics above degree 0, (N, K − 1, 3)."""
    names = [f"f_rest_{index}" for index in range(len(table.columns))]
    fits = table.count == count and len(names) in (9, 24, 45, 72) and set(names) == set(table.columns)
    if not fits or any(table.dtype[name] != np.uint8 for name in names):
        raise SplatFileError(f"{table.path.name} is damaged: its harmonics do not fit its splats")
    table.check()
    return ply.column(table.rows(0, count), names).reshape(count, 3, len(names) // 3).transpose(0, 2, 1)


def _unpacked(rows: np.ndarray, bounds: np.ndarray, coded: np.ndarray, coloured: bool) -> Splats:
    chunk = np.arange(len(rows)) // CHUNK

    def between(shares: np.ndarray, names: list[str]) -> np.ndarray:
        ends = ply.column(bounds, names).astype(np.float32)[chunk]
        return ends[:, :3] + shares * (ends[:, 3:] - ends[:, :3])

    rotation, colour = rows["packed_rotation"], rows["packed_color"]
    rgb = _unpack(colour >> np.uint32(8), (8, 8, 8))
    middle = np.where(coded == 255, np.float32(256), coded + np.float32(0.5))
    sh = np.empty((len(rows), 1 + coded.shape[1], 3), np.float32)
    sh[:, 0] = _constant(between(rgb, COLOUR_BOUNDS) if coloured else rgb)
    sh[:, 1:] = (np.where(coded == 0, np.float32(0), middle) / 256 - np.float32(0.5)) * 8
    three = (_unpack(rotation, (10, 10, 10)) - np.float32(0.5)) / SQRT_HALF
    return Splats(
        between(_unpack(rows["packed_position"], (11, 10, 11)), BOUNDS[:6]),
        between(_unpack(rows["packed_scale"], (11, 10, 11)), BOUNDS[6:]),
        _from_smallest_three((rotation >> np.uint32(30)).astype(np.intp), three),
        _logits(colour & np.uint32(255)),
        sh,
    )


def _unpack(packed: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """Numbers side by side in uint32, the first in the highest bits, as (N, 3) float32 in 0..1."""
    shares = np.empty((len(packed), len(widths)), np.float32)
    shift = 0
    for axis, width in reversed(list(enumerate(widths))):
        most = (1 << width) - 1
        shares[:, axis] = (packed >> np.uint32(shift) & np.uint32(most)).astype(np.float32) / np.float32(most)
        shift += width
    return shares


def _spz_checked(header: tuple, name: str, versions: tuple[int, ...], size: int):
    """Version, count, degree, fraction, and the bytes of positions, alphas, colours, scales, rotations, harmonics."""
    magic, version, count, degree, fraction, _, _ = header
    if magic != SPZ_MAGIC or version not in versions or degree > 4 or not 1 <= fraction <= 24:
        raise SplatFileError(f"{name} is no SPZ file of a known version, or damaged")
    rotation = 3 if version < 3 else 4
    sizes = [9 * count, count, 3 * count, 3 * count, rotation * count, 3 * count * (degree * degree + 2 * degree)]
    if sum(sizes) > size * MOST_COMPRESSION:
        raise SplatFileError(f"{name} claims {count:,} splats, more than {size:,} bytes can hold: it is damaged")
    return version, count, degree, fraction, sizes


def _spz_gzip(data: bytes, name: str):
    inflater = zlib.decompressobj(31)
    try:
        head = inflater.decompress(data, SPZ_HEADER.size)
        if len(head) < SPZ_HEADER.size:
            raise SplatFileError(f"{name} is truncated")
        *numbers, sizes = _spz_checked(SPZ_HEADER.unpack(head), name, (2, 3), len(data))
        body = inflater.decompress(inflater.unconsumed_tail, sum(sizes)) if sum(sizes) else b""
    except zlib.error as error:
        raise SplatFileError(f"{name} is no SPZ file, or a damaged one ({error})") from error
    if len(body) < sum(sizes):
        raise SplatFileError(f"{name} is truncated")
    ends = np.cumsum(sizes)
    return *numbers, [body[end - size : end] for size, end in zip(sizes, ends)]


def _spz_streams(data: bytes, name: str):
    if len(data) < SPZ_HEADER.size + SPZ_STREAMS.size:
        raise SplatFileError(f"{name} is truncated")
    header = SPZ_HEADER.unpack_from(data)
    *numbers, sizes = _spz_checked(header, name, (4,), len(data))
    (entry,) = SPZ_STREAMS.unpack_from(data, SPZ_HEADER.size)
    used = [index for index, size in enumerate(sizes) if size]
    start = entry + SPZ_ENTRY.size * len(used)
    if header[-1] != len(used) or entry < SPZ_HEADER.size + SPZ_STREAMS.size or start > len(data):
        raise SplatFileError(f"{name} is damaged: its table of streams makes no sense")
    parts = [b""] * len(sizes)
    for place, index in enumerate(used):
        packed, promised = SPZ_ENTRY.unpack_from(data, entry + SPZ_ENTRY.size * place)
        if promised != sizes[index] or start + packed > len(data):
            raise SplatFileError(f"{name} is truncated, or its table of streams is damaged")
        parts[index] = _unzstd(data[start : start + packed], promised, name)
        start += packed
    return *numbers, parts


def _unzstd(packed: bytes, size: int, name: str) -> bytes:
    """One ZSTD stream, never more of it than promised."""
    try:
        import zstandard  # Blender brings it along, for its own compressed files
    except ImportError:
        raise SplatFileError(
            f"{name} is an SPZ of version 4, which this Blender has no ZSTD to read; save it as PLY"
        ) from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(packed)) as reader:
            part = reader.read(size)
    except zstandard.ZstdError as error:
        raise SplatFileError(f"{name} is damaged: a stream can't be unpacked") from error
    if len(part) != size:
        raise SplatFileError(f"{name} is damaged: a stream is too short")
    return part


def _floats(part: bytes, width: int) -> np.ndarray:
    return np.frombuffer(part, np.uint8).reshape(-1, width).astype(np.float32)


def _spz_rotations(part: bytes, version: int) -> np.ndarray:
    """Wxyz from the three first (version 2) or the three smallest of xyzw, 9 bits and a sign."""
    if version < 3:
        xyz = _floats(part, 3) / np.float32(127.5) - 1
        w = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", xyz, xyz)))
        return unit(np.concatenate([w[:, None], xyz], -1))
    words = np.frombuffer(part, "<u4")
    coded = words[:, None] >> np.array([20, 10, 0], np.uint32)
    magnitude = (coded & np.uint32(511)).astype(np.float32) * (SQRT_HALF / 511)
    three = np.where(coded >> np.uint32(9) & np.uint32(1), -magnitude, magnitude)
    return _from_smallest_three((words >> np.uint32(30)).astype(np.intp), three)[:, [3, 0, 1, 2]]

"""SuperSplat's compressed PLY: chunks of 256 splats, values quantised between the chunk's bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..arrays import in_chunks, mapped_zeros
from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from . import axes, ply, quantization
from .format import About, Format, SplatFile, flat_note, flattened, without
from .ply_comments import is_antialiased, written
from .source import Source

CHUNK = 256
ROWS = 128 * CHUNK
POSITION = ["x", "y", "z"]
SCALE = ["scale_x", "scale_y", "scale_z"]
COLOUR = ["r", "g", "b"]
BOUNDS = [f"{end}_{axis}" for group in (POSITION, SCALE, COLOUR) for end in ("min", "max") for axis in group]
PACKED = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
SH_RANGE = np.float32(8)
"""Harmonics above degree 0 are quantised to 8 bits over a range of this width, centred at 0."""


def recognises(source: Path | Source, magic: bytes) -> bool:
    """Whether a file is a PLY whose header declares this layout. Raises SplatFileError for an invalid PLY header."""
    return magic.startswith(ply.MAGIC) and ply.opened(source).table("chunk") is not None


def read(path: Path | Source) -> SplatFile:
    """Read a compressed PLY, in the file's order; splats of chunks with NaN or infinite bounds are left out.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    file = ply.opened(path)
    name = file.source.name
    chunks, vertices = file.table("chunk"), file.table("vertex")
    if chunks is None or vertices is None:
        raise SplatFileError(f"{name}: holds no splats: the compressed PLY lacks a table")
    coloured = "min_r" in chunks.columns
    for table, names in ((chunks, BOUNDS if coloured else BOUNDS[:12]), (vertices, PACKED)):
        missing = [column for column in names if column not in table.columns]
        if missing:
            raise SplatFileError(f"{name}: holds no splats: the compressed PLY has no {missing[0]}")
        table.check()
    if len(chunks) < -(-len(vertices) // CHUNK):
        raise SplatFileError(f"{name}: {len(chunks)} chunks do not fit {len(vertices)} splats")
    if any(vertices.type_of(column) not in (np.uint32, np.int32) for column in PACKED):
        raise SplatFileError(f"{name}: the compressed PLY's packed columns are not of type uint")
    coded = _coded_harmonics(name, file.table("sh"), len(vertices))
    count, bounds = len(vertices), chunks.rows(0, len(chunks))
    splats = Gaussians(
        mapped_zeros((count, 3)),
        mapped_zeros((count, 3)),
        mapped_zeros((count, 4)),
        mapped_zeros((count,)),
        mapped_zeros((count, 1 + coded.shape[1], 3)),
    )
    good = np.empty(count, bool)

    def take(where: slice):
        with np.errstate(over="ignore", invalid="ignore"):
            first = where.start // CHUNK
            piece = _unpacked(vertices.rows(where.start, where.stop), bounds[first:], coded[where], coloured)
        for values, out in zip(piece.parts, splats.parts):
            out[where] = values
        good[where] = np.isfinite(piece.means).all(-1) & ~np.isnan(piece.log_scales).any(-1)
        good[where] &= (piece.log_scales < np.inf).all(-1) & np.isfinite(piece.sh[:, 0]).all(-1)

    in_chunks(take, count, ROWS)
    flat = flattened(splats.log_scales)
    found = without(splats, good)
    return replace(
        found,
        axes=axes.declared(file.comments) or found.axes,
        antialiased=is_antialiased(file.comments),
        notes=tuple(note for note in (flat_note(flat), file.misfit()) if note),
    )


def write_splats(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
    """Write a compressed PLY: 16 bytes per splat, and 9 to 72 for harmonics if there are any.

    The splats are sorted in Morton order, and `extra` is lost.
    """
    splats = splats[np.argsort(quantization.morton(splats.means), kind="stable")]
    groups = (splats.means, np.clip(splats.log_scales, -20, 20), quantization.colour_of(splats.sh))
    starts = np.arange(0, len(splats), CHUNK)
    bounds = np.zeros(len(starts), np.dtype([(name, "<f4") for name in BOUNDS]))
    shares = []
    for names, values in zip((POSITION, SCALE, COLOUR), groups):
        low, high = (end.reduceat(values, starts) if len(starts) else values for end in (np.minimum, np.maximum))
        for axis, name in enumerate(names):
            bounds[f"min_{name}"], bounds[f"max_{name}"] = low[:, axis], high[:, axis]
        chunk = np.arange(len(splats)) // CHUNK
        shares.append((values - low[chunk]) / np.maximum(high - low, 1e-10)[chunk])
    rows = np.empty(len(splats), np.dtype([(name, "<u4") for name in PACKED]))
    rows["packed_position"] = _pack(shares[0], (11, 10, 11))
    rows["packed_scale"] = _pack(shares[1], (11, 10, 11))
    alpha = quantization.opacity_bytes(splats.logit_opacities)
    rows["packed_color"] = _pack(shares[2], (8, 8, 8)) << np.uint32(8) | alpha
    largest, three = quantization.smallest_three(splats.quaternions)
    rows["packed_rotation"] = largest.astype(np.uint32) << np.uint32(30) | _pack(
        three * quantization.SQRT_HALF + np.float32(0.5), (10, 10, 10)
    )
    harmonics = splats.sh[:, 1:].transpose(0, 2, 1).reshape(len(splats), 3 * (splats.sh.shape[1] - 1))
    coded = np.clip(np.floor(harmonics * (256 / SH_RANGE) + 128), 0, 255).astype(np.uint8)
    tables = {"chunk": (len(starts), bounds.dtype), "vertex": (len(splats), rows.dtype)}
    if coded.shape[1]:
        tables["sh"] = (len(splats), np.dtype([(f"f_rest_{index}", "u1") for index in range(coded.shape[1])]))
    with replacing(path) as file:
        file.write(ply.header_for(tables, written(about)))
        file.write(bounds.data)
        file.write(rows.data)
        file.write(np.ascontiguousarray(coded).data)


def _coded_harmonics(file: str, table: ply.Table | None, count: int) -> np.ndarray:
    """The quantised harmonics above degree 0, (N, K − 1, 3) uint8; none if the table is empty."""
    if table is None or not table.columns or not len(table):
        return np.zeros((count, 0, 3), np.uint8)
    names = [f"f_rest_{index}" for index in range(len(table.columns))]
    if len(table) != count or len(names) not in (9, 24, 45, 72) or set(names) != set(table.columns):
        raise SplatFileError(f"{file}: the compressed PLY's table of harmonics does not fit its splats")
    if any(table.type_of(name) != np.uint8 for name in names):
        raise SplatFileError(f"{file}: the compressed PLY's harmonics are not of type uchar")
    table.check()
    return ply.column(table.rows(0, count), names).reshape(count, 3, len(names) // 3).transpose(0, 2, 1)


def _unpacked(rows: np.ndarray, bounds: np.ndarray, sh_bytes: np.ndarray, coloured: bool) -> Gaussians:
    """Decode rows (N,) with chunk bounds (chunks,) and quantised harmonics (N, K − 1, 3) to Gaussians."""
    chunk = np.arange(len(rows)) // CHUNK

    def between(shares: np.ndarray, names: list[str]) -> np.ndarray:
        low = ply.column(bounds, [f"min_{name}" for name in names])[chunk].astype(np.float32)
        high = ply.column(bounds, [f"max_{name}" for name in names])[chunk].astype(np.float32)
        return low + shares * (high - low)

    words = {name: rows[name].astype(np.uint32) for name in PACKED}
    rgb = _unpack(words["packed_color"] >> np.uint32(8), (8, 8, 8))
    rotation = words["packed_rotation"]
    three = (_unpack(rotation, (10, 10, 10)) - np.float32(0.5)) / quantization.SQRT_HALF
    coded = sh_bytes.astype(np.float32)
    middle = np.where(sh_bytes == 0, np.float32(0), np.where(sh_bytes == 255, np.float32(256), coded + np.float32(0.5)))
    sh = np.empty((len(rows), 1 + sh_bytes.shape[1], 3), np.float32)
    sh[:, 0] = quantization.constant_of(between(rgb, COLOUR) if coloured else rgb)
    sh[:, 1:] = (middle / 256 - np.float32(0.5)) * SH_RANGE
    return Gaussians(
        between(_unpack(words["packed_position"], (11, 10, 11)), POSITION),
        between(_unpack(words["packed_scale"], (11, 10, 11)), SCALE),
        quantization.from_smallest_three((rotation >> np.uint32(30)).astype(np.intp), three),
        quantization.logits_of(words["packed_color"] & np.uint32(255)),
        sh,
    )


def _pack(shares: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """Pack values in 0..1, (N, 3), into uint32 (N,) with `widths` bits each, the first in the highest bits."""
    packed = np.zeros(len(shares), np.uint32)
    for axis, width in enumerate(widths):
        most = (1 << width) - 1
        coded = np.clip(np.round(shares[:, axis] * most), 0, most).astype(np.uint32)
        packed = packed << np.uint32(width) | coded
    return packed


def _unpack(packed: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """Invert `_pack`: values (N, 3) float32 in 0..1."""
    shares = np.empty((len(packed), len(widths)), np.float32)
    shift = 0
    for axis, width in reversed(list(enumerate(widths))):
        most = (1 << width) - 1
        shares[:, axis] = (packed >> np.uint32(shift) & np.uint32(most)).astype(np.float32) / np.float32(most)
        shift += width
    return shares


FORMAT = Format("compressed PLY", ".compressed.ply", recognises, read, write_splats, keeps_axes=True)

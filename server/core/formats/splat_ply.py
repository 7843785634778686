"""3DGS PLY: the layout of Kerbl et al. 2023, any SH degree, any property order, further columns kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from . import ply

CHUNK = 1 << 14
"""Rows handled at once: with SH of degree 3 about 4 MB, what a core's cache holds."""

MEANS = ["x", "y", "z"]
NORMALS = ["nx", "ny", "nz"]
COLOUR = ["f_dc_0", "f_dc_1", "f_dc_2"]
SCALES = ["scale_0", "scale_1", "scale_2"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]
FLATNESS = np.float32(np.log(1e-3))
"""The third log-scale of a surfel, above the smaller of the other two."""


def read_splats(path: Path) -> Gaussians:
    """Read a 3DGS PLY. Rows with NaN or infinite values are dropped; `read_counted` says how many.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    return read_counted(path)[0]


def read_counted(path: Path) -> tuple[Gaussians, int]:
    """Read a 3DGS PLY in pieces, on several threads.

    Files of 2D Gaussians, which have two scales only, get the third of a surfel. Quaternions come out unit.

    Returns:
        The splats, and how many rows were dropped since they held NaN or infinite values.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    layout = _Layout(Path(path))
    return layout.read(0, len(layout.table))


def read_pieces(path: Path, rows: int = 1 << 18) -> Iterator[tuple[Gaussians, int]]:
    """A 3DGS PLY as `read_counted` gives it, `rows` at a time, for files larger than memory would like."""
    layout = _Layout(Path(path))
    for start in range(0, len(layout.table), rows):
        yield layout.read(start, min(start + rows, len(layout.table)))


def write_splats(path: Path, splats: Gaussians):
    """Write a 3DGS PLY; the same splats always give the same bytes. Booleans in `extra` become uchar.

    Raises:
        SplatFileError: A column of `extra` has a type that PLY lacks, or a name that means something else.
        OSError: The folder can't be written.
    """
    dtype = _row_type(splats, Path(path).name)
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (len(splats), dtype)}))
        for start in range(0, len(splats), CHUNK):
            file.write(_packed(splats, slice(start, start + CHUNK), dtype).data)


class _Layout:
    """Where a file of splats keeps what."""

    def __init__(self, path: Path):
        self.table = _splat_table(path)
        names = self.table.dtype.names
        self.rest = _rest_columns(names, path.name)
        known = {*MEANS, *NORMALS, *COLOUR, *SCALES, *ROTATION, *self.rest, "opacity"}
        self.extra = [name for name in names if name not in known]

    def read(self, first: int, last: int) -> tuple[Gaussians, int]:
        """The splats of rows [first, last), and how many rows were dropped."""
        count, dtype = last - first, self.table.dtype
        out = Gaussians(
            np.empty((count, 3), np.float32),
            np.empty((count, 3), np.float32),
            np.empty((count, 4), np.float32),
            np.empty(count, np.float32),
            np.empty((count, 1 + len(self.rest) // 3, 3), np.float32),
            {name: np.empty(count, bool if name == "superseded" else dtype[name]) for name in self.extra},
        )
        finite = np.empty(count, bool)

        def take(start: int):
            stop = min(start + CHUNK, count)
            with np.errstate(over="ignore", invalid="ignore"):
                _fill(out, finite, slice(start, stop), self.table.rows(first + start, first + stop), self.rest)

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            list(threads.map(take, range(0, count, CHUNK)))
        dropped = count - int(np.count_nonzero(finite))
        return (out[finite] if dropped else out), dropped


def _splat_table(path: Path) -> ply.Table:
    elements = ply.header_of(path)
    names = next((element.dtype.names for element in elements if element.name == "vertex" and element.dtype), ())
    missing = [name for name in [*MEANS, *COLOUR, "opacity", *SCALES[:2], *ROTATION] if name not in names]
    if missing:
        faces = any(element.name == "face" for element in elements)
        what = "a mesh" if faces else "a point cloud" if set(MEANS) <= set(names) else "something else"
        raise SplatFileError(
            f"{path.name}: the PLY holds {what}, not splats: it has no {', '.join(missing[:3])}",
            "choose a file written by a Gaussian splatting program",
        )
    return ply.table_of(path, elements, "vertex")


def _rest_columns(names: tuple[str, ...], file: str) -> list[str]:
    """f_rest_0.. in order, channel-major."""
    count = sum(name.startswith("f_rest_") for name in names)
    rest = [f"f_rest_{index}" for index in range(count)]
    degree = round((1 + count / 3) ** 0.5) - 1
    if count != 3 * ((degree + 1) ** 2 - 1) or not set(rest) <= set(names):
        raise SplatFileError(f"{file}: {count} f_rest properties are no whole degree of spherical harmonics")
    return rest


def _fill(out: Gaussians, finite: np.ndarray, where: slice, rows: np.ndarray, rest: list[str]):
    """Put one piece of the file into its place in `out`."""
    out.means[where] = ply.column(rows, MEANS)
    out.logit_opacities[where] = rows["opacity"]
    out.sh[where, 0] = ply.column(rows, COLOUR)
    if rest:
        coefficients = len(rest) // 3
        planes = ply.column(rows, rest).reshape(len(rows), 3, coefficients)
        out.sh[where, 1:] = planes.transpose(0, 2, 1)
    if SCALES[2] in rows.dtype.names:
        out.log_scales[where] = ply.column(rows, SCALES)
    else:
        out.log_scales[where, :2] = ply.column(rows, SCALES[:2])
        out.log_scales[where, 2] = out.log_scales[where, :2].min(-1) + FLATNESS
    quaternions = out.quaternions[where]
    quaternions[:] = ply.column(rows, ROTATION)
    squared = np.einsum("ni,ni->n", quaternions, quaternions)
    off = np.abs(squared - 1) > 1e-6
    if off.any():
        quaternions[off] = unit(quaternions[off])
    for name, column in out.extra.items():
        column[where] = rows[name]
    parts = (out.means, out.log_scales, out.quaternions, out.logit_opacities, out.sh)
    finite[where] = True
    for part in parts:
        good = np.isfinite(part[where])
        if not good.all():
            finite[where] &= good.reshape(len(rows), -1).all(1)


def unit(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) of length 1; the zero quaternion becomes the identity, NaN stays."""
    wide = quaternions.astype(np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    wide = np.where(length == 0, (1.0, 0.0, 0.0, 0.0), wide / np.where(length == 0, 1, length))
    return wide.astype(np.float32)


def third_axes(quaternions: np.ndarray) -> np.ndarray:
    """The third own axis of unit quaternions wxyz (N, 4), in frame axes, (N, 3): a surfel's normal."""
    w, x, y, z = quaternions.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)


def _row_type(splats: Gaussians, file: str) -> np.dtype:
    rest = [f"f_rest_{index}" for index in range(3 * (splats.sh.shape[1] - 1))]
    standard = [*MEANS, *NORMALS, *COLOUR, *rest, "opacity", *SCALES, *ROTATION]
    fields = [(name, "<f4") for name in standard]
    for name, column in splats.extra.items():
        code = "|u1" if column.dtype == bool else column.dtype.newbyteorder("<").str
        if code not in ply.NAMES or name in standard or not name.isascii() or len(name.split()) != 1:
            raise SplatFileError(f"{file}: the extra column {name!r} ({column.dtype}) can't be stored in a PLY")
        fields.append((name, code))
    return np.dtype(fields)


def _packed(splats: Gaussians, where: slice, dtype: np.dtype) -> np.ndarray:
    """Rows of the file for some splats."""
    piece = splats[where]
    rows = np.empty(len(piece), dtype)
    _put(rows, MEANS, piece.means)
    flat = piece.log_scales[:, 2] < piece.log_scales[:, :2].min(-1) + FLATNESS / 2
    _put(rows, NORMALS, np.where(flat[:, None], third_axes(piece.quaternions), 0))
    _put(rows, COLOUR, piece.sh[:, 0])
    _put(rows, SCALES, piece.log_scales)
    _put(rows, ROTATION, piece.quaternions)
    rows["opacity"] = piece.logit_opacities
    rest = [name for name in dtype.names if name.startswith("f_rest_")]
    if rest:
        _put(rows, rest, piece.sh[:, 1:].transpose(0, 2, 1).reshape(len(piece), -1))
    for name, column in piece.extra.items():
        rows[name] = column
    return rows


def _put(rows: np.ndarray, names: list[str], values: np.ndarray):
    """Fill neighbouring float columns at once."""
    offset = rows.dtype.fields[names[0]][1]
    np.ndarray(values.shape, "<f4", rows, offset, (rows.dtype.itemsize, 4))[:] = values

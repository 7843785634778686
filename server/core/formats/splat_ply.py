"""3DGS PLY: the layout of Kerbl et al. 2023 with any SH degree and property order; further columns are preserved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import in_chunks, mapped_zeros, smallest
from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import FLATNESS, Gaussians
from ..quaternions import third_axes, unit
from . import ply
from .format import Format, SplatFile, without

CHUNK = 1 << 14
"""Rows per chunk: about 4 MB with SH of degree 3, which fits a core's cache."""

MEANS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
COLOUR = ("f_dc_0", "f_dc_1", "f_dc_2")
SCALES = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
NEEDED = (*MEANS, *COLOUR, "opacity", *SCALES[:2], *ROTATION)

MAX_LOGIT = 30.0
"""Logit-opacities are clipped to ± this value: opacity 1 or 0 in single precision. Files may hold ±∞ for these."""


def recognises(path: Path, magic: bytes) -> bool:
    """Whether a file is a PLY by content or name. The registry tests for compressed PLY first."""
    return magic.startswith(ply.MAGIC) or path.suffix.lower() == ".ply"


def read(path: Path) -> SplatFile:
    """Read a 3DGS PLY in chunks, on several threads. Rows with NaN or infinite values are left out and counted.

    Files of 2D Gaussians, which have only two scales, get the third scale of a surfel. Quaternions are normalised.
    Files with a "superseded" column were written by this project and have Z up.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    layout = _Layout(Path(path))
    return layout.read(0, len(layout.table))


def read_splats(path: Path) -> Gaussians:
    """Read a 3DGS PLY and return only the splats. Raises as `read`."""
    return read(path).splats


def read_pieces(path: Path, rows: int = 1 << 18) -> Iterator[SplatFile]:
    """Read a 3DGS PLY as `read` does, `rows` splats at a time, for very large files."""
    layout = _Layout(Path(path))
    for start in range(0, len(layout.table), rows):
        yield layout.read(start, min(start + rows, len(layout.table)))


def write_splats(path: Path, splats: Gaussians) -> None:
    """Write a 3DGS PLY; equal splats give equal bytes. Booleans in `extra` are stored as uchar.

    Raises:
        SplatFileError: A column of `extra` has a type that PLY lacks, or a reserved name.
        OSError: The folder can't be written.
    """
    write_parts(path, [splats])


def write_parts(path: Path, parts: Sequence[Gaussians]) -> None:
    """Write one or more sets into one file, in order; lower SH degrees are padded with zeros to the highest one.

    Keeps the extra columns that all sets have with the same type. Raises as `write_splats`.
    """
    dtype = _row_type(parts, Path(path).name)
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (sum(len(part) for part in parts), dtype)}))
        for part in parts:
            for start in range(0, len(part), CHUNK):
                file.write(_packed(part[start : start + CHUNK], dtype).data)


class _Layout:
    """The columns of a 3DGS PLY file: its vertex table, the `f_rest_*` names in order, and the extra columns."""

    def __init__(self, path: Path):
        self.table = _splat_table(path)
        self.rest = _rest_columns(self.table.columns, path.name)
        known = {*MEANS, *NORMALS, *COLOUR, *SCALES, *ROTATION, *self.rest, "opacity"}
        self.extra = [name for name in self.table.columns if name not in known]

    def read(self, first: int, last: int) -> SplatFile:
        """Read the splats of rows [first, last)."""
        count = last - first
        types = {name: np.dtype(bool) if name == "superseded" else self.table.type_of(name) for name in self.extra}
        out = Gaussians(
            mapped_zeros((count, 3)),
            mapped_zeros((count, 3)),
            mapped_zeros((count, 4)),
            mapped_zeros((count,)),
            mapped_zeros((count, 1 + len(self.rest) // 3, 3)),
            {name: np.empty(count, types[name]) for name in self.extra},
        )
        finite = np.empty(count, bool)

        def take(where: slice):
            with np.errstate(over="ignore", invalid="ignore"):
                _fill(out, finite, where, self.table.rows(first + where.start, first + where.stop), self.rest)

        in_chunks(take, count, CHUNK)
        return without(out, finite, "Z" if "superseded" in self.extra else "-Y")


def _splat_table(path: Path) -> ply.Table:
    """The vertex table of a 3DGS PLY, checked for the needed columns and the file size."""
    tables = ply.tables_of(path)
    table = ply.table_named(tables, "vertex")
    names = table.columns if table is not None else ()
    missing = [name for name in NEEDED if name not in names]
    if table is None or missing:
        raise _no_splats(path, tables, missing)
    table.check()
    return table


def _no_splats(path: Path, tables: Sequence[ply.Table], missing: list[str]) -> SplatFileError:
    """The error for a PLY that lacks columns of splats: what it holds instead, and how to import it."""
    stock = "File › Import › Stanford PLY in Blender brings it in"
    lacks = f"the PLY has no {', '.join(missing[:3])}"
    if ply.table_named(tables, "face") is not None:
        return SplatFileError(f"{path.name}: holds a mesh, not splats: {lacks}", stock)
    if set(MEANS) & set(missing):
        return SplatFileError(f"{path.name}: holds no splats: {lacks}", "choose a file that holds Gaussian splats")
    if set(COLOUR) & set(missing):
        return SplatFileError(f"{path.name}: holds a point cloud, not splats: {lacks}", stock)
    return SplatFileError(f"{path.name}: holds incomplete splats: {lacks}", "export the file again")


def _rest_columns(names: Sequence[str], file: str) -> list[str]:
    """The names f_rest_0, f_rest_1, …: coefficients above degree 0, channel-major."""
    count = sum(name.startswith("f_rest_") for name in names)
    rest = [f"f_rest_{index}" for index in range(count)]
    degree = round((1 + count / 3) ** 0.5) - 1
    if count != 3 * ((degree + 1) ** 2 - 1) or not set(rest) <= set(names):
        raise SplatFileError(f"{file}: {count} f_rest properties are no whole degree of spherical harmonics")
    return rest


def _fill(out: Gaussians, finite: np.ndarray, where: slice, rows: np.ndarray, rest: list[str]):
    """Decode `rows` of the file into the slice `where` of `out`; set `finite` (N,) for rows without NaN or ∞."""
    out.means[where] = ply.column(rows, MEANS)
    np.clip(rows["opacity"], -MAX_LOGIT, MAX_LOGIT, out=out.logit_opacities[where], casting="same_kind")
    out.sh[where, 0] = ply.column(rows, COLOUR)
    if rest:
        out.sh[where, 1:] = ply.column(rows, rest).reshape(len(rows), 3, len(rest) // 3).transpose(0, 2, 1)
    if SCALES[2] in (rows.dtype.names or ()):
        out.log_scales[where] = ply.column(rows, SCALES)
    else:
        out.log_scales[where, :2] = ply.column(rows, SCALES[:2])
        out.log_scales[where, 2] = smallest(out.log_scales[where, :2]) + FLATNESS
    quaternions = out.quaternions[where]
    quaternions[:] = ply.column(rows, ROTATION)
    off = np.abs(np.einsum("ni,ni->n", quaternions, quaternions) - 1) > 1e-6
    if off.any():
        quaternions[off] = unit(quaternions[off])
    for name, values in out.extra.items():
        values[where] = rows[name]
    finite[where] = True
    for part in out.parts:
        good = np.isfinite(part[where])
        if not good.all():
            finite[where] &= good.reshape(len(rows), -1).all(1)


def _row_type(parts: Sequence[Gaussians], file: str) -> np.dtype:
    """The packed row type that holds all parts: the standard columns, then the extra columns they have in common."""
    terms = max(part.sh.shape[1] for part in parts)
    rest = [f"f_rest_{index}" for index in range(3 * (terms - 1))]
    standard = [*MEANS, *NORMALS, *COLOUR, *rest, "opacity", *SCALES, *ROTATION]
    fields = [(name, "<f4") for name in standard]
    for name, values in parts[0].extra.items():
        if not all(name in part.extra and part.extra[name].dtype == values.dtype for part in parts):
            continue
        code = ply.storable(name, values.dtype)
        if code is None or name in standard or name.startswith("f_rest_"):
            raise SplatFileError(f"{file}: the extra column {name!r} ({values.dtype}) can't be stored in a PLY")
        fields.append((name, code))
    return np.dtype(fields)


def _packed(piece: Gaussians, dtype: np.dtype) -> np.ndarray:
    """The splats as rows of the file, a structured array (N,) of type `dtype`."""
    names = dtype.names or ()
    rows = np.empty(len(piece), dtype)
    _put(rows, MEANS, piece.means)
    flat = piece.log_scales[:, 2] < smallest(piece.log_scales[:, :2]) + FLATNESS / 2
    _put(rows, NORMALS, np.where(flat[:, None], third_axes(piece.quaternions), 0))
    _put(rows, COLOUR, piece.sh[:, 0])
    _put(rows, SCALES, piece.log_scales)
    _put(rows, ROTATION, piece.quaternions)
    rows["opacity"] = piece.logit_opacities
    rest = [name for name in names if name.startswith("f_rest_")]
    if rest:
        sh = np.zeros((len(piece), 3, len(rest) // 3), np.float32)
        sh[..., : piece.sh.shape[1] - 1] = piece.sh[:, 1:].transpose(0, 2, 1)
        _put(rows, rest, sh.reshape(len(piece), -1))
    for name in names:
        if name in piece.extra:
            rows[name] = piece.extra[name]
    return rows


def _put(rows: np.ndarray, names: Sequence[str], values: np.ndarray):
    """Assign `values` (N, len(names)) to adjacent float32 columns in one operation."""
    fields: Any = rows.dtype.fields
    np.ndarray(values.shape, "<f4", rows, fields[names[0]][1], (rows.dtype.itemsize, 4))[:] = values


FORMAT = Format("3DGS PLY", ".ply", recognises, read, write_splats)

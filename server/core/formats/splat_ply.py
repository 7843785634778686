"""3DGS PLY: the layout of Kerbl et al. 2023 with any SH degree, property order and types; further columns are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import in_chunks, mapped_zeros, smallest
from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import FLATNESS, Gaussians
from ..quaternions import third_axes, unit
from . import axes, ply, quantization
from .format import SAMPLES, About, Format, SplatFile, flat_note, flattened, origin_of, without
from .ply_comments import is_antialiased, reference_system, written
from .source import Source

CHUNK = 1 << 14
"""Rows per chunk: about 4 MB with SH of degree 3, which fits a core's cache."""

MEANS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
COLOUR = ("f_dc_0", "f_dc_1", "f_dc_2")
RGB = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
"""Names of colours in place of `COLOUR`: bytes, 16-bit integers, or numbers in 0..1."""

SCALES = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
NEEDED = (*MEANS, *COLOUR, "opacity", *SCALES[:2], *ROTATION)

OURS = axes.Axes(axes.UPRIGHT["Z"], "Z up, as in Dreamzoom's own files")
"""The axes of files with a "superseded" column, which this project wrote."""

MAX_LOGIT = 30.0
"""Logit-opacities are clipped to ± this value: opacity 1 or 0 in single precision. Files may hold ±∞ for these."""


def recognises(source: Path | Source, magic: bytes) -> bool:
    """Whether a file is a PLY by content or name. The registry tests for compressed PLY first."""
    return magic.startswith(ply.MAGIC) or Source.of(source).path.suffix.lower() == ".ply"


def read(path: Path | Source) -> SplatFile:
    """Read a 3DGS PLY in chunks, on several threads. Rows with NaN or +∞ are left out and counted.

    Axes, anti-aliasing and the origin of double-precision positions are those that the file declares or has. Splats
    without thickness, and files of 2D Gaussians, which have only two scales, get the third scale of a surfel.
    Quaternions are normalised. Files with a "superseded" column were written by this project and have Z up.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    layout = _Layout(ply.opened(path))
    return layout.read(0, len(layout.table))


def read_splats(path: Path) -> Gaussians:
    """Read a 3DGS PLY and return only the splats, in the file's axes and at their place. Raises as `read`."""
    file = read(path)
    if not file.origin.any():
        return file.splats
    return replace(file.splats, means=(file.splats.means + file.origin).astype(np.float32))


def read_pieces(path: Path, rows: int = 1 << 18) -> Iterator[SplatFile]:
    """Read a 3DGS PLY as `read` does, `rows` splats at a time, for very large files."""
    layout = _Layout(ply.opened(path))
    for start in range(0, len(layout.table), rows):
        yield layout.read(start, min(start + rows, len(layout.table)))


def write_splats(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
    """Write a 3DGS PLY; equal splats give equal bytes. Booleans in `extra` are stored as uchar.

    Positions with an origin are stored in double precision.

    Raises:
        SplatFileError: A column of `extra` has a type that PLY lacks, or a reserved name.
        OSError: The folder can't be written.
    """
    write_parts(path, [splats], about)


def write_parts(path: Path, parts: Sequence[Gaussians], about: About = About()) -> None:  # noqa: B008
    """Write one or more sets into one file, in order; lower SH degrees are padded with zeros to the highest one.

    Keeps the extra columns that all sets have with the same type. Raises as `write_splats`.
    """
    dtype = _row_type(parts, Path(path).name, about.is_far)
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (sum(len(part) for part in parts), dtype)}, written(about)))
        for part in parts:
            for start in range(0, len(part), CHUNK):
                file.write(_packed(part[start : start + CHUNK], dtype, np.asarray(about.origin, np.float64)).data)


class _Layout:
    """The columns of a 3DGS PLY file: its vertex table, the `f_rest_*` names in order, and the extra columns."""

    def __init__(self, file: ply.Ply):
        self.file = file
        self.table = _splat_table(file)
        names = self.table.columns
        self.rest = _rest_columns(names, file.source.name)
        self.rgb = None if set(COLOUR) <= set(names) else _rgb_of(names)
        self.opacity = "opacity" if "opacity" in names else "alpha"
        known = {*MEANS, *NORMALS, *COLOUR, *SCALES, *ROTATION, *self.rest, *(self.rgb or ()), self.opacity}
        self.extra = [name for name in names if name not in known]

    @cached_property
    def origin(self) -> np.ndarray:
        """What to subtract from the positions, (3,) float64; zero unless these are of double precision."""
        if all(self.table.type_of(name).itemsize < 8 for name in MEANS):
            return np.zeros(3)
        return origin_of(ply.column(self.table.sample(SAMPLES), MEANS))

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
        finite, flat = np.empty(count, bool), []

        def take(where: slice):
            with np.errstate(over="ignore", invalid="ignore"):
                rows = self.table.rows(first + where.start, first + where.stop)
                flat.append(_fill(out, finite, where, rows, self))

        self.origin  # noqa: B018 - found before the threads start
        in_chunks(take, count, CHUNK)
        comments = self.file.comments
        file = without(out, finite)
        code = reference_system(comments)
        ours = OURS if "superseded" in self.extra else None
        notes = (
            flat_note(sum(flat)),
            code and f"coordinates in EPSG:{code}",
            self.file.misfit() if last == len(self.table) else "",
        )
        return replace(
            file,
            axes=axes.declared(comments) or ours or axes.of_map(code, self.origin) or file.axes,
            origin=self.origin,
            antialiased=is_antialiased(comments),
            notes=tuple(note for note in notes if note),
        )


def _splat_table(file: ply.Ply) -> ply.Table:
    """The vertex table of a 3DGS PLY, checked for the needed columns and the file size."""
    table = file.table("vertex")
    names = set(table.columns) if table is not None else set()
    if {*SCALES[:2], *ROTATION} <= names:  # else a point cloud is told by the lack of these columns
        names |= {*COLOUR} if _rgb_of(names) else set()
        names |= {"opacity"} if "alpha" in names else set()
    missing = [name for name in NEEDED if name not in names]
    if table is None or missing:
        raise _no_splats(file, missing)
    table.check()
    _check_byte_order(file, table)
    return table


def _check_byte_order(file: ply.Ply, table: ply.Table) -> None:
    """Refuse a binary file whose numbers make sense in the other byte order alone."""
    names = [name for name in (*MEANS, *SCALES, *ROTATION) if name in table.columns and table.type_of(name).kind == "f"]
    rows = table.sample(256) if file.order and names else None
    if rows is None or not len(rows):
        return
    as_said = _sense_of([rows[name] for name in names])
    if as_said < 0.5 and _sense_of([rows[name].byteswap() for name in names]) > 0.95:
        order = {"<": "little", ">": "big"}[file.order]
        raise SplatFileError(
            f"{file.source.name}: the PLY's numbers make no sense as {order}-endian ones, which its header claims",
            "export the file again",
        )


def _sense_of(columns: Sequence[np.ndarray]) -> float:
    """The share of rows whose numbers are all 0, −∞, or of a size that coordinates have."""
    good = np.ones(len(columns[0]), bool)
    for column in columns:
        size = np.abs(column)
        good &= (size == 0) | (column == -np.inf) | ((size > 1e-20) & (size < 1e20))
    return float(good.mean())


def _rgb_of(names: Sequence[str] | set[str]) -> tuple[str, ...] | None:
    return next((group for group in RGB if set(group) <= set(names)), None)


def _no_splats(file: ply.Ply, missing: list[str]) -> SplatFileError:
    """The error for a PLY that lacks columns of splats: what it holds instead, and how to import it."""
    name = file.source.name
    stock = "File › Import › Stanford PLY in Blender brings it in"
    lacks = f"the PLY has no {', '.join(missing[:3])}"
    if file.table("face") is not None and {*SCALES, *ROTATION} & set(missing):
        return SplatFileError(f"{name}: holds a mesh, not splats: {lacks}", stock)
    if set(MEANS) & set(missing):
        return SplatFileError(f"{name}: holds no splats: {lacks}", "choose a file that holds Gaussian splats")
    if set(COLOUR) & set(missing) and {*SCALES, *ROTATION} & set(missing):
        return SplatFileError(f"{name}: holds a point cloud, not splats: {lacks}", stock)
    return SplatFileError(f"{name}: holds incomplete splats: {lacks}", "export the file again")


def _rest_columns(names: Sequence[str], file: str) -> list[str]:
    """The names f_rest_0, f_rest_1, …: coefficients above degree 0, channel-major."""
    count = sum(name.startswith("f_rest_") for name in names)
    rest = [f"f_rest_{index}" for index in range(count)]
    degree = round((1 + count / 3) ** 0.5) - 1
    if count != 3 * ((degree + 1) ** 2 - 1) or not set(rest) <= set(names):
        raise SplatFileError(f"{file}: {count} f_rest properties are no whole degree of spherical harmonics")
    return rest


def _fill(out: Gaussians, finite: np.ndarray, where: slice, rows: np.ndarray, layout: _Layout) -> int:
    """Decode `rows` of the file into the slice `where` of `out`; set `finite` (N,) for rows without NaN or ∞.

    Returns the number of splats that had no thickness.
    """
    positions = ply.column(rows, MEANS)
    out.means[where] = positions - layout.origin if layout.origin.any() else positions
    np.clip(
        _logits(rows[layout.opacity], layout.opacity == "alpha"),
        -MAX_LOGIT,
        MAX_LOGIT,
        out=out.logit_opacities[where],
        casting="same_kind",
    )
    out.sh[where, 0] = ply.column(rows, COLOUR) if layout.rgb is None else _constants(rows, layout.rgb)
    rest = layout.rest
    if rest:
        out.sh[where, 1:] = ply.column(rows, rest).reshape(len(rows), 3, len(rest) // 3).transpose(0, 2, 1)
    if SCALES[2] in (rows.dtype.names or ()):
        out.log_scales[where] = ply.column(rows, SCALES)
    else:
        out.log_scales[where, :2] = ply.column(rows, SCALES[:2])
        out.log_scales[where, 2] = smallest(out.log_scales[where, :2]) + FLATNESS
    flat = flattened(out.log_scales[where])
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
    return flat


def _logits(column: np.ndarray, is_alpha: bool) -> np.ndarray:
    """Logit-opacities (N,); a column of integers, and one called alpha, holds opacities."""
    if column.dtype.kind in "iu":
        return quantization.logits_of(column.astype(np.float32) * np.float32(255 / np.iinfo(column.dtype).max))
    return quantization.logits_of(column * 255) if is_alpha else column


def _constants(rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The coefficients (N, 3) of degree 0 by columns of colours."""
    rgb = ply.column(rows, names)
    scale = np.iinfo(rgb.dtype).max if rgb.dtype.kind in "iu" else 1
    return quantization.constant_of(rgb.astype(np.float32) / np.float32(scale))


def _row_type(parts: Sequence[Gaussians], file: str, double: bool) -> np.dtype:
    """The packed row type that holds all parts: the standard columns, then the extra columns they have in common."""
    terms = max(part.sh.shape[1] for part in parts)
    rest = [f"f_rest_{index}" for index in range(3 * (terms - 1))]
    standard = [*NORMALS, *COLOUR, *rest, "opacity", *SCALES, *ROTATION]
    fields = [(name, "<f8" if double else "<f4") for name in MEANS] + [(name, "<f4") for name in standard]
    for name, values in parts[0].extra.items():
        if not all(name in part.extra and part.extra[name].dtype == values.dtype for part in parts):
            continue
        code = ply.storable(name, values.dtype)
        if code is None or name in {*MEANS, *standard} or name.startswith("f_rest_"):
            raise SplatFileError(f"{file}: the extra column {name!r} ({values.dtype}) can't be stored in a PLY")
        fields.append((name, code))
    return np.dtype(fields)


def _packed(piece: Gaussians, dtype: np.dtype, origin: np.ndarray) -> np.ndarray:
    """The splats as rows of the file, a structured array (N,) of type `dtype`."""
    names = dtype.names or ()
    rows = np.empty(len(piece), dtype)
    _put(rows, MEANS, piece.means + origin if origin.any() else piece.means)
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
    """Assign `values` (N, len(names)) to adjacent columns of one type in one operation."""
    fields: Any = rows.dtype.fields
    kind, offset = fields[names[0]][:2]
    np.ndarray(values.shape, kind, rows, offset, (rows.dtype.itemsize, kind.itemsize))[:] = values


FORMAT = Format("3DGS PLY", ".ply", recognises, read, write_splats, keeps_axes=True, keeps_origin=True)

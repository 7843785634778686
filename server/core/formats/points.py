"""Coloured points as PLY: readable by any viewer, with further columns that the pipeline needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..colour import to_bytes
from ..errors import SplatFileError
from . import ply

POSITION = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
COLOUR = ("red", "green", "blue")


@dataclass(frozen=True)
class Points:
    """N points.

    Attributes:
        positions: (N, 3) float32.
        rgb: (N, 3) float32, sRGB in 0..1; None if the file has no colours.
        normals: (N, 3) float32; None if the file has none.
        extra: Further columns by name, (N,) each; the server's clouds have "footprint", "confidence", "view",
            "superseded".
    """

    positions: np.ndarray
    rgb: np.ndarray | None = None
    normals: np.ndarray | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)


def read(path: Path) -> Points:
    """Read a PLY of points; those with NaN or infinite positions are left out.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    path = Path(path)
    table = ply.table_named(ply.tables_of(path), "vertex")
    if table is None or not set(POSITION) <= set(table.columns):
        raise SplatFileError(f"{path.name}: holds no points: the PLY has no vertex table with x, y, z")
    table.check()
    rows = table.rows(0, len(table))
    with np.errstate(over="ignore"):
        positions = ply.column(rows, POSITION).astype(np.float32)
    finite = np.isfinite(positions).all(-1)
    if not finite.all():
        rows, positions = rows[finite], positions[finite]
    known = {*POSITION, *NORMAL, *COLOUR}
    extra = {name: np.ascontiguousarray(rows[name]) for name in table.columns if name not in known}
    if "superseded" in extra:
        extra["superseded"] = extra["superseded"] != 0
    return Points(positions, _colours(rows, table), _normals(rows, table), extra)


def write(path: Path, points: Points) -> None:
    """Write points; equal points give equal bytes. Colours are rounded to 8 bits, booleans are stored as uchar.

    Raises:
        SplatFileError: A column of `extra` has a type that PLY lacks, or a reserved name.
        OSError: The folder can't be written.
    """
    vectors = [(POSITION, points.positions, "<f4"), (NORMAL, points.normals, "<f4"), (COLOUR, points.rgb, "u1")]
    fields = [(name, code) for names, values, code in vectors if values is not None for name in names]
    fields += [(name, _type(Path(path).name, name, values)) for name, values in points.extra.items()]
    rows = np.empty(len(points), np.dtype(fields))
    for names, values, code in vectors:
        if values is not None:
            for name, column in zip(names, (to_bytes(values) if code == "u1" else values).T):
                rows[name] = column
    for name, column in points.extra.items():
        rows[name] = column
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (len(points), rows.dtype)}))
        file.write(rows.data)


def _colours(rows: np.ndarray, table: ply.Table) -> np.ndarray | None:
    if not set(COLOUR) <= set(table.columns):
        return None
    scale = 255 if table.type_of(COLOUR[0]).kind in "iu" else 1
    return ply.column(rows, COLOUR).astype(np.float32) / np.float32(scale)


def _normals(rows: np.ndarray, table: ply.Table) -> np.ndarray | None:
    return ply.column(rows, NORMAL).astype(np.float32) if set(NORMAL) <= set(table.columns) else None


def _type(file: str, name: str, values: np.ndarray) -> str:
    code = ply.storable(name, values.dtype)
    if code is None or name in (*POSITION, *NORMAL, *COLOUR):
        raise SplatFileError(f"{file}: the extra column {name!r} ({values.dtype}) can't be stored in a PLY")
    return code

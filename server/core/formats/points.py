"""Coloured points as PLY: readable by any viewer, with further columns that the pipeline needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..colour import to_bytes
from ..errors import SplatFileError
from . import axes, ply
from .format import SAMPLES, origin_of
from .ply_comments import reference_system
from .source import Source

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
        origin: (3,) float64, in the file's axes: what was subtracted from double-precision positions.
        axes: How the file's axes lie, if it says so.
        dropped: Number of points left out because their positions are NaN or infinite.
        note: What else the file says, as a phrase.
    """

    positions: np.ndarray
    rgb: np.ndarray | None = None
    normals: np.ndarray | None = None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axes: axes.Axes | None = None
    dropped: int = 0
    note: str = ""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def placed(self) -> np.ndarray:
        """The positions at their place, (N, 3): float64 if there is an origin."""
        return self.positions + self.origin if self.origin.any() else self.positions


def read(path: Path | Source) -> Points:
    """Read a PLY of points; those with NaN or infinite positions are left out.

    Double-precision positions far from the origin are recentred before they are rounded.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    file = ply.opened(path)
    table = file.table("vertex")
    if table is None or not set(POSITION) <= set(table.columns):
        raise SplatFileError(f"{file.source.name}: holds no points: the PLY has no vertex table with x, y, z")
    table.check()
    double = any(table.type_of(name).itemsize == 8 for name in POSITION)
    origin = origin_of(ply.column(table.sample(SAMPLES), POSITION)) if double else np.zeros(3)
    rows = table.rows(0, len(table))
    with np.errstate(over="ignore"):
        columns = ply.column(rows, POSITION)
        positions = (columns - origin if origin.any() else columns).astype(np.float32)
    finite = np.isfinite(positions).all(-1)
    dropped = len(rows) - int(np.count_nonzero(finite))
    if dropped:
        rows, positions = rows[finite], positions[finite]
    known = {*POSITION, *NORMAL, *COLOUR}
    extra = {name: np.ascontiguousarray(rows[name]) for name in table.columns if name not in known}
    if "superseded" in extra:
        extra["superseded"] = extra["superseded"] != 0
    code = reference_system(file.comments)
    said = axes.declared(file.comments) or axes.of_map(code, origin)
    note = f"coordinates in EPSG:{code}" if code else ""
    return Points(positions, _colours(rows, table), _normals(rows, table), extra, origin, said, dropped, note)


def write(path: Path, points: Points) -> None:
    """Write points; equal points give equal bytes. Colours are rounded to 8 bits, booleans are stored as uchar, and
    positions with an origin in double precision.

    Raises:
        SplatFileError: A column of `extra` has a type that PLY lacks, or a reserved name.
        OSError: The folder can't be written.
    """
    place = (POSITION, points.placed, "<f8" if points.origin.any() else "<f4")
    vectors = [place, (NORMAL, points.normals, "<f4"), (COLOUR, points.rgb, "u1")]
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
    kind = table.type_of(COLOUR[0])
    scale = np.iinfo(kind).max if kind.kind == "u" else 255 if kind.kind == "i" else 1
    return ply.column(rows, COLOUR).astype(np.float32) / np.float32(scale)


def _normals(rows: np.ndarray, table: ply.Table) -> np.ndarray | None:
    return ply.column(rows, NORMAL).astype(np.float32) if set(NORMAL) <= set(table.columns) else None


def _type(file: str, name: str, values: np.ndarray) -> str:
    code = ply.storable(name, values.dtype)
    if code is None or name in (*POSITION, *NORMAL, *COLOUR):
        raise SplatFileError(f"{file}: the extra column {name!r} ({values.dtype}) can't be stored in a PLY")
    return code

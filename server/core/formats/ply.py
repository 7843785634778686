"""The PLY container: binary little-endian tables of scalars, read in pieces, written deterministically.

`splat_ply`, `compressed_ply` and `points` interpret the columns. This module reads a path into structured arrays or
raises a `SplatFileError` that says in one sentence what is wrong. Row counts of a header are checked against the file's
size before any memory is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SplatFileError

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "<i2"),
    **dict.fromkeys(("ushort", "uint16"), "<u2"),
    **dict.fromkeys(("int", "int32"), "<i4"),
    **dict.fromkeys(("uint", "uint32"), "<u4"),
    **dict.fromkeys(("float", "float32"), "<f4"),
    **dict.fromkeys(("double", "float64"), "<f8"),
}
"""PLY's scalar type names, old and new, and the numpy types."""

NAMES = {np.dtype(code).str: name for name, code in TYPES.items() if not name[-1].isdigit()}
MAGIC = b"ply"
LONGEST_HEADER = 1 << 20
MOST_COLUMNS = 1000
KINDS = {"ascii": "text", "binary_big_endian": "big-endian"}


@dataclass(frozen=True)
class Table:
    """One table (PLY: element) declared in a PLY header.

    Attributes:
        path: The file.
        name: Of the table.
        count: Number of rows.
        dtype: Packed row type, whose fields are the columns in the file's order; None for a table with lists.
        offset: Byte offset of the first row; None for a table with lists or after one.
    """

    path: Path
    name: str
    count: int
    dtype: np.dtype | None
    offset: int | None

    def __len__(self) -> int:
        return self.count

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; empty for a table with lists."""
        return (self.dtype.names or ()) if self.dtype is not None else ()

    def type_of(self, column: str) -> np.dtype:
        """The scalar type of a column."""
        assert self.dtype is not None
        return type_in(self.dtype, column)

    def check(self) -> None:
        """Check that the file is long enough for the table.

        Raises:
            SplatFileError: It is not, or the table's offset is unknown.
        """
        offset, itemsize = self._place()
        needed, size = offset + self.count * itemsize, self.path.stat().st_size
        if needed > size:
            raise SplatFileError(
                f"{self.path.name}: the PLY claims {self.count:,} rows of {self.name!r}, {needed:,} bytes, but has "
                f"{size:,}: it is truncated or its header is wrong",
                "copy or export the file again",
            )

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Read rows [start, stop) into a new structured array.

        Raises:
            SplatFileError: The file has become shorter since the header was read.
        """
        offset, itemsize = self._place()
        rows = np.fromfile(self.path, self.dtype, stop - start, offset=offset + start * itemsize)
        if len(rows) != stop - start:
            raise SplatFileError(f"{self.path.name}: the file became shorter while it was read")
        return rows

    def _place(self) -> tuple[int, int]:
        if self.dtype is None or self.offset is None:
            raise SplatFileError(f"{self.path.name}: the PLY's table {self.name!r} holds lists or stands behind some")
        return self.offset, self.dtype.itemsize


def tables_of(path: Path) -> list[Table]:
    """The tables declared in a PLY header, in order.

    Raises:
        SplatFileError: Not a PLY, a text or big-endian one, or an invalid header.
        OSError: The file can't be opened.
    """
    lines, offset = _header(path)
    promised: list[tuple[str, int, list[tuple[str, str | None]]]] = []
    kind = None
    for line in lines:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", "binary_little_endian" as kind, "1.0"]:
                pass
            case ["format", kind, *_]:
                raise SplatFileError(
                    f"{path.name}: the PLY is {kind} ({KINDS.get(kind, 'unknown')}); only binary_little_endian 1.0 "
                    "is read",
                    "save it as binary little-endian PLY",
                )
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                promised.append((name, int(count), []))
            case ["property", "list", _, _, name] if promised:
                promised[-1][2].append((name, None))
            case ["property", code, name] if promised and code in TYPES:
                promised[-1][2].append((name, TYPES[code]))
            case _:
                raise SplatFileError(f"{path.name}: the PLY header has a line that makes no sense: {line[:60]!r}")
    if kind is None:
        raise SplatFileError(f"{path.name}: the PLY header names no format")
    return _placed(path, promised, offset)


def table_named(tables: Sequence[Table], name: str) -> Table | None:
    """The first table called `name`, or None."""
    return next((table for table in tables if table.name == name), None)


def column(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Columns of a structured array as (N, len(names)): a view if they are evenly spaced, else a copy."""
    known: Any = rows.dtype.fields or {}
    fields = [known[name] for name in names]
    offsets = [field[1] for field in fields]
    steps = {after - before for before, after in zip(offsets, offsets[1:])}
    if len({field[0] for field in fields}) == 1 and len(steps) <= 1:
        step = steps.pop() if steps else fields[0][0].itemsize
        if rows.flags.c_contiguous and len(rows):
            strides = (rows.dtype.itemsize, step)
            return np.ndarray((len(rows), len(names)), fields[0][0], rows, offsets[0], strides)
    return np.stack([rows[name] for name in names], -1)


def type_in(dtype: np.dtype, column: str) -> np.dtype:
    """The scalar type of a column in a packed row type."""
    fields: Any = dtype.fields
    return fields[column][0]


def header_for(tables: dict[str, tuple[int, np.dtype]]) -> bytes:
    """The PLY header for tables given by name as (row count, packed row type), in order."""
    lines = ["ply", "format binary_little_endian 1.0"]
    for name, (count, dtype) in tables.items():
        lines.append(f"element {name} {count}")
        lines += [f"property {NAMES[type_in(dtype, column).str]} {column}" for column in dtype.names or ()]
    return "\n".join([*lines, "end_header", ""]).encode("ascii")


def storable(name: str, dtype: np.dtype) -> str | None:
    """The packed type of an extra column; None if PLY has no such type or the name is not allowed in a header."""
    code = "|u1" if dtype.kind == "b" else dtype.newbyteorder("<").str
    return code if code in NAMES and name.isascii() and len(name.split()) == 1 else None


def _header(path: Path) -> tuple[list[str], int]:
    """The lines between the magic number and `end_header`, without line ends, and the byte offset of the data."""
    with path.open("rb") as file:
        if file.readline(8).rstrip() != MAGIC:
            raise SplatFileError(f"{path.name}: not a PLY file")
        lines: list[str] = []
        while file.tell() < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line.endswith(b"\n"):
                break
            text = line.decode("ascii", "replace").strip()
            if text == "end_header":
                return lines, file.tell()
            lines.append(text)
    raise SplatFileError(f"{path.name}: the PLY header does not end: the file is truncated or no PLY")


def _placed(path: Path, promised: list[tuple[str, int, list[tuple[str, str | None]]]], start: int) -> list[Table]:
    """Add row types and byte offsets; tables after one with lists have no known offset."""
    offset: int | None = start
    placed = []
    for name, count, fields in promised:
        if len(fields) > MOST_COLUMNS or len({field for field, _ in fields}) != len(fields):
            raise SplatFileError(f"{path.name}: the PLY's table {name!r} has too many or repeated properties")
        scalars = [(field, code) for field, code in fields if code is not None]
        dtype = np.dtype(scalars) if fields and len(scalars) == len(fields) else None
        placed.append(Table(path, name, count, dtype, offset if dtype is not None else None))
        if dtype is None and count and fields:
            offset = None
        elif dtype is not None and offset is not None:
            offset += count * dtype.itemsize
    return placed

"""The PLY container: tables of numbers, as text or binary in either byte order, read in pieces; written binary.

`splat_ply`, `compressed_ply` and `points` interpret the columns. This module reads a file into structured arrays or
raises a `SplatFileError` that says in one sentence what is wrong. Row counts of a header are checked against the file's
size before any memory is allocated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SplatFileError
from ..safety import limits
from . import ply_rows
from .source import Source, check_rows

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
SLACK = 8
"""Bytes that a file may have behind its last table without being said to be too long."""

FORMATS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
"""The byte order of a format; "" for text."""


@dataclass
class Table:
    """One table (PLY: element) declared in a PLY header.

    Attributes:
        ply: The file.
        name: Of the table.
        count: Number of rows.
        fields: Name, type and type of the length of each property; the latter is "" for all but lists.
    """

    ply: Ply
    name: str
    count: int
    fields: list[tuple[str, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, without lists."""
        return tuple(name for name, _, counted in self.fields if not counted)

    @property
    def dtype(self) -> np.dtype:
        """Packed row type, whose fields are the columns in the file's order."""
        return np.dtype([(name, code) for name, code, counted in self.fields if not counted])

    def type_of(self, column: str) -> np.dtype:
        """The scalar type of a column."""
        return type_in(self.dtype, column)

    def check(self) -> None:
        """Check that the file is long enough for the table, and the table not too long.

        Raises:
            SplatFileError: It is not.
        """
        needed = ply_rows.least_bytes(self.fields, self.ply.order) * self.count
        place = self.ply.place_of(self)
        if place + needed > self.ply.source.size:
            raise SplatFileError(
                f"{self.ply.source.name}: the PLY claims {self.count:,} rows of {self.name!r}, {place + needed:,} "
                f"bytes at least, but has {self.ply.source.size:,}: it is truncated or its header is wrong",
                "copy or export the file again",
            )
        check_rows(self.ply.source.name, self.count)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Read the columns of rows [start, stop) into a structured array, in this machine's byte order.

        Raises:
            SplatFileError: The rows are damaged, or the file has become shorter since the header was read.
        """
        return self.ply.rows_of(self, start, stop)

    def sample(self, most: int) -> np.ndarray:
        """About `most` rows, evenly chosen; fewer if there are no more. Raises as `rows`."""
        step = max(1, self.count // most)
        if not self.ply.order or any(counted for _, _, counted in self.fields):
            return self.rows(0, self.count)[::step]
        dtype = self.dtype.newbyteorder(">" if self.ply.order == ">" else "<")
        data = self.ply.source.view(self.ply.place_of(self))
        count = min(self.count, len(data) // dtype.itemsize)
        return np.array(data[: count * dtype.itemsize].view(dtype)[::step], self.dtype)


class Ply:
    """A PLY file: its header is read at once, its tables when they are asked for.

    Args:
        source: The file; a gzip file must have been unpacked.

    Attributes:
        source: The file.
        order: "<" or ">", the byte order; "" for text.
        tables: In the file's order.
        comments: The texts of its comments and obj_infos.

    Raises:
        SplatFileError: Not a PLY, or an invalid header.
        OSError: The file can't be opened.
    """

    def __init__(self, source: Source):
        self.source, self.order = source, "<"
        self.comments: list[str] = []
        self.tables: list[Table] = []
        lines, self._start = _header(source)
        self._read_header(lines)
        self._loaded: dict[int, tuple[np.ndarray, int]] = {}

    def _read_header(self, lines: Sequence[str]) -> None:
        kind = None
        for line in lines:
            match line.split():
                case []:
                    pass
                case ["comment" | "obj_info", *_]:
                    self.comments.append(line.partition(" ")[2].strip() if " " in line else "")
                case ["format", kind, version] if kind in FORMATS and re.fullmatch(r"1(\.\d+)?", version):
                    self.order = FORMATS[kind]
                case ["format", *_]:
                    raise SplatFileError(
                        f"{self.source.name}: the PLY is of a format that is not known: {line[7:60]!r}",
                        "save it as binary_little_endian 1.0",
                    )
                case ["element", name, count] if count.isdecimal() and len(count) < 19:
                    self.tables.append(Table(self, name, int(count)))
                case ["property", "list", counted, code, name] if self.tables and {counted, code} <= TYPES.keys():
                    self.tables[-1].fields.append((name, TYPES[code], TYPES[counted]))
                case ["property", code, name] if self.tables and code in TYPES:
                    self.tables[-1].fields.append((name, TYPES[code], ""))
                case _:
                    raise SplatFileError(
                        f"{self.source.name}: the PLY header has a line that makes no sense: {line[:60]!r}"
                    )
        if kind is None:
            raise SplatFileError(f"{self.source.name}: the PLY header names no format")
        for table in self.tables:
            names = [name for name, _, _ in table.fields]
            if len(names) > limits.SPLAT_COLUMNS or len(set(names)) != len(names):
                raise SplatFileError(
                    f"{self.source.name}: the PLY's table {table.name!r} has too many or repeated properties"
                )

    def table(self, name: str) -> Table | None:
        """The first table of this name, or None."""
        return next((table for table in self.tables if table.name == name), None)

    def place_of(self, table: Table) -> int:
        """The byte offset of a table's first row; in a text the least that it can be."""
        place = self._start
        for other in self.tables:
            if other is table:
                break
            if self.order and any(counted for _, _, counted in other.fields):
                place = self._load(other)[1]
            else:
                place += ply_rows.least_bytes(other.fields, self.order) * other.count
        return place

    def rows_of(self, table: Table, start: int, stop: int) -> np.ndarray:
        """`Table.rows`."""
        if not self.order or any(counted for _, _, counted in table.fields):
            return self._load(table)[0][start:stop]
        dtype = table.dtype.newbyteorder(">") if self.order == ">" else table.dtype
        rows = self.source.rows(dtype, stop - start, self.place_of(table) + start * dtype.itemsize)
        if len(rows) != stop - start:
            raise SplatFileError(f"{self.source.name}: the file became shorter while it was read")
        return rows.astype(table.dtype) if self.order == ">" else rows

    def misfit(self) -> str:
        """The phrase about a file that is not as long as its header claims; "" if it is, up to a line's end."""
        try:
            if not self.order:
                expected = sum(table.count for table in self.tables if table.fields)
                surplus, unit = ply_rows.lines_in(self.source, self._start, expected) - expected, "lines"
            else:
                last = self.tables[-1]
                last.check()
                listed = any(counted for _, _, counted in last.fields)
                end = self._load(last)[1] if listed else self.place_of(last) + last.count * last.dtype.itemsize
                surplus, unit = self.source.size - end, "bytes"
        except SplatFileError:
            return "the file is damaged behind its splats"
        if surplus < 0:
            return "the file ends before its header says"
        slack = 0 if unit == "lines" else SLACK
        return f"the file has {surplus:,} {unit} more than its header claims" if surplus > slack else ""

    def _load(self, table: Table) -> tuple[np.ndarray, int]:
        """All rows of a table of lists or of a text, and the byte offset behind it."""
        key = next(index for index, other in enumerate(self.tables) if other is table)
        if key not in self._loaded:
            table.check()
            if self.order:
                place = self.place_of(table)
                rows, end = ply_rows.of_lists(self.source, place, table.fields, table.count, self.order)
            else:
                before = [(other.name, other.count, other.fields) for other in self.tables[:key]]
                rows = ply_rows.of_text(self.source, self._start, before, (table.name, table.count, table.fields))
                end = self._start
            self._loaded[key] = rows, end
        return self._loaded[key]


def opened(path: Path | Source) -> Ply:
    """The PLY at a path, unpacked if it is a gzip file.

    Raises:
        SplatFileError: Not a PLY, or an invalid header.
        OSError: The file can't be opened.
    """
    return Ply(Source.of(path).unpacked())


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


def header_for(tables: dict[str, tuple[int, np.dtype]], comments: Sequence[str] = ()) -> bytes:
    """The PLY header for tables given by name as (row count, packed row type), in order."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {comment}" for comment in comments)]
    for name, (count, dtype) in tables.items():
        lines.append(f"element {name} {count}")
        lines += [f"property {NAMES[type_in(dtype, column).str]} {column}" for column in dtype.names or ()]
    return "\n".join([*lines, "end_header", ""]).encode("ascii")


def storable(name: str, dtype: np.dtype) -> str | None:
    """The packed type of an extra column; None if PLY has no such type or the name is not allowed in a header."""
    code = "|u1" if dtype.kind == "b" else dtype.newbyteorder("<").str
    return code if code in NAMES and name.isascii() and len(name.split()) == 1 else None


def _header(source: Source) -> tuple[list[str], int]:
    """The lines between the magic number and `end_header`, without line ends, and the byte offset of the data.

    Lines end as the first one does: with a line feed, which a carriage return may precede, or with the latter alone.
    """
    head = source.read(0, limits.SPLAT_HEADER_BYTES)
    first = re.match(rb"ply[ \t]*(\r\n|\n|\r)", head)
    if not first:
        raise SplatFileError(f"{source.name}: not a PLY file")
    last = re.search(rb"(?:\r|\n)end_header[ \t]*" + (first[1] if first[1] == b"\r" else rb"\r?\n"), head)
    if not last:
        raise SplatFileError(f"{source.name}: the PLY header does not end: the file is truncated or no PLY")
    text = head[first.end() : max(first.end(), last.start())].decode("utf-8", "replace")
    return [line.strip() for line in re.split(r"\r\n|\n|\r", text)], last.end()

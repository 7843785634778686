"""PLY as a container: binary little-endian tables of scalars, read in pieces, written byte for byte the same.

What the columns mean is said by `splat_ply` and `geometry.cloud_ply`. A file comes in as a path; out go
structured arrays or a `SplatFileError` that says in one sentence what is wrong. Nothing is allocated on the word of a
header: counts are checked against the file's size first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

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
"""PLY's names of the scalar types, old and new, as numpy's."""

NAMES = {np.dtype(code).str: name for name, code in TYPES.items() if not name[-1].isdigit()}
LONGEST_HEADER = 1 << 20
MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Element:
    """One table of a PLY: its name, its rows, its packed row type (None when it holds lists), its offset in bytes."""

    name: str
    count: int
    dtype: np.dtype | None
    offset: int | None


@dataclass(frozen=True)
class Table:
    """One table of scalars in a file on disk, found whole."""

    path: Path
    element: Element

    @property
    def dtype(self) -> np.dtype:
        """The packed row type; its fields are the columns, in the file's order."""
        assert self.element.dtype is not None
        return self.element.dtype

    @property
    def offset(self) -> int:
        """Where the rows begin, in bytes."""
        assert self.element.offset is not None
        return self.element.offset

    def __len__(self) -> int:
        return self.element.count

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as a structured array of its own.

        Raises:
            SplatFileError: The file has become shorter since it was opened.
        """
        offset = self.offset + start * self.dtype.itemsize
        rows = np.fromfile(self.path, self.dtype, stop - start, offset=offset)
        if len(rows) != stop - start:
            raise SplatFileError(f"{self.path.name}: the file became shorter while it was read")
        return rows


def header_of(path: Path) -> list[Element]:
    """The tables that a PLY's header promises.

    Raises:
        SplatFileError: Not a PLY, ASCII or big-endian, or a header that makes no sense.
        OSError: The file can't be opened.
    """
    with path.open("rb") as file:
        lines = list(_header_lines(file, path.name))
        offset = file.tell()
    promised: list[tuple[str, int, list[str], list[str | None]]] = []
    for line in lines:
        words = line.split()
        match words:
            case ["format", "binary_little_endian", "1.0"] | [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", kind, *_]:
                raise SplatFileError(
                    f"{path.name}: the PLY is {kind}; only binary_little_endian 1.0 is read",
                    "save it as binary little-endian PLY",
                )
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                promised.append((name, int(count), [], []))
            case ["property", "list", _, _, name] if promised:
                promised[-1][2].append(name)
                promised[-1][3].append(None)
            case ["property", kind, name] if promised and kind in TYPES:
                promised[-1][2].append(name)
                promised[-1][3].append(TYPES[kind])
            case _:
                raise SplatFileError(f"{path.name}: the PLY header has a line that makes no sense: {line[:60]!r}")
    if not any(line.split()[:1] == ["format"] for line in lines):
        raise SplatFileError(f"{path.name}: the PLY header names no format")
    return _placed(promised, offset, path.name)


def table_of(path: Path, elements: list[Element], name: str) -> Table:
    """The table `name`, known to lie whole in the file.

    Raises:
        SplatFileError: There is none, it holds lists, or the file is too short for the rows it claims.
    """
    element = next((element for element in elements if element.name == name), None)
    if element is None or element.dtype is None or element.offset is None:
        raise SplatFileError(f"{path.name}: the PLY has no table of scalars named {name!r}")
    needed = element.offset + element.count * element.dtype.itemsize
    size = path.stat().st_size
    if needed > size:
        raise SplatFileError(
            f"{path.name}: the PLY claims {element.count:,} rows of {name!r}, {needed:,} bytes, but has {size:,}: "
            "it is truncated or its header is wrong",
            "copy or export the file again",
        )
    return Table(path, element)


def column(rows: np.ndarray, names: list[str]) -> np.ndarray:
    """Some columns of a structured array as (N, len(names)): a view where they lie evenly spaced, else a copy."""
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


def header_for(tables: dict[str, tuple[int, np.dtype]]) -> bytes:
    """The header of a file with these tables (rows, packed row type), in order."""
    lines = ["ply", "format binary_little_endian 1.0"]
    for name, (count, dtype) in tables.items():
        lines.append(f"element {name} {count}")
        lines += [f"property {NAMES[dtype[field].str]} {field}" for field in dtype.names or ()]
    return "\n".join([*lines, "end_header", ""]).encode("ascii")


def _header_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines between the magic and `end_header`, without line ends."""
    if file.readline(8).rstrip() != b"ply":
        raise SplatFileError(f"{name}: not a PLY file")
    read = 0
    while True:
        line = file.readline(LONGEST_HEADER)
        read += len(line)
        if not line.endswith(b"\n") or read > LONGEST_HEADER:
            raise SplatFileError(f"{name}: the PLY header does not end: the file is truncated or no PLY")
        text = line.decode("ascii", "replace").strip()
        if text == "end_header":
            return
        yield text


def _placed(promised, offset: int | None, name: str) -> list[Element]:
    """Row types and offsets; what stands behind a table of lists has no offset that is known."""
    elements = []
    for element, count, fields, types in promised:
        if len(fields) > MOST_COLUMNS or len(set(fields)) != len(fields):
            raise SplatFileError(f"{name}: the PLY's table {element!r} has too many or repeated properties")
        scalars = bool(fields) and None not in types
        dtype = np.dtype(list(zip(fields, types))) if scalars else None
        elements.append(Element(element, count, dtype, offset if scalars else None))
        if count and not scalars:
            offset = None
        elif dtype is not None and offset is not None:
            offset += count * dtype.itemsize
    return elements

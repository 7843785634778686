"""PLY files of splats (3DGS) and of coloured points, into arrays. No bpy here.

Any property order, any SH degree, further columns kept. What a header claims is checked against the file's size before
anything is allocated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .arrays import Points, SplatFileError, Splats, in_chunks, released, smallest, unit

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
LONGEST_HEADER = 1 << 20
CHUNK = 1 << 14
"""Rows handled at once: about 4 MB, what a core's cache holds."""

MEANS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
COLOUR = ("f_dc_0", "f_dc_1", "f_dc_2")
SCALES = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
BYTES = ("red", "green", "blue")
SURE = 30.0
"""A logit beyond this counts as this: 1 or 0 in single precision."""

FLATNESS = np.float32(np.log(1e-3))


class Table:
    """One table of scalars in a PLY, found whole: its row type, its count, its place in the file."""

    def __init__(self, path: Path, name: str, count: int, dtype: np.dtype | None, offset: int | None):
        self.path, self.name, self.count, self.dtype, self.offset = path, name, count, dtype, offset

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; none when the table holds lists."""
        return self.dtype.names if self.dtype else ()

    def check(self):
        """Refuse a table that the file is too short for.

        Raises:
            SplatFileError: It is, or the table stands where it can't be found.
        """
        if self.offset is None:
            raise SplatFileError(f"{self.path.name}: the table {self.name!r} stands behind lists and can't be found")
        needed = self.offset + self.count * self.dtype.itemsize
        size = self.path.stat().st_size
        if needed > size:
            raise SplatFileError(
                f"{self.path.name} claims {self.count:,} {self.name} rows, {needed:,} bytes, but has {size:,}: "
                "it is truncated or damaged"
            )

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), a structured array."""
        offset = self.offset + start * self.dtype.itemsize
        rows = np.fromfile(self.path, self.dtype, stop - start, offset=offset)
        if len(rows) != stop - start:
            raise SplatFileError(f"{self.path.name} became shorter while it was read")
        return rows


def tables_of(path: Path) -> list[Table]:
    """The tables that a PLY's header promises, in order.

    Raises:
        SplatFileError: Not a PLY, an ASCII or big-endian one, or a header that makes no sense.
        OSError: The file can't be opened.
    """
    tables: list[tuple[str, int, list]] = []
    kind = None
    lines, offset = _header(path)
    for line in lines:
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", kind, *_]:
                if kind != "binary_little_endian":
                    what = {"ascii": "text", "binary_big_endian": "big-endian"}.get(kind, kind)
                    raise SplatFileError(f"{path.name} is a {what} PLY; save it as binary little-endian")
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                tables.append((name, int(count), []))
            case ["property", "list", _, _, name] if tables:
                tables[-1][2].append((name, None))
            case ["property", code, name] if tables and code in TYPES:
                tables[-1][2].append((name, TYPES[code]))
            case _:
                raise SplatFileError(f"{path.name} has a PLY header that makes no sense at {line[:60]!r}")
    if kind is None:
        raise SplatFileError(f"{path.name} has a PLY header without a format")
    return _placed(path, tables, offset)


def column(rows: np.ndarray, names: tuple[str, ...] | list[str]) -> np.ndarray:
    """Some columns of a structured array as (N, len(names)): a view where they lie evenly spaced, else a copy."""
    fields = [rows.dtype.fields[name] for name in names]
    offsets = [field[1] for field in fields]
    steps = {after - before for before, after in zip(offsets, offsets[1:])}
    if len(rows) and len({field[0] for field in fields}) == 1 and len(steps) <= 1:
        strides = (rows.dtype.itemsize, steps.pop() if steps else fields[0][0].itemsize)
        return np.ndarray((len(rows), len(names)), fields[0][0], rows, offsets[0], strides)
    return np.stack([rows[name] for name in names], -1)


def read_splats(path: Path) -> Splats:
    """Read a 3DGS PLY; rows with NaN or infinite values are left out and counted.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    tables = tables_of(path)
    table = next((table for table in tables if table.name == "vertex"), None)
    missing = [
        name
        for name in (*MEANS, *COLOUR, "opacity", *SCALES[:2], *ROTATION)
        if table is None or name not in table.columns
    ]
    if missing:
        raise SplatFileError(f"{path.name} holds {_other(tables, missing)}: the PLY has no {', '.join(missing[:3])}")
    table.check()
    rest = _rest_columns(table.columns, path.name)
    kept = set(table.columns) - {*MEANS, *NORMALS, *COLOUR, *SCALES, *ROTATION, *rest, "opacity"}
    count = table.count
    out = Splats(
        released((count, 3)),
        released((count, 3)),
        released((count, 4)),
        released((count,)),
        released((count, 1 + len(rest) // 3, 3)),
        {name: np.empty(count, table.dtype[name]) for name in table.columns if name in kept},
    )
    finite = np.empty(count, bool)

    def take(where: slice):
        with np.errstate(over="ignore", invalid="ignore"):
            _fill(out, finite, where, table.rows(where.start, where.stop), rest)

    in_chunks(take, count, CHUNK)
    out.dropped = count - int(np.count_nonzero(finite))
    return out[finite] if out.dropped else out


def read_points(path: Path) -> Points:
    """Read a PLY of points; those without colours become white.

    Raises:
        SplatFileError: What is wrong with the file, in one sentence.
        OSError: The file can't be opened.
    """
    table = next((table for table in tables_of(path) if table.name == "vertex"), None)
    if table is None or not set(MEANS) <= set(table.columns):
        raise SplatFileError(f"{path.name} holds no points: the PLY has no vertex table with x, y, z")
    table.check()
    rows = table.rows(0, table.count)
    with np.errstate(over="ignore"):
        positions = column(rows, MEANS).astype(np.float32)
    finite = np.isfinite(positions).all(-1)
    if not finite.all():
        rows, positions = rows[finite], positions[finite]
    rgb = np.ones_like(positions)
    if set(BYTES) <= set(table.columns):
        rgb = column(rows, BYTES).astype(np.float32) / np.float32(255 if rows.dtype["red"].kind in "iu" else 1)
    footprints = np.nan_to_num(rows["footprint"].astype(np.float32)) if "footprint" in table.columns else None
    superseded = rows["superseded"] != 0 if "superseded" in table.columns else np.zeros(len(rows), bool)
    return Points(positions, rgb, footprints, superseded)


def _header(path: Path) -> tuple[list[str], int]:
    """The lines between the magic and `end_header`, and where the data begins."""
    with path.open("rb") as file:
        if file.readline(8).rstrip() != b"ply":
            raise SplatFileError(f"{path.name} is no PLY file")
        lines: list[str] = []
        while file.tell() < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line.endswith(b"\n"):
                break
            text = line.decode("ascii", "replace").strip()
            if text == "end_header":
                return lines, file.tell()
            lines.append(text)
    raise SplatFileError(f"{path.name} has a PLY header that does not end: it is truncated")


def _placed(path: Path, tables: list[tuple[str, int, list]], start: int) -> list[Table]:
    """Row types and offsets; what stands behind a table of lists has no offset that is known."""
    offset: int | None = start
    placed = []
    for name, count, fields in tables:
        if len(fields) > 1000 or len({field for field, _ in fields}) != len(fields):
            raise SplatFileError(f"{path.name} has too many or repeated properties in its {name!r} table")
        scalars = bool(fields) and all(code for _, code in fields)
        dtype = np.dtype(fields) if scalars else None
        placed.append(Table(path, name, count, dtype, offset if scalars else None))
        if scalars and offset is not None:
            offset += count * dtype.itemsize
        elif count and fields:
            offset = None
    return placed


def _other(tables: list[Table], missing: list[str]) -> str:
    """What a PLY that lacks columns of splats holds, and how it can be brought in."""
    if any(table.name == "face" for table in tables):
        return "a mesh, which File › Import › Stanford PLY brings in"
    if "x" in missing:
        return "no splats"
    coloured = set(COLOUR).isdisjoint(missing)
    return "incomplete splats" if coloured else "points, which File › Import › Stanford PLY brings in"


def _rest_columns(names: tuple[str, ...], file: str) -> list[str]:
    """f_rest_0.. in order, channel-major."""
    count = sum(name.startswith("f_rest_") for name in names)
    rest = [f"f_rest_{index}" for index in range(count)]
    degree = round((1 + count / 3) ** 0.5) - 1
    if count != 3 * ((degree + 1) ** 2 - 1) or not set(rest) <= set(names):
        raise SplatFileError(f"{file} has {count} f_rest properties, which is no whole degree of spherical harmonics")
    return rest


def _fill(out: Splats, finite: np.ndarray, where: slice, rows: np.ndarray, rest: list[str]):
    """Put one piece of the file into its place in `out`."""
    out.means[where] = column(rows, MEANS)
    np.clip(rows["opacity"], -SURE, SURE, out=out.logit_opacities[where], casting="same_kind")  # ±∞ means 1 or 0
    out.sh[where, 0] = column(rows, COLOUR)
    if rest:
        out.sh[where, 1:] = column(rows, rest).reshape(len(rows), 3, -1).transpose(0, 2, 1)
    if SCALES[2] in rows.dtype.names:
        out.log_scales[where] = column(rows, SCALES)
    else:
        out.log_scales[where, :2] = column(rows, SCALES[:2])
        out.log_scales[where, 2] = smallest(out.log_scales[where, :2]) + FLATNESS
    quaternions = out.quaternions[where]
    quaternions[:] = column(rows, ROTATION)
    off = np.abs(np.einsum("ni,ni->n", quaternions, quaternions) - 1) > 1e-6
    if off.any():
        quaternions[off] = unit(quaternions[off])
    for name, values in out.extra.items():
        values[where] = rows[name]
    finite[where] = True
    for part in (out.means, out.log_scales, out.quaternions, out.logit_opacities, out.sh):
        good = np.isfinite(part[where])
        if not good.all():
            finite[where] &= good.reshape(len(rows), -1).all(1)

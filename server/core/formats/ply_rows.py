"""Rows of PLY tables that have no fixed place: text, and binary tables with lists, of which the lists are skipped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from ..errors import SplatFileError
from ..safety import limits
from .source import Source

Fields = Sequence[tuple[str, str, str]]
"""Name, type and type of the length of each property; the latter is "" for all but lists."""

LONGEST_LINE = 1 << 20


def least_bytes(fields: Fields, order: str) -> int:
    """The least number of bytes of a row, with all lists empty: in a text one digit and one space for each value."""
    if not order:
        return 2 * len(fields)
    return sum(np.dtype(counted or code).itemsize for _, code, counted in fields)


def of_lists(source: Source, place: int, fields: Fields, count: int, order: str) -> tuple[np.ndarray, int]:
    """The columns of a binary table with lists, without these, as a structured array; the byte offset behind the table.

    Args:
        source: The file.
        place: Byte offset of the first row.
        fields: Of a row.
        count: Number of rows.
        order: "<" or ">".

    Raises:
        SplatFileError: The file ends before, or has more rows with lists of different lengths than are read.
    """
    data = source.view(place)
    dtype = _scalars(fields)
    if not count:
        return np.zeros(0, dtype), place
    equal = _of_equal_lists(data, fields, count, order)
    if equal is None:
        return _of_any_lists(source, data, place, fields, count, order)
    rows = np.empty(count, dtype)
    for name in dtype.names or ():
        rows[name] = equal[name]
    return rows, place + count * equal.dtype.itemsize


def _of_equal_lists(data: np.ndarray, fields: Fields, count: int, order: str) -> np.ndarray | None:
    """The rows if all have lists of the lengths of the first row's; else None."""
    layout, place, lists = [], 0, []
    for index, (name, code, counted) in enumerate(fields):
        kind = np.dtype(code).newbyteorder(">" if order == ">" else "<")
        if not counted:
            layout.append((name, kind))
            place += kind.itemsize
            continue
        length_type = np.dtype(counted).newbyteorder(">" if order == ">" else "<")
        if place + length_type.itemsize > len(data):
            return None
        length = int(data[place : place + length_type.itemsize].view(length_type)[0])
        place += length_type.itemsize + length * kind.itemsize
        if length < 0 or place > len(data):
            return None
        lists.append((f"\0{index}", length))
        layout += [(f"\0{index}", length_type), (f"\0\0{index}", f"V{length * kind.itemsize}" if length else "V0")]
    dtype = np.dtype([entry for entry in layout if entry[1] != "V0"])
    if count * dtype.itemsize > len(data):
        return None
    rows = data[: count * dtype.itemsize].view(dtype)
    return rows if all((rows[name] == length).all() for name, length in lists) else None


def _of_any_lists(source: Source, data: np.ndarray, place: int, fields: Fields, count: int, order: str):
    """`of_lists` row by row: the places of each run of scalars are noted, then all runs are gathered at once."""
    if count > limits.SPLAT_LIST_ROWS:
        raise SplatFileError(
            f"{source.name}: the PLY has {count:,} rows with lists of different lengths before the splats; at most "
            f"{limits.SPLAT_LIST_ROWS:,} are read",
            "save it without its other elements",
        )
    runs, lists = _runs(fields)
    big = "big" if order == ">" else "little"
    content, at, starts = np.ascontiguousarray(data).data, 0, []
    for _ in range(count):
        for run, listed in itertools.zip_longest(runs, lists):
            starts.append(at)
            at += run
            if listed is None:
                continue
            size, signed, width = listed
            length = int.from_bytes(content[at : at + size], big, signed=signed)
            if length < 0:
                raise SplatFileError(f"{source.name}: the PLY has a list of negative length: it is damaged")
            at += size + length * width
        if at > len(content):
            raise SplatFileError(
                f"{source.name}: the PLY ends within its lists: it is truncated", "copy or export the file again"
            )
    places = np.array(starts, np.int64).reshape(count, len(runs))
    parts = [data[places[:, run, None] + np.arange(size)] for run, size in enumerate(runs)]
    packed = np.ascontiguousarray(np.concatenate(parts, 1))
    dtype = _scalars(fields)
    rows = (
        packed.view(dtype.newbyteorder(">" if order == ">" else "<"))[:, 0]
        if dtype.itemsize
        else np.zeros(count, dtype)
    )
    return rows.astype(dtype), place + at


def _runs(fields: Fields) -> tuple[list[int], list[tuple[int, bool, int]]]:
    """The bytes of scalars before, between and behind the lists; of each list the length's size and sign, and an
    item's size.
    """
    runs, lists = [0], []
    for _, code, counted in fields:
        if counted:
            kind = np.dtype(counted)
            lists.append((kind.itemsize, kind.kind == "i", np.dtype(code).itemsize))
            runs.append(0)
        else:
            runs[-1] += np.dtype(code).itemsize
    return runs, lists


def of_text(
    source: Source,
    start: int,
    before: Sequence[tuple[str, int, Fields]],
    table: tuple[str, int, Fields],
) -> np.ndarray:
    """The columns of a table of a text, without lists, as a structured array.

    Args:
        source: The file.
        start: Byte offset of the text.
        before: Name, row count and fields of the tables before it: a line each row.
        table: The same of the table.

    Raises:
        SplatFileError: A row has too few or too many values, or what is no number.
    """
    name, count, fields = table
    lines = _lines(source, start)
    for _, skipped, others in before:
        if others:
            next(itertools.islice(lines, skipped, skipped), None)
    if any(counted for _, _, counted in fields):
        lines = _without_lists(source, lines, fields)
    columns = [code for _, code, counted in fields if not counted]
    rows = np.zeros(count, _scalars(fields))
    if not count or not columns:
        return rows
    try:
        values = np.loadtxt(itertools.islice(lines, count), np.float64, comments=None, ndmin=2)
    except (ValueError, TypeError) as error:
        text = str(error).split(";")[0]
        raise SplatFileError(f"{source.name}: the PLY's text is damaged: {text}", "export the file again") from None
    if values.shape != (count, len(columns)):
        raise SplatFileError(
            f"{source.name}: the PLY claims {count:,} rows of {len(columns)} values of {name!r}, but has "
            f"{values.shape[0]:,} of {values.shape[1]}: it is truncated or its header is wrong",
            "copy or export the file again",
        )
    for column, (field, code) in enumerate(zip(rows.dtype.names or (), columns)):
        _check_range(source, field, values[:, column], np.dtype(code))
        with np.errstate(over="ignore"):
            rows[field] = values[:, column]
    return rows


def lines_in(source: Source, start: int, expected: int) -> int:
    """The number of lines of a text that are not empty; at most one more than expected."""
    return sum(1 for _ in itertools.islice(_lines(source, start), expected + 1))


def _check_range(source: Source, name: str, values: np.ndarray, kind: np.dtype) -> None:
    if kind.kind in "iu":
        bounds = np.iinfo(kind)
        whole = np.floor(values) == values  # a fraction means that the columns are not in the header's order
        if not ((values >= bounds.min) & (values <= bounds.max) & whole).all():
            raise SplatFileError(f"{source.name}: the PLY's column {name!r} holds numbers that its type can't")


def _lines(source: Source, start: int) -> Iterator[bytes]:
    """The lines of a text that are not empty; they end with a line feed or a carriage return."""
    with _file_at(source, start) as file:
        sample = file.read(LONGEST_LINE)
        file.seek(start)
        if b"\n" not in sample and b"\r" in sample:
            yield from (line for line in file.read().split(b"\r") if line.strip())
            return
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise SplatFileError(f"{source.name}: the PLY's text has a line of more than {LONGEST_LINE:,} bytes")
            if line.strip():
                yield line


def _file_at(source: Source, start: int) -> BinaryIO:
    import io

    file = source.path.open("rb") if source.data is None else io.BytesIO(source.data)
    file.seek(start)
    return file


def _without_lists(source: Source, lines: Iterator[bytes], fields: Fields) -> Iterator[bytes]:
    for line in lines:
        values, at, kept = line.split(), 0, []
        for _, _, counted in fields:
            if at >= len(values):
                raise SplatFileError(f"{source.name}: the PLY's text has a row with too few values: {line[:60]!r}")
            if not counted:
                kept.append(values[at])
                at += 1
            elif not values[at].isdigit():
                raise SplatFileError(f"{source.name}: the PLY's text has a list of no length: {line[:60]!r}")
            else:
                at += 1 + int(values[at][:18])
        if at != len(values):
            raise SplatFileError(f"{source.name}: the PLY's text has a row of a wrong length: {line[:60]!r}")
        yield b" ".join(kept)


def _scalars(fields: Fields) -> np.dtype:
    return np.dtype([(name, code) for name, code, counted in fields if not counted])

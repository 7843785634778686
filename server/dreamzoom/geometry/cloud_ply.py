"""A level's cloud on disk: PLY that any viewer opens, coloured, with the columns that the pipeline needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.atomic_files import replacing
from core.colour import to_bytes
from core.errors import SplatFileError
from core.formats import ply
from dreamzoom.geometry.cloud import Cloud

POSITION, NORMAL, COLOUR = ["x", "y", "z"], ["nx", "ny", "nz"], ["red", "green", "blue"]
ROW = np.dtype(
    [(name, "<f4") for name in POSITION + NORMAL]
    + [(name, "u1") for name in COLOUR]
    + [("footprint", "<f4"), ("confidence", "<f4"), ("view", "<i4"), ("superseded", "u1")]
)


def write_cloud(path: Path, cloud: Cloud):
    """Write a cloud; the same cloud always gives the same bytes. Colours are rounded to 8 bits.

    Raises:
        OSError: The folder can't be written.
    """
    rows = np.empty(len(cloud), ROW)
    for names, values in ((POSITION, cloud.position), (NORMAL, cloud.normal), (COLOUR, to_bytes(cloud.rgb))):
        for name, column in zip(names, values.T):
            rows[name] = column
    for name in ("footprint", "confidence", "view", "superseded"):
        rows[name] = getattr(cloud, name)
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (len(cloud), ROW)}))
        file.write(rows.data)


def read_cloud(path: Path) -> Cloud:
    """Read a cloud that `write_cloud` wrote.

    Raises:
        SplatFileError: The file is damaged or lacks a column.
        OSError: The file can't be opened.
    """
    path = Path(path)
    table = ply.table_of(path, ply.header_of(path), "vertex")
    missing = [name for name in ROW.names or () if name not in (table.dtype.names or ())]
    if missing:
        raise SplatFileError(f"{path.name}: this cloud lacks the column {missing[0]!r}")
    rows = table.rows(0, len(table))
    return Cloud(
        ply.column(rows, POSITION).astype(np.float32),
        ply.column(rows, COLOUR).astype(np.float32) / np.float32(255),
        ply.column(rows, NORMAL).astype(np.float32),
        rows["footprint"].astype(np.float32),
        rows["view"].astype(np.int32),
        rows["confidence"].astype(np.float32),
        rows["superseded"] != 0,
    )

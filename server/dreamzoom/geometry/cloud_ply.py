"""Reading and writing a level's cloud as PLY, with all its columns (`core.formats.points`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.errors import SplatFileError
from core.formats import points
from dreamzoom.geometry.cloud import Cloud

EXTRA = {"footprint": np.float32, "confidence": np.float32, "view": np.int32, "superseded": bool}
"""The columns besides position, normal and colour, in the file's order, and their types. `given` and `measured`
are not among them: they matter only while levels are made.
"""


def write_cloud(path: Path, cloud: Cloud) -> None:
    """Write a cloud; equal clouds give equal bytes. Colours are rounded to 8 bits.

    Raises:
        OSError: The folder can't be written.
    """
    extra = {name: np.asarray(getattr(cloud, name), kind) for name, kind in EXTRA.items()}
    points.write(path, points.Points(cloud.position, cloud.rgb, cloud.normal, extra))


def read_cloud(path: Path) -> Cloud:
    """Read a cloud that `write_cloud` wrote.

    Raises:
        SplatFileError: The file is damaged or lacks a column.
        OSError: The file can't be opened.
    """
    found = points.read(path)
    have = {"nx": found.normals, "red": found.rgb, **found.extra}
    missing = [name for name in ("nx", "red", *EXTRA) if have.get(name) is None]
    if missing or found.rgb is None or found.normals is None:
        raise SplatFileError(f"{Path(path).name}: this cloud lacks the column {missing[0]!r}")
    extra = {name: found.extra[name].astype(kind) for name, kind in EXTRA.items()}
    return Cloud(found.positions, found.rgb, found.normals, **extra)

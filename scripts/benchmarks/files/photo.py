"""A photo on level 0: the first frame is the photo, and deeper frames show it, in every engine."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from photographs import photo_request, photograph, psnr, shown_db

from benchmarks.shared.table import Table
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.render.flight import open_flight
from dreamzoom.request.images import read_picture
from dreamzoom.request.validation import convert_request

WANTED = {"preview": 34.0, "final": 40.0}
"""PSNR in dB of the first frame against the photo."""


def add_rows(table: Table, options: argparse.Namespace) -> None:
    """Two rows per engine and quality: the first frame, and the worst of three deeper ones at its resolution."""
    size = tuple(int(part) for part in options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        for engine in options.engine:
            for quality in options.quality:
                _measure(table, Path(folder), engine, quality, size)


def _measure(table: Table, folder: Path, engine: str, quality: str, size) -> None:
    photo = photograph(folder / "photo.png", (2 * size[0], 2 * size[1]))
    request = photo_request(photo, size=size, engine=_engine(engine, folder), quality=quality)
    start, job = time.monotonic(), folder / f"{engine}-{quality}"
    generate(convert_request(request), Folder(job))
    seconds = time.monotonic() - start
    flight, given = open_flight(job), read_picture(photo, size, lambda message: None)
    first = psnr(flight.view(flight.path.at_frame(1)).rgb, given)
    wanted = WANTED.get(quality)
    name = f"{engine}, {quality}"
    figures = {f"first_{engine}_{quality}_db": round(first, 2)}
    target = "reported" if wanted is None else f"≥ {wanted:g}"
    table.add(
        f"{name}: first frame, dB ({seconds:.0f} s)",
        first,
        target,
        None if wanted is None else first >= wanted,
        **figures,
    )
    deeper = min(shown_db(flight, given, 0, zoom) for zoom in (0.25, 0.5, 1.0))
    figures = {f"deeper_{engine}_{quality}_db": round(deeper, 2)}
    depth = ", by the depth of random weights" if engine == "diffusion" else ""
    table.add(f"{name}: deeper frames at the photo's pixels{depth}, worst, dB", deeper, **figures)


def _engine(name: str, folder: Path) -> dict[str, Any] | None:
    """The engine's part of the request; diffusion has networks with random weights."""
    if name != "diffusion":
        return {"name": name}
    import models

    if not (folder / "sd").exists():
        models.stable_diffusion(folder / "sd")
        models.depth_anything(folder / "depth")
    return {"name": name, "model": str(folder / "sd"), "depth_model": str(folder / "depth"), "steps": 4}

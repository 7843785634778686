"""Pictures and depth maps as people have them (tests/data/pictures): read as a person expects, and said."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.shared.table import Table
from dreamzoom.request import images

FOLDER = Path(__file__).parents[3] / "tests" / "data" / "pictures"


def add_rows(table: Table, options: argparse.Namespace) -> None:
    """One row per file: what was found, and whether that is what a person expects."""
    for name, expected, check in PICTURES:
        said: list[str] = []
        rgb = images.read_picture(FOLDER / name, images.picture_size(FOLDER / name), said.append)
        found = "; ".join(line.removeprefix(f"{name}: ") for line in said) or "read without a note"
        table.add(f"{name} ({rgb.shape[1]}×{rgb.shape[0]})", found, expected, check(rgb, " ".join(said)))
    said = []
    depth = images.read_depth(FOLDER / "beauty_z_ao.exr", None, said.append)
    near = bool(np.nanmax(depth) < 10) and 0.5 < np.isnan(depth).mean() < 0.9
    table.add("beauty_z_ao.exr as a depth", "; ".join(said), "1e10 is unknown", near)


Check = Callable[[np.ndarray, str], bool]

PICTURES: tuple[tuple[str, str, Check], ...] = (
    ("hole_alpha.png", "the hole is unknown", lambda rgb, said: 0.2 < np.isnan(rgb).any(-1).mean() < 0.3),
    ("bright.exr", "mapped, and said", lambda rgb, said: rgb.max() <= 1 and "values up to" in said),
    ("light.hdr", "read", lambda rgb, said: bool(np.isfinite(rgb).all() and rgb.std() > 0.1)),
    ("rgb_float.tif", "read", lambda rgb, said: bool(np.isfinite(rgb).all() and rgb.std() > 0.05)),
    ("beauty_z_ao.exr", "Combined, said so", lambda rgb, said: "layer ViewLayer.Combined" in said),
    ("photo.jpg", "read", lambda rgb, said: bool(np.isfinite(rgb).all())),
)

"""The figure of the files of `tests/data/field`: an L of 400 splats, a red bar 2 units up, a green bar 1 unit to the
right, a blue one half a unit towards the viewer. And what tests do with it.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core import formats
from core.formats import splat_ply, spz
from core.gaussians import Gaussians

FIELD = Path(__file__).resolve().parent / "data" / "field"
WHOLE = sorted(path.name for path in FIELD.iterdir() if "tiny" not in path.name and path.name != "site.ply")
COUNT = {"ascii.ply": 100, "cut.splat": 399}
PLY = b"ply\nformat binary_little_endian 1.0\n"


def figure() -> Gaussians:
    """The figure of the field's files, upright."""
    return formats.read(FIELD / "axes_comment_z.ply").splats


def assert_upright(splats: Gaussians):
    red, green = (splats.rgb.argmax(1) == channel for channel in range(2))
    assert splats.means[red, 2].max() == pytest.approx(2, abs=0.05)
    assert splats.means[green, 0].max() == pytest.approx(1, abs=0.05) or not green.any()
    assert np.abs(splats.means[red, :2]).max() < 0.15


def with_comments(path: Path, splats: Gaussians, *comments: str, kind: str = "comment") -> Path:
    """A 3DGS PLY with comments of another program."""
    splat_ply.write_splats(path, splats)
    lines = "".join(f"{kind} {comment}\n" for comment in comments).encode()
    path.write_bytes(path.read_bytes().replace(PLY, PLY + lines))
    return path


def turned(matrix: np.ndarray) -> Gaussians:
    """The figure in axes from which `matrix` leads to upright ones; only the places matter."""
    return replace(figure(), means=(figure().means @ matrix).astype(np.float32))


def seen(splats: Gaussians, direction: np.ndarray) -> np.ndarray:
    from core.spherical_harmonics import basis

    values = np.stack(basis(*direction.T, 3), -1)
    return splats.rgb + np.einsum("ak,nkc->nc", values, splats.sh[:, 1:])


def extend(path: Path, extension: bytes) -> None:
    """Add extensions to an SPZ file."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        content = bytearray(gzip.decompress(data))
        content[14] |= spz.EXTENDED
        path.write_bytes(gzip.compress(bytes(content) + extension))
        return
    head = bytearray(data[:32])
    head[14] |= spz.EXTENDED
    head[16:20] = struct.pack("<I", 32 + len(extension))
    path.write_bytes(bytes(head) + extension + data[32:])

"""The `.splat` format of antimatter15's viewer: 32 bytes per splat, no header, no spherical harmonics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from ..quaternions import unit
from . import quantization
from .format import Format, SplatFile, without

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
LEAST_SCALE = np.float32(1e-30)


def recognises(path: Path, magic: bytes) -> bool:
    """Whether the file name has the format's suffix; the content has no magic number."""
    return path.suffix.lower() == FORMAT.suffix


def read(path: Path) -> SplatFile:
    """Read a `.splat` file; rows with NaN or infinite values or negative scales are left out and counted.

    Raises:
        SplatFileError: The file size is not a multiple of the row size.
        OSError: The file can't be opened.
    """
    path = Path(path)
    size = path.stat().st_size
    if size == 0 or size % ROW.itemsize:
        raise SplatFileError(
            f"{path.name}: {size:,} bytes are no whole number of splats of {ROW.itemsize} bytes: "
            "truncated, or not a .splat file"
        )
    rows = np.fromfile(path, ROW)
    good = np.isfinite(rows["mean"]).all(-1) & np.isfinite(rows["scale"]).all(-1) & (rows["scale"] >= 0).all(-1)
    with np.errstate(invalid="ignore"):
        log_scales = np.log(np.maximum(rows["scale"], LEAST_SCALE))
    splats = Gaussians(
        np.ascontiguousarray(rows["mean"]),
        log_scales,
        unit((rows["rotation"].astype(np.float32) - 128) / 128),
        quantization.logits_of(rows["rgba"][:, 3]),
        quantization.constant_of(rows["rgba"][:, :3].astype(np.float32) / 255)[:, None],
    )
    return without(splats, good, "-Y")


def write_splats(path: Path, splats: Gaussians):
    """Write a `.splat` file: colour, opacity and rotation in 8 bits; harmonics above degree 0 and `extra` are lost."""
    rows = np.empty(len(splats), ROW)
    rows["mean"] = splats.means
    rows["scale"] = np.exp(splats.log_scales)
    rows["rgba"][:, :3] = quantization.to_byte(quantization.colour_of(splats.sh) * 255)
    rows["rgba"][:, 3] = quantization.opacity_bytes(splats.logit_opacities)
    rows["rotation"] = quantization.to_byte(splats.quaternions * 128 + 128)
    with replacing(path) as file:
        file.write(rows.data)


FORMAT = Format(".splat", ".splat", recognises, read, write_splats)

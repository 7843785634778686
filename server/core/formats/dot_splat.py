"""The `.splat` format of antimatter15's viewer: 32 bytes per splat, no header, no spherical harmonics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..arrays import in_chunks, mapped_zeros
from ..atomic_files import replacing
from ..errors import SplatFileError
from ..gaussians import Gaussians
from ..quaternions import unit
from . import quantization
from .format import About, Format, SplatFile, flat_note, flattened, without
from .source import Source, check_rows

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
CHUNK = 1 << 15
LOGITS = quantization.logits_of(np.arange(256, dtype=np.uint8))
COLOURS = quantization.constant_of(np.arange(256, dtype=np.float32) / 255)
"""The values of the bytes 0 to 255."""

TEXT = bytes(range(32, 127)) + b"\t\r\n"


def recognises(source: Path | Source, magic: bytes) -> bool:
    """Whether the file name has the format's suffix; the content has no magic number."""
    return Source.of(source).name.lower().removesuffix(".gz").endswith(FORMAT.suffix)


def read(path: Path | Source) -> SplatFile:
    """Read a `.splat` file; rows with NaN or infinite values or negative scales are left out and counted.

    Bytes after the last whole row are ignored, with a note.

    Raises:
        SplatFileError: The file has no whole row, or is a text.
        OSError: The file can't be opened.
    """
    source = Source.of(path).unpacked()
    count, rest = divmod(source.size, ROW.itemsize)
    if not count:
        raise SplatFileError(
            f"{source.name}: {source.size:,} bytes are no whole number of splats of {ROW.itemsize} bytes: "
            "truncated, or not a .splat file"
        )
    if not source.read(0, 4096).translate(None, TEXT):
        raise SplatFileError(f"{source.name}: is a text, not a .splat file")
    check_rows(source.name, count)
    splats = Gaussians(
        mapped_zeros((count, 3)),
        mapped_zeros((count, 3)),
        mapped_zeros((count, 4)),
        mapped_zeros((count,)),
        mapped_zeros((count, 1, 3)),
    )
    good = np.empty(count, bool)

    def take(where: slice):
        rows = source.rows(ROW, where.stop - where.start, where.start * ROW.itemsize)
        scales = np.ascontiguousarray(rows["scale"])
        good[where] = np.isfinite(rows["mean"]).all(-1) & (np.isfinite(scales) & (scales >= 0)).all(-1)
        splats.means[where] = rows["mean"]
        with np.errstate(invalid="ignore", divide="ignore"):
            np.log(scales, out=splats.log_scales[where])
        splats.quaternions[where] = unit((rows["rotation"].astype(np.float32) - 128) / 128)
        splats.logit_opacities[where] = LOGITS[rows["rgba"][:, 3]]
        splats.sh[where, 0] = COLOURS[rows["rgba"][:, :3]]

    in_chunks(take, count, CHUNK)
    flat = flattened(splats.log_scales)
    cut = f"its last {rest} bytes are no whole splat and were left out" if rest else ""
    return replace(without(splats, good), notes=tuple(note for note in (cut, flat_note(flat)) if note))


def write_splats(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
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

"""Splats into SOG files of version 2, in one zip."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic_files import replacing
from ...errors import SplatFileError
from ...gaussians import Gaussians
from .. import quantization
from ..format import About
from . import codebooks, pictures
from .reading import LARGEST_TAG, ROW

MOST_ENTRIES = 1 << 16
"""Of the palette of harmonics: labels have 16 bits."""


def write_splats(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
    """Write a SOG file: positions in 16 bits of a logarithmic range, all else in 8 bits or by codebooks.

    Harmonics to degree 3 are taken from a palette of at most 65,536 entries. The splats are sorted in Morton order, and
    `extra` is lost.

    Args:
        path: The file.
        splats: With −y up.
        about: Whether they are anti-aliased.

    Raises:
        SplatFileError: There are no splats, or more than a SOG can hold.
        OSError: The folder can't be written.
    """
    name, count = Path(path).name, len(splats)
    if not count:
        raise SplatFileError(f"{name}: a SOG can't hold no splats at all")
    width = math.ceil(math.sqrt(count) / 4) * 4
    height = math.ceil(count / width / 4) * 4
    if max(width, height) > pictures.MOST_SIDE:
        raise SplatFileError(f"{name}: {count:,} splats are more than a SOG can hold", "write a PLY or SPZ")
    splats = splats[np.argsort(quantization.morton(splats.means), kind="stable")]
    meta: dict[str, Any] = {"version": 2, "asset": {"generator": "Dreamzoom"}, "count": count}
    if about.antialiased:
        meta |= {"antialias": True, "model": "antialiased"}
    files: dict[str, bytes] = {}

    def picture(file: str, values: np.ndarray) -> None:
        """Add a picture of rows (N, 2 to 4) uint8; what lacks is 0, and 255 in alpha."""
        pixels = np.zeros((height * width, 4), np.uint8)
        pixels[:, 3] = 255
        pixels[:count, : values.shape[1]] = values
        files[file] = pictures.webp(pixels.reshape(height, width, 4))

    meta["means"] = _means(splats.means, picture)
    book = codebooks.codebook_of(splats.log_scales)
    picture("scales.webp", codebooks.indices_in(book, splats.log_scales))
    meta["scales"] = {"codebook": _listed(book), "files": ["scales.webp"]}
    largest, three = quantization.smallest_three(splats.quaternions)
    turns = quantization.to_byte((three / quantization.SQRT_HALF + 1) * np.float32(127.5))
    picture("quats.webp", np.concatenate([turns, (largest + LARGEST_TAG).astype(np.uint8)[:, None]], 1))
    meta["quats"] = {"files": ["quats.webp"]}
    book = codebooks.codebook_of(splats.sh[:, 0])
    colours = codebooks.indices_in(book, splats.sh[:, 0])
    picture("sh0.webp", np.concatenate([colours, quantization.opacity_bytes(splats.logit_opacities)[:, None]], 1))
    meta["sh0"] = {"codebook": _listed(book), "files": ["sh0.webp"]}
    if splats.sh.shape[1] > 1:
        meta["shN"] = _harmonics(splats.sh[:, 1:16], picture, files)
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        content = json.dumps(meta, separators=(",", ":"), allow_nan=False).encode()
        for entry, data in [("meta.json", content), *files.items()]:
            archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), data)


def _means(means: np.ndarray, picture) -> dict[str, Any]:
    """Positions as 16-bit numbers between the ends of sign(x) log(1 + |x|)."""
    wide = means.astype(np.float64)
    bent = np.sign(wide) * np.log1p(np.abs(wide))
    low, high = bent.min(0), bent.max(0)
    words = np.round((bent - low) / np.maximum(high - low, 1e-30) * 65535).astype(np.uint16)
    picture("means_l.webp", (words & 255).astype(np.uint8))
    picture("means_u.webp", (words >> 8).astype(np.uint8))
    return {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]}


def _harmonics(sh: np.ndarray, picture, files: dict[str, bytes]) -> dict[str, Any]:
    """Coefficients (N, terms, 3) as labels into a palette, whose values are those of a codebook."""
    count, terms = sh.shape[:2]
    palette, labels = codebooks.palette_of(np.ascontiguousarray(sh.reshape(count, -1)), MOST_ENTRIES)
    book = codebooks.codebook_of(palette)
    rows = math.ceil(len(palette) / ROW)
    pixels = np.zeros((rows * ROW * terms, 4), np.uint8)
    pixels[:, 3] = 255
    pixels[: len(palette) * terms, :3] = codebooks.indices_in(book, palette).reshape(-1, 3)
    files["shN_centroids.webp"] = pictures.webp(pixels.reshape(rows, ROW * terms, 4))
    picture("shN_labels.webp", np.stack([labels & 255, labels >> 8], 1).astype(np.uint8))
    return {
        "count": len(palette),
        "bands": (0, 3, 8, 15).index(terms),
        "codebook": _listed(book),
        "files": ["shN_centroids.webp", "shN_labels.webp"],
    }


def _listed(book: np.ndarray) -> list[float]:
    return [float(value) for value in book]

"""Splats out of SOG files, of version 2 and of the first one, which had no codebooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import in_chunks, mapped_zeros
from ...errors import SplatFileError
from ...gaussians import Gaussians
from ...safety import limits
from .. import quantization
from ..format import SplatFile, flat_note, flattened, without
from ..source import Source, check_rows
from . import pictures
from .bundle import Bundle

TERMS = (0, 3, 8, 15)
"""Coefficients above degree 0, by the degree."""

ROW = 64
"""Palette entries in a row of its picture."""

CHUNK = 1 << 15
LARGEST_TAG = 252
"""The alpha of a rotation's pixel is this plus the index of its largest component."""


def read(path: Path | Source) -> SplatFile:
    """Read a SOG: a zip, or the meta.json of a folder. Like PLY, and as SuperSplat writes it, it has −y up.

    Raises:
        SplatFileError: The file is invalid; the message says what is wrong.
        OSError: The file can't be opened.
    """
    bundle = Bundle(Source.of(path))
    meta, name = bundle.meta, bundle.name
    if "lods" in meta or "lodLevels" in meta:
        raise SplatFileError(f"{name}: is a streamed SOG, which is not read", "choose a meta.json in it")
    first = "version" not in meta
    if not first and meta["version"] != 2:
        raise SplatFileError(f"{name}: is a SOG of version {meta['version']!r:.20}, which is not known")
    count = _count(name, _part(name, meta, "means")["shape"][0] if first and _has_shape(meta) else meta.get("count"))
    textures = _textures(bundle, count)
    out = Gaussians(
        mapped_zeros((count, 3)),
        mapped_zeros((count, 3)),
        mapped_zeros((count, 4)),
        mapped_zeros((count,)),
        mapped_zeros((count, 1 + textures.terms, 3)),
    )
    decode = _Decoder(name, meta, textures, first)
    in_chunks(lambda where: decode.fill(out, where), count, CHUNK)
    note = flat_note(flattened(out.log_scales))
    good = np.ones(count, bool)
    for part in out.parts:
        finite = np.isfinite(part)
        if not finite.all():
            good &= finite.reshape(count, -1).all(1)
    antialiased = meta.get("model") == "antialiased" or meta.get("antialias") is True
    return replace(without(out, good), antialiased=antialiased, notes=(note,) if note else ())


class _Textures:
    """The pictures as rows of bytes: low and high bytes of the means, scales, rotations, colours; the palette of
    harmonics (entries, terms, 3) and its labels, or None.
    """

    def __init__(self, low, high, scales, turns, colours, palette, labels):
        self.low, self.high, self.scales, self.turns, self.colours = low, high, scales, turns, colours
        self.palette, self.labels = palette, labels
        self.terms = 0 if palette is None else palette.shape[1]


class _Decoder:
    """Turns bytes into values."""

    def __init__(self, name: str, meta: dict[str, Any], textures: _Textures, first: bool):
        self.textures, self.first = textures, first
        means = _part(name, meta, "means")
        self.low, self.high = _numbers(name, means, "mins", 3), _numbers(name, means, "maxs", 3)
        scales, colours = _part(name, meta, "scales"), _part(name, meta, "sh0")
        if first:
            self.scale_book = _ramps(name, scales, 3)
            self.colour_book = _ramps(name, colours, 4)
        else:
            self.scale_book = np.stack([_numbers(name, scales, "codebook", 256)] * 3, 1)
            self.colour_book = np.stack([_numbers(name, colours, "codebook", 256)] * 3, 1)
        self.palette = None
        if textures.palette is not None:
            harmonics = _part(name, meta, "shN")
            book = _ramp(name, harmonics) if first else _numbers(name, harmonics, "codebook", 256)
            self.palette = book.astype(np.float32)[textures.palette]

    def fill(self, out: Gaussians, where: slice) -> None:
        """Decode the splats of a slice."""
        textures = self.textures
        words = textures.low[where].astype(np.uint16) | textures.high[where].astype(np.uint16) << np.uint16(8)
        bent = self.low + words * ((self.high - self.low) / 65535)
        with np.errstate(over="ignore"):
            out.means[where] = np.sign(bent) * np.expm1(np.abs(bent))
        axes = np.arange(3)
        out.log_scales[where] = self.scale_book[textures.scales[where], axes]
        out.quaternions[where] = _rotations(textures.turns[where])
        colours = textures.colours[where]
        out.sh[where, 0] = self.colour_book[colours[:, :3], axes]
        if self.first:
            out.logit_opacities[where] = np.clip(self.colour_book[colours[:, 3], 3], -30, 30)
        else:
            out.logit_opacities[where] = quantization.logits_of(colours[:, 3])
        if self.palette is not None and textures.labels is not None:
            labels = textures.labels[where, 0].astype(np.intp) | textures.labels[where, 1].astype(np.intp) << 8
            known = labels < len(self.palette)
            out.sh[where, 1:] = np.where(known[:, None, None], self.palette[np.where(known, labels, 0)], 0)


def _rotations(pixels: np.ndarray) -> np.ndarray:
    """Quaternions wxyz (N, 4) of pixels (N, 4); those without a largest component are the identity."""
    three = (pixels[:, :3].astype(np.float32) / np.float32(127.5) - 1) * quantization.SQRT_HALF
    valid = pixels[:, 3] >= LARGEST_TAG
    turns = quantization.from_smallest_three(np.where(valid, pixels[:, 3] - LARGEST_TAG, 0).astype(np.intp), three)
    return np.where(valid[:, None], turns, np.array([1, 0, 0, 0], np.float32))


def _textures(bundle: Bundle, count: int) -> _Textures:
    """Decode all pictures, after their sizes have been checked."""
    meta, name = bundle.meta, bundle.name
    wanted = [("means", 0), ("means", 1), ("scales", 0), ("quats", 0), ("sh0", 0)]
    wanted += [("shN", 0), ("shN", 1)] if isinstance(meta.get("shN"), dict) else []
    files = [bundle.file(_file_name(name, _part(name, meta, part), index)) for part, index in wanted]
    sizes = [pictures.size_of(name, data) for data in files]
    pixels, size = sum(width * height for width, height in sizes), sum(map(len, files))
    if pixels > limits.SOG_PIXELS_FREE + limits.SOG_PIXELS_PER_BYTE * size:
        raise SplatFileError(f"{name}: its pictures claim {pixels:,} pixels, more than {size:,} bytes can hold")
    for (part, _), (width, height) in zip(wanted, sizes):
        if width * height < count and (part, _) != ("shN", 0):
            raise SplatFileError(f"{name}: claims {count:,} splats, but its picture of {part} has {width}×{height}")
    rows = [pictures.decoded(name, data) for data in files]
    flat = [picture.reshape(-1, 4)[:count] for picture in rows]
    palette = _palette(name, meta["shN"], rows[5]) if len(rows) > 5 else None
    low, high, scales, turns, colours = flat[:5]
    labels = flat[6] if palette is not None else None
    return _Textures(low[:, :3], high[:, :3], scales[:, :3], turns, colours, palette, labels)


def _palette(name: str, meta: dict[str, Any], picture: np.ndarray) -> np.ndarray | None:
    """The bytes of the palette of harmonics, (entries, terms, 3): 64 entries in a row of pixels."""
    height, width = picture.shape[:2]
    bands = meta.get("bands", TERMS.index(width // ROW) if width // ROW in TERMS else -1)
    if bands == 0:
        return None
    if bands not in (1, 2, 3) or width != ROW * TERMS[bands]:
        raise SplatFileError(f"{name}: the SOG's palette of harmonics is {width} pixels wide, which fits no degree")
    entries = picture[..., :3].reshape(height * ROW, TERMS[bands], 3)
    count = meta.get("count", len(entries))
    return entries[:count] if type(count) is int and count > 0 else entries


def _count(name: str, count: object) -> int:
    if type(count) is not int or count < 0:
        raise SplatFileError(f"{name}: the SOG's meta.json gives no number of splats")
    check_rows(name, count)
    return count


def _has_shape(meta: dict[str, Any]) -> bool:
    means = meta.get("means")
    shape = means.get("shape") if isinstance(means, dict) else None
    return isinstance(shape, list) and len(shape) > 0


def _part(name: str, meta: dict[str, Any], key: str) -> dict[str, Any]:
    part = meta.get(key)
    if not isinstance(part, dict):
        raise SplatFileError(f"{name}: the SOG's meta.json has no {key!r}")
    return part


def _file_name(name: str, part: dict[str, Any], index: int) -> object:
    files = part.get("files")
    if not isinstance(files, list) or len(files) <= index:
        raise SplatFileError(f"{name}: the SOG's meta.json names too few files")
    return files[index]


def _numbers(name: str, part: dict[str, Any], key: str, count: int) -> np.ndarray:
    """`count` numbers, float64; of a codebook with fewer, the last one is repeated."""
    found = part.get(key)
    if not isinstance(found, list) or not found or any(type(value) not in (int, float) for value in found):
        raise SplatFileError(f"{name}: the SOG's meta.json has no numbers {key!r}")
    if len(found) > count or (len(found) < count and key != "codebook"):
        raise SplatFileError(f"{name}: the SOG's meta.json has {len(found)} numbers {key!r}, not {count}")
    return np.array(found + [found[-1]] * (count - len(found)), np.float64)


def _ramps(name: str, part: dict[str, Any], channels: int) -> np.ndarray:
    """The values of the bytes 0 to 255, (256, channels), between minima and maxima."""
    low, high = _numbers(name, part, "mins", channels), _numbers(name, part, "maxs", channels)
    return low + (high - low) * np.arange(256)[:, None] / 255


def _ramp(name: str, part: dict[str, Any]) -> np.ndarray:
    low, high = part.get("mins"), part.get("maxs")
    if type(low) not in (int, float) or type(high) not in (int, float):
        raise SplatFileError(f"{name}: the SOG's meta.json has no range of harmonics")
    return float(low) + (float(high) - float(low)) * np.arange(256) / 255  # pyright: ignore[reportArgumentType]

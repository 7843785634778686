"""Radiance pictures (.hdr): RGBE or XYZE pixels, flat or run-length encoded (G. Ward, "Real Pixels", Graphics Gems II,
1991; the Radiance file formats).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.jit import njit
from dreamzoom.request.pictures.checks import check_ratio, check_size
from dreamzoom.request.pictures.decoded import Decoded, from_light_rows

_SIZE = re.compile(rb"([-+])([XY]) (\d{1,9}) ([-+])([XY]) (\d{1,9})\n")
_XYZ_TO_RGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]],
    np.float32,
)
"""CIE XYZ (D65) to linear sRGB (IEC 61966-2-1)."""


def read_hdr(path: Path, field: str) -> Decoded:
    """A Radiance picture in linear light.

    Raises:
        BadRequest: The file is damaged, cut off or too large.
    """
    data = path.read_bytes()
    head = data[: limits.PICTURE_HEADER_BYTES]
    size = _SIZE.search(head)
    if size is None:
        raise BadRequest(field, f"{path.name} can't be read: it has no line with its size")
    lines = head[: size.start()].split(b"\n")
    by_rows = size[2] == b"Y"
    if size[2] == size[5]:
        raise BadRequest(field, f"{path.name} can't be read: its size is damaged")
    outer, inner = int(size[3]), int(size[6])
    width, height = (inner, outer) if by_rows else (outer, inner)
    check_size(path.name, field, width, height, limits.PICTURE_FLOAT_PIXELS)
    check_ratio(path.name, field, width * height, 4 * width * height, len(data))
    if outer * 4 > len(data):  # each line takes at least four bytes
        raise BadRequest(field, f"{path.name} can't be read: it is cut off, or its header claims too many pixels")
    pixels = np.zeros((outer, inner, 4), np.uint8)
    if not _unpack(np.frombuffer(data, np.uint8)[size.end() :], pixels):
        raise BadRequest(field, f"{path.name} can't be read: it is cut off or damaged")
    upright, factor, xyz = _upright(pixels, size), _factor(lines), any(b"xyze" in line for line in lines)
    return from_light_rows(width, height, lambda start, stop: (_light(upright[start:stop], factor, xyz), None))


def _factor(lines: list[bytes]) -> np.ndarray:
    """The factor (3,) that undoes the EXPOSURE and COLORCORR lines of the header, which multiply."""
    total = np.ones(3)
    for line in lines:
        key, _, value = line.partition(b"=")
        if key.strip() not in (b"EXPOSURE", b"COLORCORR"):
            continue
        try:
            found = np.array([float(word) for word in value.split()][:3])
        except ValueError:
            continue
        if len(found) in (1, 3) and np.isfinite(found).all() and (found > 1e-12).all():
            total = total / found
    return total.astype(np.float32) if np.isfinite(total).all() else np.ones(3, np.float32)


def _upright(pixels: np.ndarray, size: re.Match) -> np.ndarray:
    """Pixels (outer, inner, 4) in the file's order as rows from the top; "-Y" first means from the top down."""
    if size[2] == b"X":
        pixels = pixels.swapaxes(0, 1)
        down, right = size[4] == b"-", size[1] == b"+"
    else:
        down, right = size[1] == b"-", size[4] == b"+"
    return pixels[:: 1 if down else -1, :: 1 if right else -1]


def _light(pixels: np.ndarray, factor: np.ndarray, xyz: bool) -> np.ndarray:
    """Linear RGB (H, W, 3) float32 of pixels (H, W, 4) uint8 with a common exponent; an exponent of 0 is black."""
    exponent = pixels[..., 3].astype(np.int32)
    scale = np.where(exponent > 0, np.ldexp(np.float32(1), exponent - 136), 0).astype(np.float32)
    light = pixels[..., :3] * scale[..., None] * factor
    return np.maximum(light @ _XYZ_TO_RGB.T, 0) if xyz else light


@njit(cache=True, nogil=True)
def _unpack(data, out):
    """Unpack all lines of `data` (uint8) to `out` (outer, inner, 4); returns whether there was enough."""
    at = 0
    for line in range(out.shape[0]):
        width = out.shape[1]
        if at + 4 > len(data):
            return False
        new = data[at] == 2 and data[at + 1] == 2 and data[at + 2] < 128 and 8 <= width < 32768
        if new:
            if data[at + 2] * 256 + data[at + 3] != width:
                return False
            at = _line_of_planes(data, at + 4, out[line])
        else:
            at = _line_of_pixels(data, at, out[line])
        if at < 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _line_of_planes(data, at, out):
    """Unpack a line whose four components are encoded one after another; returns the next place, -1 if damaged."""
    width = out.shape[0]
    for component in range(4):
        n = 0
        while n < width:
            if at + 1 >= len(data):
                return -1
            count = np.int64(data[at])
            at += 1
            if count > 128:
                count -= 128
                if n + count > width:
                    return -1
                for _ in range(count):
                    out[n, component] = data[at]
                    n += 1
                at += 1
            else:
                if count == 0 or n + count > width or at + count > len(data):
                    return -1
                for _ in range(count):
                    out[n, component] = data[at]
                    at += 1
                    n += 1
    return at


@njit(cache=True, nogil=True)
def _line_of_pixels(data, at, out):
    """Unpack a line of pixels; (1, 1, 1, n) repeats the one before. Returns the next place, -1 if damaged."""
    n, shift = 0, 0
    while n < out.shape[0]:
        if at + 4 > len(data):
            return -1
        if data[at] == 1 and data[at + 1] == 1 and data[at + 2] == 1:
            if shift > 24:
                return -1
            count = np.int64(data[at + 3]) << shift
            if n == 0 or n + count > out.shape[0]:
                return -1
            for _ in range(count):
                out[n] = out[n - 1]
                n += 1
            shift += 8
        else:
            out[n] = data[at : at + 4]
            n += 1
            shift = 0
        at += 4
    return at

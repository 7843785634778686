"""Pictures and depth maps from the artist's files: PNG, JPEG, WebP, TIFF, EXR, HDR, HEIC, AVIF, BMP, GIF, npy, npz.

A file is scaled so that it covers the requested size, centred; the rest is cropped, or kept as far as a wider view with
the same centre shows it. What a file is follows from its content. All that is guessed or changed is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.colour import linear_to_srgb
from core.errors import BadRequest
from core.safety import limits
from dreamzoom.request.pictures import arrays, exr, float_tiff, kinds, pillow_files, radiance, tiff_tags
from dreamzoom.request.pictures.checks import check_size
from dreamzoom.request.pictures.decoded import Decoded, share_unknown
from dreamzoom.request.pictures.fitting import fitted_depth, fitted_picture

NOTHING_HIT = 100.0
"""Renderers write one far value where nothing was hit (Blender 1e10). The greatest depth counts as such if it is at
least this many times the next one."""

ENDLESS = 1e9
"""Depths from here on are never a surface."""

DEPTH_KINDS = "16-bit PNG, TIFF, EXR, npy or npz"

Log = Callable[[str], None]
Size = tuple[int, int]


def read_picture(path: Path, size: Size, log: Log, *, within: Size | None = None, field: str = "image") -> np.ndarray:
    """Read a picture: (H, W, 3) float32 sRGB in 0..1, NaN where it is transparent or not a number.

    EXIF rotation is applied, colour profiles are converted to sRGB. EXR, HDR and TIFF in floating point are linear
    light; what is brighter than 1 is compressed (`pictures.decoded.from_light`).

    Args:
        path: The file.
        size: Width and height of the camera that the picture fills.
        log: Receives messages about all that was guessed or changed.
        within: Width and height of a wider view with the same centre. What does not fit into `size` is kept as far as
            this view shows it; the result is then aligned to whole pixels around the centre. None to crop to `size`.
        field: Name of the request's field, for error messages.

    Raises:
        BadRequest: The file is missing, not a picture, damaged or too large.
    """
    picture = _decoded(path, field)
    for note in picture.notes:
        log(f"{path.name}: {note}")
    unknown = share_unknown(picture)
    if unknown == 1:
        raise BadRequest(field, f"{path.name} is transparent everywhere")
    if unknown:
        log(f"{path.name}: {_percent(unknown)} of it is transparent and counts as unknown: it is dreamed")
    light = fitted_picture(picture, path.name, size, log, within)
    return linear_to_srgb(np.clip(light, 0, 1)).astype(np.float32)


def picture_size(path: Path, *, field: str = "image") -> Size:
    """Width and height of a picture after EXIF rotation. It is decoded completely, so that damage is found.

    Raises:
        BadRequest: As `read_picture`.
    """
    picture = _decoded(path, field)
    if share_unknown(picture) == 1:
        raise BadRequest(field, f"{path.name} is transparent everywhere")
    return picture.width, picture.height


def _decoded(path: Path, field: str) -> Decoded:
    kind = kinds.kind_of(path, field)
    if path.stat().st_size > limits.PICTURE_BYTES:
        raise BadRequest(field, f"{path.name} must have at most {limits.PICTURE_BYTES >> 30} GiB")
    if kind == "EXR":
        return exr.read_exr(path, field)
    if kind == "HDR":
        return radiance.read_hdr(path, field)
    if kind in ("NPY", "NPZ"):
        raise BadRequest(field, f"{path.name} must be a {kinds.READABLE} file; arrays are read as depth maps only")
    if kind == "TIFF":
        tags = tiff_tags.check_tiff(path, field)
        if float_tiff.is_float(tags):
            return float_tiff.read_float_tiff(path, tags, field)
    return pillow_files.read_pillow(path, kind, field)


def read_depth(
    path: Path, size: Size | None, log: Log, *, within: Size | None = None, field: str = "depth"
) -> np.ndarray:
    """Read a z-depth map: (H, W) float32 in the file's unit; NaN where unknown.

    Unknown are depths that are 0, negative, not finite, or where the renderer hit nothing (`NOTHING_HIT`). A 16-bit PNG
    contains depth in any linear unit; an EXR in its layer Depth, its channel Z, or its only channel; an npy or npz file
    a 2-D array of numbers. Scaling uses the nearest value, so that no depths between two surfaces are created.

    Args:
        size: As in `read_picture`; None for the file's own size.
        path, log, within, field: As in `read_picture`.

    Raises:
        BadRequest: The file is missing, not a depth map, damaged or too large, or has no positive value.
    """
    depth, notes = _stored_depth(path, field)
    for note in notes:
        log(f"{path.name}: {note}")
    with np.errstate(invalid="ignore"):
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    depth = _without_nothing_hit(depth, path.name, log)
    if np.isnan(depth).all():
        raise BadRequest(field, f"{path.name} must hold positive depths; it has none")
    unknown = float(np.isnan(depth).mean())
    part = f"; {_percent(unknown)} of it is unknown: the depth model fills it" if unknown else ""
    log(f"{path.name}: depth from {np.nanmin(depth):.4g} to {np.nanmax(depth):.4g}, larger is farther{part}")
    return depth if size is None else fitted_depth(depth, path.name, size, log, within)


def _stored_depth(path: Path, field: str) -> tuple[np.ndarray, list[str]]:
    """The depth as the file has it, (H, W), and notes."""
    kind = kinds.kind_of(path, field, DEPTH_KINDS)
    if path.stat().st_size > limits.PICTURE_BYTES:
        raise BadRequest(field, f"{path.name} must have at most {limits.PICTURE_BYTES >> 30} GiB")
    if kind == "NPY":
        return arrays.read_npy(path, field), []
    if kind == "NPZ":
        return arrays.read_npz(path, field)
    if kind == "EXR":
        return exr.read_exr_depth(path, field)
    if kind == "TIFF":
        tags = tiff_tags.check_tiff(path, field)
        if float_tiff.is_float(tags):
            samples = float_tiff.read_samples(path, tags, field)
            if samples.shape[-1] != 1:
                raise BadRequest(field, f"{path.name} must be a one-channel depth map ({DEPTH_KINDS})")
            return samples[..., 0], []
    return _pillow_depth(path, kind, field)


def _pillow_depth(path: Path, kind: str, field: str) -> tuple[np.ndarray, list[str]]:
    image = pillow_files.open_pillow(path, kind, field)
    check_size(path.name, field, image.width, image.height, limits.PICTURE_FLOAT_PIXELS)
    if image.mode in ("1", "L", "P", "LA"):
        note = "it has 8 bits, so its depth has at most 255 steps; 16-bit PNG or EXR is more precise"
        grey = np.asarray(image.convert("L"), np.float32)
        return (np.where(np.asarray(image.getchannel("A")) < 128, 0, grey) if image.mode == "LA" else grey), [note]
    if not image.mode.startswith(("I", "F")):
        raise BadRequest(field, f"{path.name} must be a one-channel depth map ({DEPTH_KINDS})")
    return np.asarray(image, np.float32), []


def _without_nothing_hit(depth: np.ndarray, name: str, log: Log) -> np.ndarray:
    """A depth (H, W) with NaN where the renderer hit nothing."""
    far = np.nanmax(depth, initial=-np.inf, where=~np.isnan(depth))
    nearer = depth < far
    second = float(depth[nearer].max()) if nearer.any() else float(far)
    missed = depth >= ENDLESS
    if far >= NOTHING_HIT * second:
        missed |= depth == far
    if not missed.any():
        return depth
    log(f"{name}: {_percent(float(missed.mean()))} of it has the depth {far:.3g}, where nothing was hit; it is unknown")
    return np.where(missed, np.nan, depth).astype(np.float32)


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.005 else f"{100 * share:.0f} %"

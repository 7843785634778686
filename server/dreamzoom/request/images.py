"""Pictures and depth maps from the artist's files: PNG of 8 and 16 bits, JPEG, WebP, TIFF, EXR, npy.

A file is scaled so that it covers the requested size, centred; the rest is cropped, or kept as far as a wider view with
the same centre shows it. Scaling and cropping are logged.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from core.colour import linear_to_srgb, srgb_to_linear
from core.errors import BadRequest

MOST_PIXELS = 200_000_000
Log = Callable[[str], None]
Size = tuple[int, int]


def read_picture(path: Path, size: Size, log: Log, *, within: Size | None = None, field: str = "image") -> np.ndarray:
    """Read a picture: (H, W, 3) float32 sRGB in 0..1.

    EXIF rotation is applied, colour profiles are converted to sRGB, transparency is composited over black, EXR is
    treated as linear.

    Args:
        path: The file.
        size: Width and height of the camera that the picture fills.
        log: Receives messages about cropping and scaling.
        within: Width and height of a wider view with the same centre. What does not fit into `size` is kept as far as
            this view shows it; the result is then aligned to whole pixels around the centre. None to crop to `size`.
        field: Name of the request's field, for error messages.

    Raises:
        BadRequest: The file is missing, not a picture, damaged or too large.
    """
    if path.suffix.lower() == ".exr":
        channels = _exr(path, field)
        light = np.stack(_colour_channels(channels, path, field), -1)
        alpha = _channel(channels, "A")
        if alpha is not None:
            light = np.where(alpha[..., None] > 0, light, 0)  # EXR stores premultiplied colours
        light = np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0)
    else:
        light = _pillow_light(path, field)
    tell = (log, _silent, _silent)
    light = np.stack([_fitted(light[..., c], size, path, tell[c], within) for c in range(3)], -1)
    return linear_to_srgb(np.clip(light, 0, 1)).astype(np.float32)


def picture_size(path: Path, *, field: str = "image") -> Size:
    """Width and height of a picture after EXIF rotation. It is decoded completely, so that damage is found.

    Raises:
        BadRequest: As `read_picture`.
    """
    if path.suffix.lower() == ".exr":
        rows, columns = _colour_channels(_exr(path, field), path, field)[0].shape
        return columns, rows
    return ImageOps.exif_transpose(_open(path, field)).size


def read_depth(
    path: Path, size: Size | None, log: Log, *, within: Size | None = None, field: str = "depth"
) -> np.ndarray:
    """Read a z-depth map: (H, W) float32 in the file's unit; NaN where unknown (0, negative or not finite).

    A 16-bit PNG contains depth in any linear unit, 0 for unknown; an EXR in its channel Z, V, Y or R, or its only
    channel; an npy file a 2-D array of numbers. Scaling uses the nearest value, so that no depths between two surfaces
    are created.

    Args:
        size: As in `read_picture`; None for the file's own size.
        path, log, within, field: As in `read_picture`.

    Raises:
        BadRequest: The file is missing, not a depth map, damaged or too large, or has no positive value.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        depth = _npy(path, field)
    elif suffix == ".exr":
        depth = _depth_channel(_exr(path, field), path, field)
    else:
        depth = _pillow_depth(path, log, field)
    with np.errstate(invalid="ignore"):
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    if np.isnan(depth).all():
        raise BadRequest(field, f"{path.name} must hold positive depths; it has none")
    return depth if size is None else _fitted(depth, size, path, log, within, nearest=True)


def _silent(message: str) -> None:
    """Ignore log messages: the other channels repeat them."""


def _open(path: Path, field: str) -> Image.Image:
    _check_file(path, field)
    try:
        image = Image.open(path)
        if image.width * image.height > MOST_PIXELS:
            raise BadRequest(field, f"{path.name} must have at most {MOST_PIXELS // 10**6} million pixels")
        image.load()
    except Image.DecompressionBombError:
        raise BadRequest(field, f"{path.name} must have at most {MOST_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise BadRequest(field, f"{path.name} must be a PNG, JPEG, WebP, TIFF, EXR or npy file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BadRequest(field, f"{path.name} can't be read: {error}") from None
    return image


def _check_file(path: Path, field: str) -> None:
    if not path.is_file():
        raise BadRequest(field, f"must be the path of a file; there is none at {path}")
    if path.stat().st_size == 0:
        raise BadRequest(field, f"{path.name} is empty")


def _pillow_light(path: Path, field: str) -> np.ndarray:
    """Read a picture with Pillow: (H, W, 3) float32 linear RGB."""
    table = srgb_to_linear(np.arange(256, dtype=np.float32) / 255)
    image = _open(path, field)
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, np.float32)
        grey = grey / (65535 if image.mode.startswith("I") else max(float(np.nanmax(grey)), 1.0))
        return np.repeat(srgb_to_linear(np.clip(np.nan_to_num(grey), 0, 1))[..., None], 3, -1)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    if profile:
        image = _to_srgb(image, profile)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        rgba = np.asarray(image.convert("RGBA"))
        return table[rgba[..., :3]] * (rgba[..., 3:] / np.float32(255))
    return table[np.asarray(image.convert("RGB"))]


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert to sRGB by a colour profile; an invalid profile is ignored, as in other programs."""
    mode = image.mode if image.mode in ("RGB", "RGBA") else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _pillow_depth(path: Path, log: Log, field: str) -> np.ndarray:
    image = _open(path, field)
    if image.mode in ("1", "L", "P", "LA"):
        log(f"{path.name} has 8 bits, so its depth has at most 255 steps; 16-bit PNG or EXR is more precise")
        return np.asarray(image.convert("L"), np.float32)
    if not image.mode.startswith(("I", "F")):
        raise BadRequest(field, f"{path.name} must be a one-channel depth map (16-bit grey PNG, EXR or npy)")
    return np.asarray(image, np.float32)


def _npy(path: Path, field: str) -> np.ndarray:
    _check_file(path, field)
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        raise BadRequest(field, f"{path.name} can't be read as an npy file of numbers") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise BadRequest(field, f"{path.name} must be a 2-D array of numbers")
    if array.size > MOST_PIXELS:
        raise BadRequest(field, f"{path.name} must have at most {MOST_PIXELS // 10**6} million pixels")
    return np.asarray(array, np.float32)


def _exr(path: Path, field: str) -> dict[str, np.ndarray]:
    """The channels (H, W) of an EXR file's first part, by name."""
    import OpenEXR

    _check_file(path, field)
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.asarray(c.pixels, np.float32) for name, c in file.parts[0].channels.items()}
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise BadRequest(field, f"{path.name} can't be read as EXR: {error}") from None
    if not channels:
        raise BadRequest(field, f"{path.name} has no channels")
    return channels


def _channel(channels: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """A channel by the last part of its name, so that channels of layers (`ViewLayer.Depth.Z`) are found."""
    return next((value for key, value in channels.items() if key.rpartition(".")[2].upper() == name), None)


def _colour_channels(channels: dict[str, np.ndarray], path: Path, field: str) -> list[np.ndarray]:
    rgb = [_channel(channels, name) for name in "RGB"]
    if None not in [channel if channel is None else True for channel in rgb]:
        return [channel for channel in rgb if channel is not None]
    grey = _channel(channels, "Y")
    if grey is None:
        raise BadRequest(field, f"{path.name} must have channels R, G, B or Y; it has {', '.join(channels)}")
    return [grey] * 3


def _depth_channel(channels: dict[str, np.ndarray], path: Path, field: str) -> np.ndarray:
    for name in ("Z", "V", "DEPTH", "Y", "R"):
        channel = _channel(channels, name)
        if channel is not None:
            return channel
    if len(channels) == 1:
        return next(iter(channels.values()))
    raise BadRequest(field, f"{path.name} must have a channel Z; it has {', '.join(channels)}")


def _fitted(
    values: np.ndarray, size: Size, path: Path, log: Log, within: Size | None, *, nearest: bool = False
) -> np.ndarray:
    """(H', W') float32: scaled to cover `size`, and cropped around the centre to `size` or to what `within` shows."""
    rows, columns = values.shape
    share = min(columns / size[0], rows / size[1])
    whole = (columns / share, rows / share)
    width, height = size if within is None else (_even_within(a, b) for a, b in zip(whole, within, strict=True))
    if share != 1:
        log(f"{path.name}: scaled from {columns}×{rows} to {round(whole[0])}×{round(whole[1])}")
    if round(whole[0]) > width + 1 or round(whole[1]) > height + 1:
        log(f"{path.name}: cropped to {width}×{height} around its centre")
    x, y = (columns - width * share) / 2, (rows - height * share) / 2
    if share == 1:
        return np.ascontiguousarray(values[int(y) : int(y) + height, int(x) : int(x) + width], np.float32)
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    box = (x, y, min(x + width * share, columns), min(y + height * share, rows))
    return np.asarray(image.resize((width, height), how, box=box), np.float32).copy()


def _even_within(whole: float, outer: int) -> int:
    """The largest number of pixels, at most `whole` and `outer`, that leaves equal margins on both sides of `outer`."""
    return outer - 2 * max(math.ceil((outer - whole - 1e-6) / 2), 0)

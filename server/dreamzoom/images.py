"""Pictures and depth maps from the artist's files: PNG of 8 and 16 bits, JPEG, WebP, TIFF, EXR, npy.

What comes out has the size asked for: a file of another aspect is cropped about its middle, one of another size is
scaled, and each is said in the log.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from dreamzoom.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.errors import BadRequest

MOST_PIXELS = 200_000_000
Log = Callable[[str], None]


def read_picture(path: Path, size: tuple[int, int], log: Log, *, field: str = "image") -> np.ndarray:
    """A picture, (H, W, 3) float32 sRGB in 0..1.

    EXIF rotation is applied, a colour profile converted to sRGB, transparency laid over black, EXR taken as linear.

    Args:
        path: The file.
        size: Width and height wanted.
        log: Hears of cropping and scaling.
        field: What a bad file is called in the error.

    Raises:
        BadRequest: The file is missing, not a picture, damaged or too large.
    """
    if path.suffix.lower() == ".exr":
        channels = _exr(path, field)
        light = np.stack(_colour_channels(channels, path, field), -1)
        alpha = _channel(channels, "A")
        if alpha is not None:
            light = np.where(alpha[..., None] > 0, light, 0)  # EXR stores colour already multiplied by alpha
        light = np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0)
    else:
        light = _pillow_light(path, field)
    light = np.stack([_fitted(light[..., c], size, path, log if c == 0 else _silent) for c in range(3)], -1)
    return linear_to_srgb(np.clip(light, 0, 1)).astype(np.float32)


def read_depth(path: Path, size: tuple[int, int], log: Log, *, field: str = "depth") -> np.ndarray:
    """A map of z-depth, (H, W) float32 in the file's unit; NaN where it has none (0, negative, not finite).

    A 16-bit PNG holds depth in any linear unit, 0 for unknown; an EXR its channel Z, V, Y, R or its only one; an npy
    a 2-D array of numbers. Scaling takes the nearest value, so that no depth appears between two surfaces.

    Args:
        path, size, log, field: As in `read_picture`.

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
    return _fitted(depth, size, path, log, nearest=True)


def _silent(message: str) -> None:
    """Hear nothing: the other channels say the same."""


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
    """(H, W, 3) float32 linear light."""
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
    """Colour-managed to sRGB; a profile that can't be understood is left aside, as other programs do."""
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
        log(f"{path.name} has 8 bits: its depth comes in at most 255 steps; 16-bit PNG or EXR is finer")
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
    """Channels (H, W) of an EXR file's first part, by name."""
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
    """A channel by its last name, so that layers (`ViewLayer.Depth.Z`) are found."""
    return next((value for key, value in channels.items() if key.rpartition(".")[2].upper() == name), None)


def _colour_channels(channels: dict[str, np.ndarray], path: Path, field: str) -> list[np.ndarray]:
    rgb = [_channel(channels, name) for name in "RGB"]
    if all(channel is not None for channel in rgb):
        return rgb
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


def _fitted(values: np.ndarray, size: tuple[int, int], path: Path, log: Log, *, nearest: bool = False) -> np.ndarray:
    """(H', W') float32, cropped about its middle to the aspect wanted and scaled to the size wanted."""
    width, height = size
    rows, columns = values.shape
    share = min(columns / width, rows / height)
    crop_w, crop_h = min(columns, round(share * width)), min(rows, round(share * height))
    if (crop_w, crop_h) != (columns, rows):
        log(f"{path.name}: cropped from {columns}×{rows} to {crop_w}×{crop_h} about its middle")
    x, y = (columns - crop_w) / 2, (rows - crop_h) / 2
    if (crop_w, crop_h) == (width, height):
        return np.ascontiguousarray(values[int(y) : int(y) + height, int(x) : int(x) + width], np.float32)
    log(f"{path.name}: scaled from {crop_w}×{crop_h} to {width}×{height}")
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return np.asarray(image.resize(size, how, box=(x, y, x + crop_w, y + crop_h)), np.float32).copy()

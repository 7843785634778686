"""Pictures that Pillow decodes: PNG, JPEG, WebP, TIFF, AVIF, BMP and GIF, and HEIC where pillow-heif is installed.

Only the decoder of the kind that the file's first bytes tell is used; Pillow's others, one of which runs Ghostscript,
are never tried.
"""

from __future__ import annotations

import io
import mmap
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.request.pictures.checks import check_ratio, check_size
from dreamzoom.request.pictures.decoded import Decoded, from_bytes, from_grey, from_light
from dreamzoom.request.pictures.tiff_tags import check_tiff

_DECODERS = {"JPEG": ["JPEG", "MPO"]}
"""Pillow's decoders of a kind, where they differ from its name. MPO is a JPEG followed by more pictures."""

_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, MemoryError, EOFError)
_ERRORS += (RuntimeError, Image.DecompressionBombError, AttributeError, ZeroDivisionError)

_SIXTEEN_BITS = 65535

NO_HEIF = (
    "is a HEIC picture, which needs the package pillow-heif: install it into the server's environment "
    "(python -m pip install pillow-heif), or save the picture as JPEG"
)


def read_pillow(path: Path, kind: str, field: str) -> Decoded:
    """A picture decoded by Pillow; EXIF rotation is applied, colours are converted to sRGB.

    Raises:
        BadRequest: The file is damaged, too large or a preview of a camera's raw picture.
    """
    return _guarded(path, field, lambda: _decoded(open_pillow(path, kind, field)))


def _decoded(image: Image.Image) -> Decoded:
    notes = _notes(image)
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("F"):
        return from_light([np.asarray(image, np.float32)], notes=notes)
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        deep = grey.max(initial=0) > _SIXTEEN_BITS
        return from_grey(grey, np.iinfo(np.int32).max if deep else _SIXTEEN_BITS, notes)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if profile:
        image = _to_srgb(image, profile, notes)
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa")
    return from_bytes(np.asarray(image.convert("RGBA" if transparent else "RGB")), notes)


def open_pillow(path: Path, kind: str, field: str) -> Image.Image:
    """Open and decode a picture. Width, height and structure are checked before anything is decoded.

    Raises:
        BadRequest: The file is damaged, too large, or a preview of a camera's raw picture.
    """
    if kind == "TIFF":
        check_tiff(path, field)
    if kind == "JPEG":
        _check_scans(path, field)

    def decode() -> Image.Image:
        image = _opened(path, kind, field)
        bands = len(image.getbands()) * (4 if image.mode[0] in "IF" else 1)
        check_size(path.name, field, image.width, image.height)
        check_ratio(
            path.name, field, image.width * image.height, image.width * image.height * bands, path.stat().st_size
        )
        image.load()
        return image

    return _guarded(path, field, decode)


def _opened(path: Path, kind: str, field: str) -> Image.Image:
    if kind != "HEIC":
        return Image.open(path, formats=_DECODERS.get(kind, [kind]))
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise BadRequest(field, f"{path.name} {NO_HEIF}") from None
    found = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)  # reads the header alone, and applies the rotation
    check_size(path.name, field, *found.size)
    return found.to_pillow()


def _guarded(path: Path, field: str, work: Callable[[], Any]) -> Any:
    """Do something with Pillow; whatever it raises becomes a BadRequest."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, whose size is checked here, and of odd metadata
            return work()
    except Image.UnidentifiedImageError:
        raise BadRequest(field, f"{path.name} can't be read: it is damaged") from None
    except _ERRORS as error:
        raise BadRequest(field, f"{path.name} can't be read: {str(error) or type(error).__name__}") from None


def _check_scans(path: Path, field: str) -> None:
    """Refuse a JPEG with so many scans that decoding it would take minutes."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for count, _ in enumerate(re.finditer(rb"\xff\xda", data)):
            if count >= limits.PICTURE_SCANS:
                raise BadRequest(field, f"{path.name} can't be read: it has more than {limits.PICTURE_SCANS} scans")


def _notes(image: Image.Image) -> list[str]:
    several = getattr(image, "is_animated", False) and image.format != "MPO"  # counting them would read them all
    return ["it has several pictures; the first is taken"] if several else []


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert to sRGB by a colour profile; an invalid profile is ignored, as in other programs."""
    mode = image.mode if image.mode in ("RGB", "RGBA") else "RGB"
    try:
        if len(profile) > limits.PROFILE_BYTES:
            raise ValueError("too large")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("its colour profile is damaged and is ignored")
        return image

"""Checks of the size that a picture's header claims, before anything is decoded or allocated."""

from __future__ import annotations

from core.errors import BadRequest
from core.safety import limits


def check_size(name: str, field: str, width: int, height: int, most: int = limits.PICTURE_PIXELS) -> None:
    """Check width and height.

    Args:
        name, field: The file's name and the request's field, for error messages.
        width, height: In pixels.
        most: Maximum number of pixels.

    Raises:
        BadRequest: The size is not positive or above a limit.
    """
    if width <= 0 or height <= 0:
        raise BadRequest(field, f"{name} can't be read: its header claims {width}×{height} pixels")
    if width * height > most or max(width, height) > limits.PICTURE_SIDE:
        raise BadRequest(
            field,
            f"{name} must have at most {most // 10**6} million pixels and {limits.PICTURE_SIDE} in a row; "
            f"it has {width}×{height}",
        )


def check_ratio(name: str, field: str, pixels: int, unpacked: int, stored: int) -> None:
    """Refuse a large picture whose file is far too small for it.

    Args:
        name, field: The file's name and the request's field, for error messages.
        pixels: Number of pixels.
        unpacked, stored: Bytes after decoding, and bytes of the file.

    Raises:
        BadRequest: The picture is large and unpacks to more than `PICTURE_BOMB_RATIO` times its size.
    """
    if pixels > limits.PICTURE_BOMB_PIXELS and unpacked > limits.PICTURE_BOMB_RATIO * max(stored, 1):
        raise BadRequest(
            field,
            f"{name} can't be read: {pixels / 1e6:.0f} million pixels in a file of {stored / 1e6:.2g} MB are taken for "
            "a decompression bomb; save the picture smaller",
        )

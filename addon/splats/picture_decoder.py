"""Blender decodes the pictures of SOG files, since its Python has no library for that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..core.formats.sog import pictures


def decoded(data: bytes) -> np.ndarray:
    """The values of a WebP or PNG picture, (H, W, 4) uint8, without colour management. On Blender's main thread only.

    Raises:
        ValueError: Blender can't decode it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("picture.png" if data.startswith(b"\x89PNG") else "picture.webp")
        path.write_bytes(data)
        image = bpy.data.images.load(str(path))
        try:
            image.alpha_mode = "CHANNEL_PACKED"
            image.colorspace_settings.is_data = True
            size: Any = image.size
            width, height = size
            if not image.has_data and not len(image.pixels):
                raise ValueError("Blender can't decode it")
            values = np.empty((height, width, 4), np.float32)
            image.pixels.foreach_get(values.ravel())
        finally:
            bpy.data.images.remove(image)
    return np.ascontiguousarray(np.round(values[::-1] * 255).astype(np.uint8))


def register() -> None:
    """Let the readers of files use it."""
    pictures.register(decoded)

"""Dreamzoom's pipeline: turns prompts and a camera path into point clouds and Gaussian splats. Never imports bpy."""

import io
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from core.formats.sog import pictures
from dreamzoom.numba_cache import choose_folder

_HERE = Path(__file__).resolve().parent

__version__: str = tomllib.loads((_HERE.parents[1] / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
"""The extension's version, read from its manifest beside the server's folder (in a clone and in the installed zip)."""

choose_folder(_HERE)


def _decoded(data: bytes) -> np.ndarray:
    """A WebP or PNG picture of a file of splats, (H, W, 4) uint8."""
    from PIL import Image  # only if one is read

    with Image.open(io.BytesIO(data), formats=("WEBP", "PNG")) as picture:
        return np.array(picture.convert("RGBA"))


if find_spec("PIL") is not None:  # in Blender's Python, where parts of the server may be looked at, there is none
    pictures.register(_decoded)

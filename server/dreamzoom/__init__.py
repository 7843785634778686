"""Dreamzoom's pipeline: turns prompts and a camera path into point clouds and Gaussian splats. Never imports bpy."""

import tomllib
from pathlib import Path

from dreamzoom.numba_cache import choose_folder

_HERE = Path(__file__).resolve().parent

__version__: str = tomllib.loads((_HERE.parents[1] / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
"""The extension's version, read from its manifest beside the server's folder (in a clone and in the installed zip)."""

choose_folder(_HERE)

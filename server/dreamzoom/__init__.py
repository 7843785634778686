"""Dreamzoom's pipeline: prompts and a camera path in, point clouds and Gaussian splats out. Never imports bpy."""

from pathlib import Path

from dreamzoom.numba_cache import choose_folder

__version__ = "0.1.0"

choose_folder(Path(__file__).parent)

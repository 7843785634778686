"""Dreamzoom's pipeline: prompts and a camera path in, point clouds and Gaussian splats out. Never imports bpy."""

__version__ = "0.1.0"

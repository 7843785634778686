"""Blender, as a Python module."""

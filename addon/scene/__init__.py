"""Blender's scene to a request: cameras, levels, engine options and the artist's own objects."""

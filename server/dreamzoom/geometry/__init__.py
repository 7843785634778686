"""Geometry on arrays, without files or models: point clouds, unprojection, point rendering, alignment of depth maps."""

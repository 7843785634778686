"""Files of points and splats to native Blender objects, and back. Nothing here knows of operators or panels."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import ply, points, surfels
from .arrays import SplatFileError, Splats

__all__ = ["SUPERSEDED", "SplatFileError", "import_cloud", "import_splats"]

SUPERSEDED = "dreamzoom_superseded"
"""The custom property of the object whose splats a finer level replaces."""


def import_cloud(path: Path, name: str, collection: bpy.types.Collection) -> bpy.types.Object:
    """Bring a PLY of points into the scene as one PointCloud object.

    Raises:
        SplatFileError: The file can't be shown; nothing was added.
        OSError: The file can't be opened.
    """
    return _placed(name, points.cloud_of(name, ply.read_points(Path(path))), collection)


def import_splats(
    path: Path, name: str, collection: bpy.types.Collection, representation: str = "auto"
) -> list[bpy.types.Object]:
    """Bring a file of splats into the scene.

    Args:
        path: A 3DGS PLY.
        name: Of the object.
        collection: Where it is linked.
        representation: "surfels" (quads, for flat splats), or "auto".

    Returns:
        The object, and a second one, marked by `SUPERSEDED`, where the file marks splats that a finer level replaces.

    Raises:
        SplatFileError: The file can't be shown; nothing was added.
        OSError: The file can't be opened.
    """
    splats = ply.read_splats(Path(path))
    marked = splats.extra.get("superseded")
    if marked is None or not marked.any():
        return [_shown(splats, name, collection)]
    marked = marked != 0
    objects = [
        _shown(splats[~marked], name, collection),
        _shown(splats[marked], f"{name} superseded", collection),
    ]
    objects[1][SUPERSEDED] = True
    return objects


def _shown(splats: Splats, name: str, collection: bpy.types.Collection) -> bpy.types.Object:
    return _placed(name, surfels.surfel_mesh(name, splats), collection)


def _placed(name: str, data: bpy.types.ID, collection: bpy.types.Collection) -> bpy.types.Object:
    obj = bpy.data.objects.new(name, data)
    collection.objects.link(obj)
    return obj

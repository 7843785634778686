"""Files of points and splats to native Blender objects, and back. Nothing here knows of operators or panels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bpy
import numpy as np

from ..core import formats
from ..core.colour import quick_srgb_to_linear
from ..core.errors import SplatFileError
from ..core.formats.points import read as read_points
from ..core.gaussians import Gaussians
from . import (
    applied_transforms,
    billboards,
    flat_gaussians,
    native,
    points,
    sphere_gaussians,
    surfels,
    viewport_decimation,
)
from .export import export_splats, holds_splats, taken
from .spatial_order import are_neighbourly, neighbourly

__all__ = [
    "SUPERSEDED",
    "SplatFileError",
    "export_splats",
    "holds_splats",
    "import_cloud",
    "import_splats",
    "show_splats",
    "taken",
    "usual_representation",
]

MANY = 1 << 16
"""From so many quads on, neighbours are put side by side in memory: a million in the order of chance take Cycles a
fifth longer (1.05 against 0.87 s for 480 × 270 pixels, 2 samples, 2 cores).
"""

GLANCE = 4096
"""So many splats tell the mean colour of all."""

SUPERSEDED = "dreamzoom_superseded"
"""The custom property of the object whose splats a finer level replaces."""


def import_cloud(path: Path, name: str, collection: bpy.types.Collection) -> bpy.types.Object:
    """Bring a PLY of points into the scene as one PointCloud object.

    Raises:
        SplatFileError: The file can't be shown; nothing was added.
        OSError: The file can't be opened.
    """
    read = read_points(path)
    return _placed(name, points.cloud_of(name, read), collection, points.colours_of(read))


def import_splats(
    path: Path, name: str, collection: bpy.types.Collection, representation: str = "auto"
) -> list[bpy.types.Object]:
    """Bring a file of splats into the scene: `core.formats.read`, then `show_splats`.

    Raises:
        SplatFileError: The file can't be shown; nothing was added.
        OSError: The file can't be opened.
    """
    return show_splats(formats.read(path).splats, name, collection, representation)


def show_splats(
    splats: Gaussians, name: str, collection: bpy.types.Collection, representation: str = "auto"
) -> list[bpy.types.Object]:
    """Make objects that show splats.

    Args:
        splats: What to show.
        name: Of the object.
        collection: Where it is linked.
        representation: "surfels" (quads, for splats without thickness), "flat" (quads and a material that evaluates
            Gaussians along the ray), "gaussians" (spheres and such a material), "viewers" (quads that face the scene's
            camera, as the usual viewers show splats), "native" (Blender's own, from 5.3 on), or "auto", as
            `usual_representation` says.

    Returns:
        The object, and a second one, marked by `SUPERSEDED`, where some splats are those that a finer level replaces.

    Raises:
        SplatFileError: This Blender has no splats of its own.
    """
    if representation == "auto":
        representation = usual_representation(splats)
    if representation == "native" and not native.available():
        raise SplatFileError("This Blender has no splats of its own; they come with 5.3")
    with _all_or_nothing():
        return _objects(splats, name, collection, representation)


def _objects(
    splats: Gaussians, name: str, collection: bpy.types.Collection, representation: str
) -> list[bpy.types.Object]:
    marked = splats.extra.get("superseded")
    if marked is None or not marked.any():
        return [_shown(splats, name, collection, representation)]
    marked = marked != 0
    objects = [
        _shown(splats[~marked], name, collection, representation),
        _shown(splats[marked], f"{name} superseded", collection, representation),
    ]
    objects[1][SUPERSEDED] = True
    return objects


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Whatever comes into the file meanwhile goes again when something fails: no memory left, say."""
    data = bpy.data
    kinds = (data.objects, data.meshes, data.pointclouds, data.materials, data.node_groups)
    before = [set(kind) for kind in kinds]

    def remove_new():
        data.batch_remove([item for kind, old in zip(kinds, before) for item in kind if item not in old])

    with ExitStack() as failing:
        failing.callback(remove_new)
        yield
        failing.pop_all()


def usual_representation(splats: Gaussians) -> str:
    """The first of surfels and flat that shows splats well; of others Blender's own where it has them."""
    if splats.are_surfels():
        return "surfels"
    if flat_gaussians.are_flat(splats):
        return "flat"
    return "native" if native.available() else "gaussians"


def _shown(splats: Gaussians, name: str, collection: bpy.types.Collection, representation: str) -> bpy.types.Object:
    make = {
        "surfels": surfels.surfel_mesh,
        "flat": flat_gaussians.flat_mesh,
        "gaussians": sphere_gaussians.gaussian_cloud,
        "viewers": billboards.facing_mesh,
        "native": native.native_cloud,
    }
    if representation in {"surfels", "flat"} and len(splats) >= MANY and not are_neighbourly(splats.means):
        splats = splats.ordered(neighbourly(splats.means))
    data = make[representation](name, splats)
    applied_transforms.remember(data)
    obj = _placed(name, data, collection, splats[:: max(1, len(splats) // GLANCE)].rgb)
    if len(splats) > viewport_decimation.MOST and representation != "native":
        viewport_decimation.thin(obj, splats)
    if representation == "viewers":
        billboards.face_camera(obj, bpy.context.scene)
    return obj


def _placed(name: str, data: bpy.types.ID, collection: bpy.types.Collection, rgb: np.ndarray) -> bpy.types.Object:
    """A linked object; where the viewport shows objects in one colour, it has the mean of its own."""
    obj = bpy.data.objects.new(name, data)
    if len(rgb):
        obj.color[:3] = quick_srgb_to_linear(np.clip(rgb.mean(0), 0, 1))
    collection.objects.link(obj)
    return obj

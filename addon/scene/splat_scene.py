"""A flight into the artist's own splats, a scan for example: they are level 0 of the rig and are sent along with it."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .. import rig
from ..core.errors import DreamzoomError
from ..core.formats import About, splat_ply
from ..rig import camera_to_rig
from ..rig.builder import CAMERA_DISTANCE, CAMERA_TILT
from ..splats.export import parts_of

NEAR = 0.15
"""The 3D cursor is on the splats if it is within this share of their extent from one of them."""

OPAQUE = 0.3
"""Opacity from which a splat counts as a surface."""

FILE = "level_000_scene.ply"


def zoom_into(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    obj: bpy.types.Object,
    viewpoint: Vector | None,
    *,
    levels: int,
    factor: float,
    frames_per_level: int,
) -> bpy.types.Object:
    """Create a rig that zooms into an object's splats at the 3D cursor; they become its level 0.

    Args:
        scene: Gets the rig; its 3D cursor says where to.
        view_layer: Of the scene.
        obj: Shows the splats; it is parented to level 0 where it lies.
        viewpoint: From where the flight begins, in the world; None to choose one.
        levels, factor, frames_per_level: As in `rig.create_rig`.

    Raises:
        SplatFileError: The object shows no splats.
        DreamzoomError: The 3D cursor is not on them.
    """
    focus, extent = _surface_at(obj, view_layer, scene.cursor.location)
    away = (viewpoint - focus) if viewpoint is not None else Vector((0.0, 0.0, 0.0))
    if away.length < 1e-3 * extent:
        away = Vector((0.0, -np.sin(CAMERA_TILT), np.cos(CAMERA_TILT))) * extent
    root = rig.create_rig(scene, focus, levels, factor, frames_per_level)
    root.scale = (away.length / CAMERA_DISTANCE,) * 3
    root["orbit"] = 0.0
    camera = root.dreamzoom.camera
    camera.location = away.normalized() * CAMERA_DISTANCE
    camera.rotation_euler = away.to_track_quat("Z", "Y").to_euler()
    root.dreamzoom.splat_scene = obj
    camera_to_rig.parent_to_level_0(root, [obj], [])
    return root


def write(root: bpy.types.Object, view_layer: bpy.types.ViewLayer, home: Path, set_zoom) -> Path | None:
    """Write the splats of a rig's level 0 in its frame, with z up; None if it has none.

    Args:
        root: The rig.
        view_layer: That shows it.
        home: Folder of the file.
        set_zoom: Sets the zoom of the rig.

    Raises:
        DreamzoomError: The object is gone, or level 0 has a picture too.
        OSError: The file can't be written.
    """
    settings = root.dreamzoom
    obj = settings.splat_scene
    if obj is None:
        return None
    if obj.name not in view_layer.objects:
        raise DreamzoomError(
            "The splats of level 0 are missing",
            "Choose them again as Scene of Splats in the Flight panel, or clear the field",
        )
    if settings.levels[0].image:
        raise DreamzoomError("Level 0 has both a picture and a scene of splats", "Clear one of them")
    set_zoom(0.0)
    empty = rig.level_empty(root, 0).evaluated_get(view_layer.depsgraph)
    parts = parts_of([obj], view_layer, np.linalg.inv(np.array(empty.matrix_world, np.float64)))
    home.mkdir(parents=True, exist_ok=True)
    splat_ply.write_parts(home / FILE, parts, About("Z"))
    return home / FILE


def hide_imported(root: bpy.types.Object) -> None:
    """Hide the object whose splats have come back as the content of level 0."""
    obj = root.dreamzoom.splat_scene
    if obj is not None:
        rig.hide(obj)


def _surface_at(obj: bpy.types.Object, view_layer: bpy.types.ViewLayer, cursor: Vector) -> tuple[Vector, float]:
    """The splat nearest to the cursor, in the world, and the extent of all splats without outliers."""
    parts = parts_of([obj], view_layer)
    means, opacities = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "opacities"))
    solid = means[opacities >= OPAQUE] if (opacities >= OPAQUE).any() else means
    low, high = np.percentile(solid, (5, 95), axis=0)
    extent = max(float(np.linalg.norm(high - low)), 1e-6)
    distances = np.linalg.norm(solid - np.array(cursor), axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] > NEAR * extent:
        raise DreamzoomError(
            f"The 3D cursor is not on {obj.name}",
            "Put it on the place to zoom into: Shift and a right click on the splats",
        )
    return Vector(solid[nearest].tolist()), extent


def viewpoint_of(context: bpy.types.Context) -> Vector | None:
    """Where the artist looks from: the 3D viewport, else the scene's camera; None where there is neither."""
    view = getattr(context, "region_data", None)
    if isinstance(view, bpy.types.RegionView3D):
        return Matrix(view.view_matrix).inverted().translation
    camera = context.scene.camera
    return camera.matrix_world.translation.copy() if camera is not None else None

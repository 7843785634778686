"""Builds the rig: the hierarchy of Blender objects that turns the zoom into motion. It works without the add-on.

Dreamzoom            empty at the focus with the properties `zoom` and `orbit`; its space is the gauge
├── Orbit            empty whose rotation is driven: `orbit` times the zoom
│   └── Camera       stays about three units from the focus, free to be keyed
├── Level 0          empty whose scale is driven: p^(u-0); the imported content of level 0 is parented to it
├── Level 1          ...
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import bpy

from .drivers import drive_content, drive_level, drive_orbit
from .edits import MADE, is_edited, mark_as_made, remove_content
from .flight import flight_depth, key_flight, loops
from .lookup import CONTENT, LEVEL, ORBIT, PIVOT, ZOOM, contents, level_empties, level_empty, new_key

CAMERA_DISTANCE = 3.0
CAMERA_TILT = math.radians(40)
ORBIT_PER_LEVEL = math.radians(10)


def create_rig(
    scene: bpy.types.Scene,
    location=(0.0, 0.0, 0.0),
    levels: int = 6,
    factor: float = 2.0,
    frames_per_level: int = 48,
) -> bpy.types.Object:
    """Create a rig with its camera, its levels and a flight of constant speed through all of them.

    Args:
        scene: Gets the rig's collection.
        location: The focus, in the world.
        levels: Count of levels, from 1.
        factor: p, how much larger the world appears per level.
        frames_per_level: Frames from one level to the next.
    """
    root = bpy.data.objects.new("Dreamzoom", None)
    home = bpy.data.collections.new(root.name)
    scene.collection.children.link(home)
    home.objects.link(root)
    root.location = location
    root.empty_display_size = 0.5
    _add_custom_properties(root)
    settings = root.dreamzoom
    settings.zoom_factor, settings.frames_per_level = factor, frames_per_level
    settings.collection = home
    for _ in range(levels):
        settings.levels.add().key = new_key()
    settings.camera = _add_camera(root, home)
    sync_levels(root)
    key_flight(root, scene.frame_start)
    scene.dreamzoom.rig = root
    return root


def sync_levels(root: bpy.types.Object) -> None:
    """Update the level empties and all drivers to the settings: count of levels, zoom factor and focuses."""
    settings = root.dreamzoom
    count = len(settings.levels)
    for empty in [empty for empty in level_empties(root) if not 0 <= empty[LEVEL] < count]:
        _remove_level(empty)
    present = {empty[LEVEL]: empty for empty in level_empties(root)}
    for level in range(count):
        empty = present.get(level) or _add_level(root, level)
        drive_level(root, empty, level)
        for obj in contents(empty):
            drive_content(root, obj, level)
    drive_orbit(root)
    low, high = (-1e4, 1e4) if loops(root) else (-1.0, float(count))
    root.id_properties_ui("zoom").update(min=low, max=high, soft_min=0.0, soft_max=max(flight_depth(root), 0.5))


def lacks_levels(root: bpy.types.Object) -> bool:
    """Whether the artist deleted the empty of a level by hand."""
    return {empty[LEVEL] for empty in level_empties(root)} != set(range(len(root.dreamzoom.levels)))


def restore_levels(root: bpy.types.Object) -> None:
    """Make the level empties anew that the artist deleted by hand."""
    if lacks_levels(root):
        sync_levels(root)


def reorder_levels(root: bpy.types.Object, order: Sequence[int | None]) -> None:
    """Let the objects of the levels follow the list of levels after levels were added, removed or moved.

    What is imported, and the artist's own objects, stay with their level. Of a removed level the imported objects are
    removed, and the artist's own keep their position and lose their parent.

    Args:
        root: The rig, whose list of levels is new already.
        order: For each level of the list, its number before; None for a new one.
    """
    now = {before: level for level, before in enumerate(order) if before is not None}
    for empty in level_empties(root):
        empty[LEVEL] = now.get(empty[LEVEL], -1)
    sync_levels(root)
    _name_after_levels(root)
    sync_showing(root)


def _name_after_levels(root: bpy.types.Object) -> None:
    """Give the levels' empties, and imported objects that the artist has not changed, the names of new ones."""
    named: list[tuple[bpy.types.Object, str]] = []
    for empty in level_empties(root):
        level = empty[LEVEL]
        if re.fullmatch(r".* Level \d+(\.\d+)?", empty.name):
            named.append((empty, f"{root.name} Level {level}"))
        for obj in contents(empty):
            found = re.fullmatch(r"(.*) \d+ (points|splats|splats superseded)(\.\d+)?", obj.name)
            if found and not is_edited(obj):
                named.append((obj, f"{found[1]} {level} {found[2]}"))
    for obj, _ in named:
        obj.name = "Dreamzoom renaming"  # so that no name is taken when it is given
    for obj, name in named:
        obj.name = name
        if MADE in obj:
            mark_as_made(obj)


def _remove_level(empty: bpy.types.Object) -> None:
    """Remove a level's empty with what was imported; other objects under it stay where they are in the world."""
    remove_content(empty)
    for obj in empty.children:
        matrix = obj.matrix_world.copy()
        obj.parent = None
        obj.matrix_world = matrix
    bpy.data.objects.remove(empty)


def sync_showing(root: bpy.types.Object) -> None:
    """Set shadows, holdout and pass index (the level, counted from 1) of all imported objects as the settings say."""
    for empty in level_empties(root):
        for obj in contents(empty):
            _set_visibility(root, obj, empty[LEVEL])


def attach(root: bpy.types.Object, obj: bpy.types.Object, level: int, superseded: bool) -> None:
    """Parent an imported object to its level and add the drivers of its opacity and visibility."""
    obj[CONTENT] = "superseded" if superseded else "main"
    obj.parent = level_empty(root, level)
    obj.matrix_parent_inverse.identity()
    drive_content(root, obj, level)
    _set_visibility(root, obj, level)


def _set_visibility(root: bpy.types.Object, obj: bpy.types.Object, level: int) -> None:
    obj.visible_shadow, obj.is_holdout = root.dreamzoom.cast_shadows, root.dreamzoom.holdout
    obj.pass_index = level + 1


def _add_custom_properties(root: bpy.types.Object) -> None:
    root["zoom"] = 0.0
    root.id_properties_ui("zoom").update(
        description="How deep the camera is, one level per unit. Key it: linear keys are a zoom of constant speed",
        step=0.1,
        precision=3,
    )
    root["orbit"] = ORBIT_PER_LEVEL
    root.id_properties_ui("orbit").update(
        description="How far the camera turns around the focus per level", subtype="ANGLE", soft_min=-1.0, soft_max=1.0
    )
    for name in (ZOOM, ORBIT):
        root.property_overridable_library_set(name, True)


def _add_camera(root: bpy.types.Object, home: bpy.types.Collection) -> bpy.types.Object:
    pivot = bpy.data.objects.new(f"{root.name} Orbit", None)
    pivot.empty_display_size = 0.2
    pivot.parent = root
    pivot[PIVOT] = True
    lens = bpy.data.cameras.new(f"{root.name} Camera")
    lens.lens, lens.clip_start, lens.clip_end = 50.0, 0.01, 1000.0
    camera = bpy.data.objects.new(lens.name, lens)
    camera.parent = pivot
    camera.location = (
        0.0,
        -CAMERA_DISTANCE * math.sin(CAMERA_TILT),
        CAMERA_DISTANCE * math.cos(CAMERA_TILT),
    )
    camera.rotation_euler = (CAMERA_TILT, 0.0, 0.0)
    for obj in (pivot, camera):
        home.objects.link(obj)
    return camera


def _add_level(root: bpy.types.Object, level: int) -> bpy.types.Object:
    empty = bpy.data.objects.new(f"{root.name} Level {level}", None)
    empty.empty_display_size = 0.03  # small, since the level grows to many times its size
    empty[LEVEL] = level
    empty.parent = root
    _home(root).objects.link(empty)
    return empty


def _home(root: bpy.types.Object) -> bpy.types.Collection:
    """The rig's collection; a new one if the artist has deleted it."""
    settings = root.dreamzoom
    if settings.collection is None:
        settings.collection = bpy.data.collections.new(root.name)
        for above in root.users_collection:
            above.children.link(settings.collection)
    return settings.collection

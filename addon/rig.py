"""The rig: the hierarchy of Blender objects that turns the zoom into motion. It works without the add-on.

    Dreamzoom            empty at the focus, carries `zoom` and `orbit`; its space is the gauge
    ├── Orbit            empty that `orbit` turns slowly, driven by the zoom
    │   └── Camera       stays about three units from the focus, free to be keyed
    ├── Level 0          empty whose scale is p^(u-0), driven; what was imported for level 0 hangs under it
    ├── Level 1          ...

All drivers are simple expressions: they run with Python auto-execution off and cost next to nothing.
"""

from __future__ import annotations

import math

import bpy

from . import bake, path
from .core import fading

ZOOM = '["zoom"]'
ORBIT = '["orbit"]'
LEVEL = "dreamzoom_level"
CONTENT = "dreamzoom_content"
PIVOT = "dreamzoom_orbit"
CAMERA_DISTANCE = 3.0
CAMERA_TILT = math.radians(40)
ORBIT_PER_LEVEL = math.radians(10)


def is_rig(obj: bpy.types.Object | None) -> bool:
    """Whether this object is the root of a rig."""
    return obj is not None and "zoom" in obj and len(obj.dreamzoom.levels) > 0


def rig_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The rig that the object is or hangs under."""
    while obj is not None and not is_rig(obj):
        obj = obj.parent
    return obj


def why_locked(root: bpy.types.Object) -> str:
    """Why a rig can't be changed here, as a sentence for the artist; empty where it can."""
    if root.library is not None:
        return f"{root.name} is linked: change it in {bpy.path.basename(root.library.filepath)}, or append it"
    if root.override_library is not None:
        return f"{root.name} is an override: its zoom can be keyed here, all else is changed in its own file"
    return ""


def active_rig(context: bpy.types.Context) -> bpy.types.Object | None:
    """The rig of the active object, else the scene's last used one, else any of the scene."""
    scene = context.scene
    found = rig_of(context.view_layer.objects.active) if context.view_layer else None
    if found is None and is_rig(scene.dreamzoom.rig) and scene.dreamzoom.rig.name in scene.objects:
        found = scene.dreamzoom.rig
    return found or next((obj for obj in scene.objects if is_rig(obj)), None)


def create_rig(
    scene: bpy.types.Scene,
    location=(0.0, 0.0, 0.0),
    levels: int = 6,
    factor: float = 2.0,
    frames_per_level: int = 48,
) -> bpy.types.Object:
    """Build a rig with its camera, levels and a flight of constant speed through all of them.

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
        settings.levels.add()
    settings.camera = _add_camera(root, home)
    sync_levels(root)
    key_flight(root, scene.frame_start)
    scene.dreamzoom.rig = root
    return root


def sync_levels(root: bpy.types.Object) -> None:
    """Make the level empties and all drivers fit the settings: count, zoom factor and focuses."""
    settings = root.dreamzoom
    count = len(settings.levels)
    for empty in [empty for empty in level_empties(root) if empty[LEVEL] >= count]:
        remove_content(empty)
        bpy.data.objects.remove(empty)
    present = {empty[LEVEL]: empty for empty in level_empties(root)}
    for level in range(count):
        empty = present.get(level) or _add_level(root, level)
        _drive_level(root, empty, level)
        for obj in contents(empty):
            drive_content(root, obj, level)
    _drive_orbit(root)
    low, high = (-1e4, 1e4) if loops(root) else (-1.0, float(count))
    root.id_properties_ui("zoom").update(min=low, max=high, soft_min=0.0, soft_max=max(flight_depth(root), 0.5))


def sync_showing(root: bpy.types.Object) -> None:
    """Let what was imported cast shadows and hold out as the settings say; its pass index is its level, from 1."""
    for empty in level_empties(root):
        for obj in contents(empty):
            _show(root, obj, empty[LEVEL])


def _show(root: bpy.types.Object, obj: bpy.types.Object, level: int) -> None:
    obj.visible_shadow, obj.is_holdout = root.dreamzoom.cast_shadows, root.dreamzoom.holdout
    obj.pass_index = level + 1


def loops(root: bpy.types.Object) -> bool:
    """Whether the last level leads back into the first; a single level can't."""
    settings = root.dreamzoom
    return settings.loop and len(settings.levels) > 1


def flight_depth(root: bpy.types.Object) -> float:
    """The zoom at which the flight ends: at the last level, or in a loop where the first comes again."""
    count = len(root.dreamzoom.levels)
    return float(count if loops(root) else count - 1)


def level_empties(root: bpy.types.Object) -> list[bpy.types.Object]:
    """The rig's level empties in the order of levels."""
    return sorted((child for child in root.children if LEVEL in child), key=lambda child: child[LEVEL])


def contents(empty: bpy.types.Object) -> list[bpy.types.Object]:
    """What was imported under a level."""
    return [child for child in empty.children if CONTENT in child]


def remove_content(empty: bpy.types.Object) -> None:
    """Take away what was imported under a level; what the artist placed there stays."""
    for obj in contents(empty):
        data = obj.data
        bpy.data.objects.remove(obj)
        if data is not None and data.users == 0:
            bpy.data.batch_remove([data])


def attach(root: bpy.types.Object, obj: bpy.types.Object, level: int, superseded: bool) -> None:
    """Hang an imported object under its level, shown and faded by the zoom."""
    obj[CONTENT] = "superseded" if superseded else "main"
    obj.parent = level_empties(root)[level]
    obj.matrix_parent_inverse.identity()
    drive_content(root, obj, level)
    _show(root, obj, level)


def drive_content(root: bpy.types.Object, obj: bpy.types.Object, level: int) -> None:
    """Drive the fade (the alpha of the object's colour) and the window in which the object shows."""
    superseded = obj[CONTENT] == "superseded"
    u = _own_zoom(root, level)
    shown = fading.expression(level, u, superseded, first=level == 0 and not loops(root))
    obj.driver_remove("color", 3)
    if shown:
        _drive(root, obj, "color", shown, 3)
    count = len(root.dreamzoom.levels) if loops(root) else None
    first, last = path.window(root.dreamzoom.zoom_factor, level, superseded, count)
    hidden = ([f"{u} <= {first:g}"] if math.isfinite(first) else []) + [f"{u} >= {last:.6g}"]
    for name in ("hide_viewport", "hide_render"):
        _drive(root, obj, name, " or ".join(hidden))


def _own_zoom(root: bpy.types.Object, level: int) -> str:
    """The zoom as a level's drivers see it. In a loop a level comes again as soon as its last window is over: its own
    zoom runs from where it opens and starts anew after as many zooms as there are levels.
    """
    count = len(root.dreamzoom.levels)
    start = level - 1 + fading.OPENS_FROM
    return f"(u - {count} * floor((u - {start:g}) / {count}))" if loops(root) else "u"


def key_flight(root: bpy.types.Object, start: int) -> None:
    """Key a flight of constant speed from the first level to the last, in a loop to where the first comes again and on
    without end; earlier keys of the zoom go.
    """
    settings = root.dreamzoom
    last = max(flight_depth(root), 0.5)
    curve = zoom_curve(root)
    if curve is not None and root.animation_data.action.library is not None:
        root.animation_data.action = None  # an override keys its zoom in an action of its own
    elif curve is not None:
        curve.keyframe_points.clear()
    for frame, zoom in ((start, 0.0), (start + round(last * settings.frames_per_level), last)):
        root["zoom"] = zoom
        root.keyframe_insert(ZOOM, frame=frame)
    curve = zoom_curve(root)
    for key in curve.keyframe_points:
        key.interpolation = "LINEAR"
    curve.extrapolation = "LINEAR" if loops(root) else "CONSTANT"
    curve.update()
    root["zoom"] = 0.0


def stretch_flight(root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Key the flight anew after the count of levels or the speed changed, unless the artist keyed another one.

    The scene's frame range follows where it was that of the flight.
    """
    curve = zoom_curve(root)
    if curve is None or len(curve.keyframe_points) != 2:
        return
    frames = flight_range(root)
    assert frames is not None
    first, last = frames
    key_flight(root, first)
    if scene.frame_start == first and scene.frame_end in (last, last - 1):
        scene.frame_start, scene.frame_end = frame_range(root) or frames


def zoom_curve(root: bpy.types.Object) -> bpy.types.FCurve | None:
    """The animation curve of the zoom."""
    return bake.curve_of(root, ZOOM)


def flight_range(root: bpy.types.Object) -> tuple[int, int] | None:
    """First and last frame of the zoom's keys."""
    curve = zoom_curve(root)
    if curve is None or not curve.keyframe_points:
        return None
    first, last = curve.range()
    return round(first), round(last)


def frame_range(root: bpy.types.Object) -> tuple[int, int] | None:
    """The frames to render: those of the flight; of a loop all but the last, which shows what the first does."""
    frames = flight_range(root)
    if frames is None or not loops(root):
        return frames
    return frames[0], max(frames[1] - 1, frames[0])


def _add_custom_properties(root: bpy.types.Object) -> None:
    root["zoom"] = 0.0
    root.id_properties_ui("zoom").update(
        description="How deep the camera is: one level per unit. Key it; straight keys are a zoom of constant speed",
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


def _drive_orbit(root: bpy.types.Object) -> None:
    """Turn the camera with the zoom; in a loop to and fro, as fast at the ends, so that it is back where it began."""
    pivot = next((child for child in root.children if PIVOT in child), None)
    if pivot is not None:
        count = len(root.dreamzoom.levels)
        swing = f"orbit * {count / math.tau:.9g} * sin(u * {math.tau / count:.9g})"
        _drive(root, pivot, "rotation_euler", swing if loops(root) else "orbit * u", 2, orbit=ORBIT)


def _home(root: bpy.types.Object) -> bpy.types.Collection:
    """The rig's collection; a new one where the artist deleted it."""
    settings = root.dreamzoom
    if settings.collection is None:
        settings.collection = bpy.data.collections.new(root.name)
        for above in root.users_collection:
            above.children.link(settings.collection)
    return settings.collection


def _add_level(root: bpy.types.Object, level: int) -> bpy.types.Object:
    empty = bpy.data.objects.new(f"{root.name} Level {level}", None)
    empty.empty_display_size = 0.03  # of what grows to many times its size
    empty[LEVEL] = level
    empty.parent = root
    _home(root).objects.link(empty)
    return empty


def _drive_level(root: bpy.types.Object, empty: bpy.types.Object, level: int) -> None:
    """Drive a level's scale, and its place where focuses drift."""
    settings = root.dreamzoom
    factor = settings.zoom_factor
    size = f"pow({factor:.9g}, {_own_zoom(root, level)} - {level})"
    for axis in range(3):
        _drive(root, empty, "scale", size, axis)
        empty.driver_remove("location", axis)
    empty.location = (0.0, 0.0, 0.0)
    focuses = [tuple(item.focus) for item in settings.levels]
    if not any(any(focus) for focus in focuses):
        return
    count = len(focuses)
    keys = path.drift(factor, 3 * focuses, level + count, count) if loops(root) else path.drift(factor, focuses, level)
    for axis in range(3):
        curve = _drive(root, empty, "location", size, axis)
        curve.keyframe_points.add(len(keys))
        for point, (s, place) in zip(curve.keyframe_points, keys):
            point.co = (s, place[axis])
            point.interpolation = "LINEAR"
        curve.extrapolation = "LINEAR"
        curve.update()


def _drive(root, obj: bpy.types.Object, name: str, expression: str, index: int = -1, **others: str):
    """Drive a property by an expression of `u`, the zoom, and of other properties of the rig; the driver's curve."""
    obj.driver_remove(name, index)
    curve = obj.driver_add(name, index)
    for modifier in list(curve.modifiers):
        curve.modifiers.remove(modifier)
    curve.keyframe_points.clear()
    for variable, data_path in {"u": ZOOM, **others}.items():
        added = curve.driver.variables.new()
        added.name = variable
        added.targets[0].id = root
        added.targets[0].data_path = data_path
    curve.driver.type = "SCRIPTED"
    curve.driver.expression = expression
    return curve

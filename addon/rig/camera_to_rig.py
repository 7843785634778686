"""A keyframed camera to a rig that shows the same pictures, and a rig to a plain keyframed camera.

The camera at C, looking anywhere, sees the world as it does from s·(C − F) in a world that is s times larger about the
focus F. So s is chosen to keep the picture's width at the focus the same all the way: s = focal length / distance, and
the zoom is its logarithm. What is left for the camera to do in the gauge is of order 1 at any depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

from ..core.errors import DreamzoomError
from . import cameras, keyframes, zoom_path
from .builder import create_rig
from .camera_sampling import Moment
from .lookup import ZOOM, level_empties

MOST_LEVELS = 64
EXACT_PIXELS = 0.05
"""How far a plain camera may be off, in pixels, for being stored in single precision."""

ROUNDING = 2.0**-24


def find_focus(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    camera: bpy.types.Object,
    target: bpy.types.Object | None = None,
) -> Vector:
    """What the camera flies to, in the world, as on the last frame: the chosen `target`, else what it focuses on or
    tracks, else what lies in the middle of the picture, else the 3D cursor if it is in the picture.

    Raises:
        DreamzoomError: None of these.
    """
    before = scene.frame_current, scene.frame_subframe
    try:
        scene.frame_set(scene.frame_end)
        if target is not None:
            return target.evaluated_get(view_layer.depsgraph).matrix_world.translation.copy()
        return _focus_now(scene, view_layer.depsgraph, camera)
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _focus_now(scene: bpy.types.Scene, graph: bpy.types.Depsgraph, camera: bpy.types.Object) -> Vector:
    seen = camera.evaluated_get(graph)
    if seen.data.dof.focus_object is not None:
        return seen.data.dof.focus_object.matrix_world.translation.copy()
    for constraint in camera.constraints:
        if constraint.type in ("TRACK_TO", "DAMPED_TRACK", "LOCKED_TRACK") and constraint.target is not None:
            return constraint.target.evaluated_get(graph).matrix_world.translation.copy()
    pose = seen.matrix_world.normalized()
    hit, place, *_ = scene.ray_cast(graph, pose.translation, pose.to_3x3() @ Vector((0, 0, -1)))
    if hit:
        return place
    x, y, depth = world_to_camera_view(scene, seen, scene.cursor.location)
    if depth > 0 and 0 < x < 1 and 0 < y < 1:
        return scene.cursor.location.copy()
    raise DreamzoomError(
        f"It is not clear what “{camera.name}” flies to",
        "Choose a Focus object, or put the 3D cursor on what the last frame is to show",
    )


def rig_from_camera(
    scene: bpy.types.Scene,
    camera: bpy.types.Object,
    seen: Sequence[Moment],
    focus: Sequence[float],
    factor: float = 2.0,
) -> bpy.types.Object:
    """A rig whose camera shows, frame for frame, what `camera` shows; at its widest view the world lies as before.

    Args:
        camera: Stays as it is; a copy of its lens is used.
        seen: The camera at each frame.
        focus: In the world.
        factor: p.

    Raises:
        DreamzoomError: The camera can't be used; nothing was changed.
    """
    frames = [moment.frame for moment in seen]
    magnified = _magnifications(camera, seen, np.asarray(focus, np.float64))
    widest = magnified.min()
    zooms = (np.log(magnified / widest) / math.log(factor)).astype(np.float32).astype(np.float64)
    levels = max(math.ceil(zooms.max() - 1e-4) + 1, 1)
    if levels > MOST_LEVELS:
        raise DreamzoomError(
            f"“{camera.name}” comes {levels - 1} levels deep; there can be {MOST_LEVELS - 1}",
            "Choose a larger zoom factor, or a Focus that it does not come as near to",
        )
    placed = Matrix.LocRotScale(Vector(focus), None, Vector.Fill(3, 1 / widest))
    poses = [cameras.pose_in_gauge(moment.world, np.array(placed)) for moment in seen]
    ratios = factor**zooms
    for pose, ratio in zip(poses, ratios):
        pose[:3, 3] *= ratio
    speed = max(round((frames[-1] - frames[0]) / max(np.ptp(zooms), 1e-6)), 1)
    root = create_rig(scene, focus, levels, factor, min(speed, 1_000_000))
    root.scale = (1 / widest,) * 3
    root["orbit"] = 0.0
    keyframes.set_keys(root, ZOOM, frames, zooms)
    made = root.dreamzoom.camera
    _use_lens(made, camera.data)
    _bake_pose(made, frames, poses)
    _bake_lens(made.data, seen, ratios)
    return root


def take_along(root: bpy.types.Object, objects: Sequence[bpy.types.Object], camera: bpy.types.Object) -> int:
    """Hang objects of the world under level 0, so that they grow with it; how many. The scene's frame means nothing.

    Whole hierarchies come; not the rig itself, nor what `camera` hangs under.
    """
    stay = {root, *root.children_recursive, *_with_parents(camera)}
    tops = {_with_parents(obj)[-1] for obj in objects} - stay
    home = level_empties(root)[0]
    placed = Matrix.LocRotScale(root.location, root.rotation_euler, root.scale)
    for obj in tops:
        obj.parent = home
        obj.matrix_parent_inverse = placed.inverted()
    return len(tops)


def camera_from_rig(scene: bpy.types.Scene, root: bpy.types.Object, seen: Sequence[Moment]) -> bpy.types.Object:
    """A plain camera that shows, in the rig's world as it lies at zoom 0, what the rig shows on its flight.

    Args:
        seen: The rig's camera at each frame, beside its root.

    Raises:
        DreamzoomError: The flight goes deeper than single precision allows; nothing was changed.
    """
    settings = root.dreamzoom
    focuses = [tuple(level.focus) for level in settings.levels]
    frames = [moment.frame for moment in seen]
    worlds, ratios = [], []
    for moment in seen:
        pose = cameras.pose_in_gauge(moment.world, moment.base)
        scale, origin = zoom_path.in_gauge(settings.zoom_factor, focuses, 0, moment.zoom)
        reach = float(np.linalg.norm(pose[:3, 3])) / scale
        pose[:3, 3] = (pose[:3, 3] - origin) / scale
        worlds.append(cameras.camera_world(pose, moment.base) @ cameras.FLIP)
        ratios.append(1 / scale)
        _check_depth(moment, worlds[-1], reach)
    source = settings.camera
    made = bpy.data.objects.new(f"{root.name} Plain Camera", source.data)
    scene.collection.objects.link(made)
    _use_lens(made, source.data, own=False)
    _bake_pose(made, frames, worlds)
    _bake_lens(made.data, seen, np.array(ratios))
    return made


def _check_depth(moment: Moment, world: np.ndarray, reach: float) -> None:
    """Whether single precision places a camera well; `reach` is how far it is from the focus, in units of level 0."""
    unit = float(np.cbrt(np.linalg.det(moment.base[:3, :3])))
    largest = max(unit, np.abs(world[:3, 3]).max(), np.abs(moment.base[:3, 3]).max())
    wrong = moment.focal_pixels * ROUNDING * largest / (reach * unit)
    if wrong > EXACT_PIXELS:
        raise DreamzoomError(
            f"At frame {moment.frame} the zoom is {moment.zoom:.1f}: so deep a plain camera would be {wrong:.2g} "
            "pixels off, since Blender keeps its place in single precision",
            "Keep the rig, end the frame range earlier, or move the rig to the middle of the world",
        )


def _magnifications(camera: bpy.types.Object, seen: Sequence[Moment], focus: np.ndarray) -> np.ndarray:
    """How many half pictures one unit of the world spans at the focus, per frame."""
    distances = np.array([np.linalg.norm(moment.world[:3, 3] - focus) for moment in seen])
    least = 1e-5 * max(np.abs(focus).max(), distances.max(), 1e-9)
    if distances.min() < least:
        raise DreamzoomError(
            f"“{camera.name}” comes to its focus itself at frame {seen[int(distances.argmin())].frame}",
            "Choose a Focus that lies beyond where it flies",
        )
    return np.array([moment.focal for moment in seen]) / distances


def _with_parents(obj: bpy.types.Object) -> list[bpy.types.Object]:
    found = [obj]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found


def _use_lens(made: bpy.types.Object, source: bpy.types.Camera, own: bool = True) -> None:
    """Give a camera a copy of another's lens, without its keys and drivers; with `own`, its former one goes."""
    former = made.data
    made.data = source.copy()
    made.data.name = made.name
    made.data.animation_data_clear()
    made.data.dof.focus_object = None
    if own:
        bpy.data.cameras.remove(former)


def _bake_pose(made: bpy.types.Object, frames: Sequence[int], poses: Sequence[np.ndarray]) -> None:
    """Key a camera at poses of the server's axes, in the space of its parent."""
    turns = [Matrix((pose @ cameras.FLIP)[:3, :3]).to_quaternion() for pose in poses]
    for before, after in zip(turns, turns[1:]):
        after.make_compatible(before)
    made.rotation_mode = "QUATERNION"
    keyframes.set_keys(made, "location", frames, np.array([pose[:3, 3] for pose in poses]))
    keyframes.set_keys(made, "rotation_quaternion", frames, np.array(turns))


def _bake_lens(lens: bpy.types.Camera, seen: Sequence[Moment], ratios: np.ndarray) -> None:
    """Set and key what a lens does, in a world that is `ratios` times larger; depth of field looks the same there."""
    frames = [moment.frame for moment in seen]
    for name in ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height"):
        keyframes.set_values(lens, name, frames, [moment.data[name] for moment in seen])
    starts = [moment.data["clip_start"] * min(ratio, 1.0) for moment, ratio in zip(seen, ratios)]
    keyframes.set_values(lens, "clip_start", frames, starts)
    lens.clip_end = max(moment.data["clip_end"] for moment in seen)
    if lens.dof.use_dof:
        distances = [moment.focus_distance * ratio for moment, ratio in zip(seen, ratios)]
        keyframes.set_values(lens, "dof.focus_distance", frames, distances)
        keyframes.set_values(lens, "dof.aperture_fstop", frames, [m.fstop / ratio for m, ratio in zip(seen, ratios)])

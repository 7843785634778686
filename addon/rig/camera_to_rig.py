"""A keyframed camera to a rig that shows the same pictures, and a rig to a plain keyframed camera.

A camera at C sees the world as it does from s·(C − F) in a world that is s times larger about the focus F. So s is
chosen to keep the picture's width at the focus constant: s = focal length / distance, and the zoom is its logarithm.
The motion that remains for the camera in the gauge is of order 1 at any depth.
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
from .camera_paths import shear
from .camera_sampling import CameraSample
from .lookup import ZOOM, level_empty

MAX_LEVELS = 64
EXACT_PIXELS = 0.05
"""The largest error, in pixels, that a plain camera may have since Blender stores it in single precision."""

ROUNDING = 2.0**-24
"""Relative rounding error of float32."""


def find_focus(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    camera: bpy.types.Object | None,
    target: bpy.types.Object | None = None,
) -> Vector:
    """The point in the world that the camera flies to, on the last frame: the chosen `target`, else what it focuses on
    or tracks, else what lies in the middle of the picture, else the 3D cursor if it is in the picture. Without `camera`
    it is the one that Blender renders there.

    Raises:
        DreamzoomError: There is none of these.
    """
    before = scene.frame_current, scene.frame_subframe
    try:
        scene.frame_set(scene.frame_end)
        if target is not None:
            return target.evaluated_get(view_layer.depsgraph).matrix_world.translation.copy()
        return _focus_now(scene, view_layer.depsgraph, camera or scene.camera)
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _focus_now(scene: bpy.types.Scene, graph: bpy.types.Depsgraph, camera: bpy.types.Object) -> Vector:
    evaluated = camera.evaluated_get(graph)
    if evaluated.data.dof.focus_object is not None:
        return evaluated.data.dof.focus_object.matrix_world.translation.copy()
    for constraint in camera.constraints:
        if constraint.type in ("TRACK_TO", "DAMPED_TRACK", "LOCKED_TRACK") and constraint.target is not None:
            return constraint.target.evaluated_get(graph).matrix_world.translation.copy()
    pose = evaluated.matrix_world.normalized()
    hit, point, *_ = scene.ray_cast(graph, pose.translation, pose.to_3x3() @ Vector((0, 0, -1)))
    if hit:
        return point
    x, y, depth = world_to_camera_view(scene, evaluated, scene.cursor.location)
    if depth > 0 and 0 < x < 1 and 0 < y < 1:
        return scene.cursor.location.copy()
    raise DreamzoomError(
        f"It is not clear what “{camera.name}” flies to",
        "Choose a Focus object, or put the 3D cursor on what the last frame is to show",
    )


def rig_from_camera(
    scene: bpy.types.Scene,
    camera: bpy.types.Object,
    samples: Sequence[CameraSample],
    focus: Sequence[float],
    factor: float = 2.0,
) -> bpy.types.Object:
    """A rig whose camera shows, frame for frame, what `camera` shows; at the widest view the world keeps its size.

    Args:
        camera: Stays unchanged; the rig's camera gets a copy of its lens.
        samples: The camera at each frame.
        focus: Point in the world.
        factor: p, the zoom factor.

    Raises:
        DreamzoomError: The camera can't be converted; nothing was changed.
    """
    frames = [sample.frame for sample in samples]
    magnifications = _magnifications(camera, samples, np.asarray(focus, np.float64))
    widest = magnifications.min()
    zooms = (np.log(magnifications / widest) / math.log(factor)).astype(np.float32).astype(np.float64)
    levels = max(math.ceil(zooms.max() - 1e-4) + 1, 1)
    if levels > MAX_LEVELS:
        raise DreamzoomError(
            f"“{camera.name}” flies {levels - 1} levels deep; the limit is {MAX_LEVELS - 1}",
            "Choose a larger zoom factor, or a Focus that it does not come as near to",
        )
    placed = Matrix.LocRotScale(Vector(focus), None, Vector.Fill(3, 1 / widest))
    poses = [cameras.axes_in_gauge(sample.world, np.array(placed)) for sample in samples]
    stretch = shear.common_stretch([pose[:3, :3] for pose in poses])
    poses = [shear.without(stretch, pose) for pose in poses]
    ratios = factor**zooms
    cuts = _cuts(samples)
    for pose, ratio in zip(poses, ratios):
        pose[:3, 3] *= ratio
    speed = max(round((frames[-1] - frames[0]) / max(np.ptp(zooms), 1e-6)), 1)
    root = create_rig(scene, focus, levels, factor, min(speed, 1_000_000))
    root.scale = (1 / widest,) * 3
    root["orbit"] = 0.0
    keyframes.set_keys(root, ZOOM, frames, zooms, cuts)
    target = root.dreamzoom.camera
    _use_lens(target, camera.data)
    target.matrix_parent_inverse = shear.as_matrix(stretch)
    key_pose(target, frames, poses, cuts)
    _key_lens(target.data, samples, ratios, cuts)
    return root


def parent_to_level_0(
    root: bpy.types.Object, objects: Sequence[bpy.types.Object], sources: Sequence[bpy.types.Object]
) -> int:
    """Parent objects of the world to level 0, so that they grow with it, whatever the current frame.

    Whole hierarchies are parented, but neither the rig itself nor a parent of the cameras `sources`.

    Returns:
        How many hierarchies.
    """
    kept = {obj for camera in sources for obj in _with_parents(camera)}
    excluded = {root, *root.children_recursive, *kept}
    tops = {top for top in (_with_parents(obj)[-1] for obj in objects) if top.is_editable} - excluded
    home = level_empty(root, 0)
    placed = Matrix.LocRotScale(root.location, root.rotation_euler, root.scale)
    for obj in tops:
        obj.parent = home
        obj.matrix_parent_inverse = placed.inverted()
    return len(tops)


def camera_from_rig(
    scene: bpy.types.Scene, root: bpy.types.Object, samples: Sequence[CameraSample]
) -> bpy.types.Object:
    """A plain camera that shows what the rig shows on its flight, in the rig's world as it is at zoom 0.

    Args:
        scene: Gets the camera.
        root: The rig.
        samples: The rig's camera and root at each frame.

    Raises:
        DreamzoomError: The flight goes deeper than single precision allows; nothing was changed.
    """
    frames = [sample.frame for sample in samples]
    worlds, ratios = at_zoom_0(root, samples)
    for sample, world, ratio in zip(samples, worlds, ratios):
        gauge = cameras.axes_in_gauge(sample.world, sample.root)
        _check_depth(sample, world, float(np.linalg.norm(gauge[:3, 3])) * ratio)
    source = root.dreamzoom.camera
    stretch = shear.common_stretch([world[:3, :3] for world in worlds])
    worlds = [shear.without(stretch, world) for world in worlds]
    target = bpy.data.objects.new(f"{root.name} Plain Camera", source.data)
    scene.collection.objects.link(target)
    if not np.array_equal(stretch, np.eye(3)):
        target.parent = bpy.data.objects.new(f"{target.name} Stretch", None)
        scene.collection.objects.link(target.parent)
        target.matrix_parent_inverse = shear.as_matrix(stretch)
    _use_lens(target, source.data, own=False)
    cuts = _cuts(samples)
    key_pose(target, frames, worlds, cuts)
    _key_lens(target.data, samples, np.array(ratios), cuts)
    return target


def at_zoom_0(root: bpy.types.Object, samples: Sequence[CameraSample]) -> tuple[list[np.ndarray], list[float]]:
    """A rig's cameras in its world as it is at zoom 0.

    Returns:
        The poses (4, 4) float64 with the server's axes, not orthogonal if the camera is sheared; and for each the size
        of that world over its size at the sample's zoom.
    """
    settings = root.dreamzoom
    focuses = [tuple(level.focus) for level in settings.levels]
    worlds, ratios = [], []
    for sample in samples:
        pose = cameras.axes_in_gauge(sample.world, sample.root)
        scale, origin = zoom_path.in_gauge(settings.zoom_factor, focuses, 0, sample.zoom)
        pose[:3, 3] = (pose[:3, 3] - origin) / scale
        worlds.append(cameras.camera_world(pose, sample.root) @ cameras.FLIP)
        ratios.append(1 / scale)
    return worlds, ratios


def _check_depth(sample: CameraSample, world: np.ndarray, distance: float) -> None:
    """Raise DreamzoomError where single precision is too coarse for a camera at `distance`, in units of level 0, from
    the focus.
    """
    unit = float(np.cbrt(np.linalg.det(sample.root[:3, :3])))
    largest = max(unit, np.abs(world[:3, 3]).max(), np.abs(sample.root[:3, 3]).max())
    error = sample.focal_pixels * ROUNDING * largest / (distance * unit)
    if error > EXACT_PIXELS:
        raise DreamzoomError(
            f"At frame {sample.frame} the zoom is {sample.zoom:.1f}: so deep a plain camera would be {error:.2g} "
            "pixels off, since Blender stores its position in single precision",
            "Keep the rig, end the frame range earlier, or move the rig to the world's origin",
        )


def _magnifications(camera: bpy.types.Object, samples: Sequence[CameraSample], focus: np.ndarray) -> np.ndarray:
    """The size of one unit of the world at the focus, in half pictures, (frames,)."""
    distances = np.array([np.linalg.norm(sample.world[:3, 3] - focus) for sample in samples])
    least = 1e-5 * max(np.abs(focus).max(), distances.max(), 1e-9)
    if distances.min() < least:
        raise DreamzoomError(
            f"“{camera.name}” reaches its focus at frame {samples[int(distances.argmin())].frame}",
            "Choose a Focus that lies beyond where it flies",
        )
    return np.array([sample.focal for sample in samples]) / distances


def _with_parents(obj: bpy.types.Object) -> list[bpy.types.Object]:
    """The object, its parent, and so on up to the top."""
    found = [obj]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found


def _use_lens(target: bpy.types.Object, source: bpy.types.Camera, own: bool = True) -> None:
    """Give a camera a copy of another's lens, without keys and drivers; with `own`, its former lens is removed."""
    former = target.data
    target.data = source.copy()
    target.data.name = target.name
    target.data.animation_data_clear()
    target.data.dof.focus_object = None
    if own:
        bpy.data.cameras.remove(former)


def _cuts(samples: Sequence[CameraSample]) -> list[int]:
    """The indices of the samples after which another camera follows."""
    return [index for index, (a, b) in enumerate(zip(samples, samples[1:])) if a.camera != b.camera]


def key_pose(target: bpy.types.Object, frames: Sequence[int], poses: Sequence[np.ndarray], cuts: Sequence[int]) -> None:
    """Key a camera at poses (4, 4) with the server's axes, in the space of its parent; held before each cut."""
    turns = [Matrix((pose @ cameras.FLIP)[:3, :3]).to_quaternion() for pose in poses]
    for before, after in zip(turns, turns[1:]):
        after.make_compatible(before)
    target.rotation_mode = "QUATERNION"
    keyframes.set_keys(target, "location", frames, np.array([pose[:3, 3] for pose in poses]), cuts)
    keyframes.set_keys(target, "rotation_quaternion", frames, np.array(turns), cuts)


def _key_lens(lens: bpy.types.Camera, samples: Sequence[CameraSample], ratios: np.ndarray, cuts: Sequence[int]) -> None:
    """Set and key the lens in a world that is `ratios` (frames,) times larger, where depth of field looks the same."""
    frames = [sample.frame for sample in samples]
    for name in ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height"):
        keyframes.set_values(lens, name, frames, [sample.lens[name] for sample in samples], cuts)
    starts = [sample.lens["clip_start"] * min(ratio, 1.0) for sample, ratio in zip(samples, ratios)]
    keyframes.set_values(lens, "clip_start", frames, starts, cuts)
    lens.clip_end = max(sample.lens["clip_end"] for sample in samples)
    if lens.dof.use_dof:
        distances = [sample.focus_distance * ratio for sample, ratio in zip(samples, ratios)]
        stops = [sample.fstop / ratio for sample, ratio in zip(samples, ratios)]
        keyframes.set_values(lens, "dof.focus_distance", frames, distances, cuts)
        keyframes.set_values(lens, "dof.aperture_fstop", frames, stops, cuts)

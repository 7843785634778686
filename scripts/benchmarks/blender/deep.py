"""How exactly a rig places things, shallow and deep: what Blender evaluates against the path in double precision.

For a section that runs inside Blender, with the add-on's and the server's folders on its path.
"""

from __future__ import annotations

import math

import numpy as np

WIDTH, HEIGHT = 1920, 1080
FACTOR = 2.0
SPAN = 3
"""Levels that the flight crosses."""

FRAMES = 24
"""Per level."""

ORBIT = math.radians(10)
CAMERA = {1: (0.3, -2.1, 2.0), 73: (-0.4, -1.8, 2.4)}
"""Frame and place of the camera's keys, in the gauge."""

POINTS = 60
"""Per level; those that lie in the picture are measured."""


def measure(deep: float = 40.0, orbit: float = ORBIT) -> dict:
    """Errors of the same flight at zoom 0 and at zoom `deep`, in pixels of a picture of 1920 × 1080.

    Returns:
        deep_px: the largest distance of a point from its true place, on any frame of the deep flight.
        jitter_px: the largest change of that error from one frame to the next there.
        shallow_px, shallow_jitter_px: the same at zoom 0.
        points: how many positions were compared in the deep flight.
    """
    error, jitter, count = flight_errors(deep, orbit)
    shallow, shallow_jitter, _ = flight_errors(0.0, orbit)
    return {
        "deep_px": error,
        "jitter_px": jitter,
        "shallow_px": shallow,
        "shallow_jitter_px": shallow_jitter,
        "points": count,
    }


def flight_errors(start: float, orbit: float = ORBIT) -> tuple[float, float, int]:
    """Largest error and largest change of it between frames, in pixels, and the count of positions, of one flight that
    begins at zoom `start`.
    """
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    root, points = _scene(scene, start, orbit)
    largest = jitter = 0.0
    count, before = 0, {}
    for frame in range(1, SPAN * FRAMES + 2):
        scene.frame_set(frame)
        zoom = start + (frame - 1) / FRAMES
        errors = _frame_errors(root, points, zoom, frame, orbit)
        for key, error in errors.items():
            largest = max(largest, float(np.linalg.norm(error)))
            if key in before:
                jitter = max(jitter, float(np.linalg.norm(error - before[key])))
        before, count = errors, count + len(errors)
    return largest, jitter, count


def _scene(scene, start: float, orbit: float):
    """A rig with drifting focuses away from the world's middle, a keyed camera, and points under the levels near."""
    import bpy

    from addon import rig
    from addon.rig import keyframes

    levels = round(start) + SPAN + 2
    root = rig.create_rig(scene, (1.0, -2.0, 0.5), levels, FACTOR, FRAMES)
    root.scale = (1.5,) * 3
    root["orbit"] = orbit
    random = np.random.default_rng(7)
    for level in root.dreamzoom.levels:
        level["focus"] = random.uniform(-0.3, 0.3, 3).tolist()
    rig.sync_levels(root)
    frames = np.arange(1, SPAN * FRAMES + 2)
    keyframes.set_keys(root, rig.ZOOM, frames, start + (frames - 1) / FRAMES)
    camera = root.dreamzoom.camera
    keyframes.set_keys(camera, "location", list(CAMERA), np.array(list(CAMERA.values())))
    camera.rotation_euler = (math.radians(42), 0.0, 0.1)
    points = {}
    for level in range(max(round(start) - 4, 0), levels):
        points[level] = random.uniform(-1.2, 1.2, (POINTS, 3)).astype(np.float32)
        content = bpy.data.objects.new(f"points {level}", bpy.data.meshes.new("points"))
        content.data.from_pydata(points[level].tolist(), [], [])
        scene.collection.objects.link(content)
        rig.attach(root, content, level, superseded=False)
    return root, points


def _frame_errors(root, points: dict, zoom: float, frame: int, orbit: float) -> dict:
    """Blender's pixel less the true one, by (level, point), for every shown point in the picture."""
    import bpy

    from addon import rig

    graph = bpy.context.evaluated_depsgraph_get()
    camera = root.dreamzoom.camera.evaluated_get(graph)
    view = np.linalg.inv(np.array(camera.matrix_world, np.float32))
    focal = np.array(camera.data.lens / camera.data.sensor_width * WIDTH, np.float32)
    true_view = np.linalg.inv(_true_camera(zoom, frame, orbit, np.array(camera.rotation_euler, np.float64)))
    found = {}
    for empty in rig.level_empties(root):
        for content in rig.contents(empty):
            if content.hide_render:
                continue
            level = empty[rig.LEVEL]
            matrix = np.array(content.evaluated_get(graph).matrix_world, np.float32)
            seen = _pixels(matrix, view, points[level], focal)
            true = _pixels(_true_level(root, zoom, level), true_view, points[level].astype(np.float64), float(focal))
            inside = ((true > 0) & (true < (WIDTH, HEIGHT))).all(1)
            found |= {(level, index): seen[index] - true[index] for index in np.flatnonzero(inside)}
    return found


def _pixels(matrix: np.ndarray, view: np.ndarray, points: np.ndarray, focal) -> np.ndarray:
    """Points (N, 3) through an object's matrix and a view matrix to pixels (N, 2), in the precision of the arguments;
    NaN behind the camera.
    """
    local = (points @ matrix[:3, :3].T + matrix[:3, 3]) @ view[:3, :3].T + view[:3, 3]
    depth = np.where(local[:, 2] < 0, -local[:, 2], np.nan)[:, None]
    return local[:, :2] / depth * (focal, -focal) + (WIDTH / 2, HEIGHT / 2)


def _true_level(root, zoom: float, level: int) -> np.ndarray:
    """From a level's frame into the rig's space, (4, 4) float64: by the server's path."""
    from dreamzoom.geometry.zoom_path import ZoomPath

    focuses = np.array([tuple(item.focus) for item in root.dreamzoom.levels], np.float64)
    placed = ZoomPath(FACTOR, focuses, ()).gauge(zoom, level).inverse()
    matrix = np.eye(4)
    matrix[:3, :3] *= placed.scale
    matrix[:3, 3] = placed.apply(np.zeros(3))
    return matrix


def _true_camera(zoom: float, frame: int, orbit: float, euler: np.ndarray) -> np.ndarray:
    """The camera's pose in the rig's space, (4, 4) float64: its keys, turned about the focus."""
    (first, begin), (last, end) = ((key, np.array(place, np.float64)) for key, place in CAMERA.items())
    share = (frame - first) / (last - first)
    pose = np.eye(4)
    pose[:3, :3] = _turn(2, euler[2]) @ _turn(1, euler[1]) @ _turn(0, euler[0])
    pose[:3, 3] = begin + share * (end - begin)
    turned = np.eye(4)
    turned[:3, :3] = _turn(2, float(np.float32(orbit)) * zoom)
    return turned @ pose


def _turn(axis: int, angle: float) -> np.ndarray:
    """A rotation about x, y or z (0, 1, 2), (3, 3)."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix

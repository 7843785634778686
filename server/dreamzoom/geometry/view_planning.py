"""View planning: anchor views, side views where holes would be visible, support cameras, and preset camera paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.camera import Camera, look_at
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.unproject import lift
from dreamzoom.geometry.view import UNKNOWN, View
from dreamzoom.geometry.zoom_path import Key, ZoomPath

LARGEST_OVERSCAN = 1.5
PLAN_PIXELS = 192
"""Holes are predicted in renderings whose longer side has this many pixels."""
MOST_PLACES, MOST_VIEWS = 96, 24
"""Most cameras along a level's path that are tested for holes, and most side views if large holes remain."""
LARGEST_TURN = math.radians(5)
"""Largest rotation, in radians, between consecutive cameras that are tested for holes."""
FRAMES_PER_KEY, FRAMES_PER_LEVEL = 6, 24
"""Minimum animation frames of preset paths, per key and per level."""
MOST_NEW = 0.65
"""Preferred upper limit of the unknown fraction of a side view; with less known content its depth aligns badly."""


def anchor(path: ZoomPath, level: int, overscan: float | None = None) -> View:
    """The anchor view A_k: the path's camera at u = k in the frame of level k, with a wider field of view.

    Args:
        path: The camera path.
        level: k.
        overscan: Factor of the image size; √p, at most 1.5, if None.
    """
    wider = min(math.sqrt(path.factor), LARGEST_OVERSCAN) if overscan is None else overscan
    return View(f"{level:03d}/anchor", level, float(level), path.camera(level, level).widened(wider))


def side_views(
    path: ZoomPath,
    level: int,
    cloud: Cloud,
    *,
    limit: float = 0.02,
    most: int = 12,
    large: float = 1.0,
    steps: int = 24,
    before: float = 0.5,
) -> list[View]:
    """Side views along the path, u from k − `before` to k + 1, that show holes which the anchor view leaves.

    Renders the cloud in small pictures along the path and finds the unknown pixels. Repeatedly adds the camera with the
    largest unknown fraction, if possible below `MOST_NEW`, and assumes its holes filled (at the depth around each
    hole), until no unknown fraction exceeds `limit`.

    Args:
        path: The camera path; it may continue past the last level.
        level: k; the cameras and the cloud are in its frame.
        cloud: The points of the anchor view.
        limit: Largest fraction of unknown pixels that needs no view.
        most: Maximum number of views.
        large: From this fraction of unknown pixels on, views are added beyond `most`, up to `MOST_VIEWS`.
        steps: Minimum number of tested cameras per level of zoom; at most `MOST_PLACES` are tested in total.
        before: How far before u = k the tested part of the path begins.
    """
    places = along(path, level, MOST_PLACES, before=before, steps=steps)
    return views_of_holes(places, level, cloud, limit=limit, most=most, large=large)


def views_of_holes(
    places: Sequence[tuple[float, Camera]],
    level: int,
    cloud: Cloud,
    *,
    limit: float = 0.02,
    most: int = 12,
    large: float = 1.0,
) -> list[View]:
    """`side_views` for given places: pairs of u and the camera in the frame of `level`."""
    views, known = [], thinned(cloud, 400_000)
    while places and len(views) < max(most, MOST_VIEWS if large < 1 else 0):
        rendered = [(project(known, _reduced(camera), coarse_above=math.inf), zoom, camera) for zoom, camera in places]
        shares = [float((seen.mask == UNKNOWN).mean()) for seen, _, _ in rendered]
        places = [place for place, share in zip(places, shares, strict=True) if share > limit]
        wanted = [n for n, share in enumerate(shares) if share > (limit if len(views) < most else max(limit, large))]
        if not wanted:
            break
        overlapping = [n for n in wanted if shares[n] <= MOST_NEW]
        chosen = max(overlapping, key=shares.__getitem__) if overlapping else min(wanted, key=shares.__getitem__)
        seen, zoom, camera = rendered[chosen]
        views.append(View(f"{level:03d}/side-{len(views) + 1}", level, zoom, camera))
        known = Cloud.joined([known, _predicted_points(seen, _reduced(camera))])
    return views


def support_cameras(view: View, count: int = 5, degrees: float = 5.0, distance: float | None = None) -> list[Camera]:
    """Support cameras around a view, which only supervise the fit of the splats.

    Args:
        view: The view.
        count: Number of cameras, evenly spaced on a cone.
        degrees: Half angle of the cone about the pivot, a point on the view's optical axis.
        distance: z-depth of the pivot; that of the focus (the frame's origin) if None.
    """
    camera = view.camera
    forward = camera.rotation[:, 2]
    depth = float(-camera.centre @ forward) if distance is None else distance
    pivot = camera.centre + max(depth, 0.1 * float(np.linalg.norm(camera.centre)) + 1e-3) * forward
    cameras = []
    for number in range(count):
        angle = 2 * math.pi * number / count
        axis = math.cos(angle) * camera.rotation[:, 0] + math.sin(angle) * camera.rotation[:, 1]
        turn = _rotation(axis, math.radians(degrees))
        pose = camera.camera_to_frame.copy()
        pose[:3, :3] = turn @ camera.rotation
        pose[:3, 3] = pivot + turn @ (camera.centre - pivot)
        cameras.append(replace(camera, camera_to_frame=pose))
    return cameras


def bridges(cameras: list[Camera], *, closed: bool = False) -> list[Camera]:
    """Cameras half-way between neighbours; their depth connects the neighbours in the joint alignment.

    Args:
        cameras: In the order of the path.
        closed: Whether the last camera is a neighbour of the first.
    """
    pairs = list(zip(cameras, cameras[1:] + cameras[:1], strict=True))
    return [_halfway(a, b) for a, b in (pairs if closed else pairs[:-1])]


def _halfway(a: Camera, b: Camera) -> Camera:
    path = ZoomPath(2.0, np.zeros((1, 3)), (Key(0, 0.0, a), Key(1, 1.0, b)))
    return path.key_at(0.5).camera


def thinned(cloud: Cloud, most: int) -> Cloud:
    """Every n-th point, so that at most `most` remain; footprints are multiplied by n."""
    if len(cloud) <= most:
        return cloud
    stride = -(-len(cloud) // most)
    part = cloud[::stride]
    return replace(part, footprint=(part.footprint * np.float32(stride)).astype(np.float32))


def along(path: ZoomPath, level: int, most: int, *, before: float = 0.5, steps: int = 24) -> list[tuple[float, Camera]]:
    """Samples of the path from u = k − `before` to k + 1, in its order: (u, camera in the frame of `level`).

    Args:
        path: The camera path. At level 0 samples begin at u = 0; past the last level they end with the keys.
        level: k.
        most: Maximum number of samples, evenly chosen.
        before: How far before u = k they begin.
        steps: Minimum number of samples per level of zoom, before `most` applies; keys are included, and further
            samples where the camera rotates.
    """
    places = list(_places(path, level, level - before if level else 0.0, steps))
    return [places[n] for n in np.unique(np.linspace(0, len(places) - 1, most).astype(int))] if places else []


def _places(path: ZoomPath, level: int, start: float, steps: int):
    """All samples of `along`, before thinning to the maximum; `start` is the first u."""
    keys = path.keys
    for before, after in zip(keys, keys[1:], strict=False):
        low, high = sorted((before.zoom, after.zoom))
        if high < start or low > level + 1:
            continue
        turn = math.acos(min(max(float(before.camera.rotation[:, 2] @ after.camera.rotation[:, 2]), -1.0), 1.0))
        pieces = max(1, math.ceil((high - low) * steps), math.ceil(turn / LARGEST_TURN))
        for t in np.linspace(0, 1, pieces + 1)[:-1]:
            zoom = (1 - t) * before.zoom + t * after.zoom
            if start <= zoom <= level + 1:
                between = ZoomPath(path.factor, path.focuses, (before, after))
                camera = between.at_frame(before.frame + t * (after.frame - before.frame)).camera
                yield zoom, camera.moved(path.gauge(zoom, level))
    if keys and start <= keys[-1].zoom <= level + 1:
        yield keys[-1].zoom, keys[-1].camera.moved(path.gauge(keys[-1].zoom, level))


def _reduced(camera: Camera) -> Camera:
    share = min(1.0, PLAN_PIXELS / max(camera.width, camera.height))
    return camera.resized(max(8, round(camera.width * share)), max(8, round(camera.height * share)))


def _predicted_points(seen, camera: Camera) -> Cloud:
    """The points that a view is expected to add in its unknown pixels, at the depth of the nearest known pixel."""
    from scipy.ndimage import distance_transform_edt

    unknown = seen.mask == UNKNOWN
    if unknown.all():
        depth = np.full(unknown.shape, max(float(np.linalg.norm(camera.centre)), 1e-3), np.float32)
    else:
        nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
        depth = seen.depth[tuple(np.asarray(nearest))]
    return lift(camera, depth, seen.rgb, view=-1, keep=unknown)


def _rotation(axis: np.ndarray | tuple[int, int, int], angle: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angle * np.asarray(axis)).as_matrix()


# Preset paths, for requests without cameras: LucidDreamer's presets and a straight zoom. All are in the gauge, where
# the focus is the origin. Cameras that look around rotate about their own centre.


def straight(camera: Camera, levels: int, frames_per_level: int = FRAMES_PER_LEVEL) -> list[Key]:
    """A zoom at constant speed from u = 0 to the last level; the camera does not move in the gauge."""
    return [Key(level * frames_per_level + 1, float(level), camera) for level in range(levels)]


def rotate360(camera: Camera, count: int = 10, zoom: float = 0.0) -> list[Key]:
    """One full turn about the vertical axis; the last key is one step before the first."""
    return _rotating_keys(camera, [(360.0 * n / count, 0.0) for n in range(count)], zoom)


def lookaround(camera: Camera, count: int = 10, yaw: float = 40.0, pitch: float = 10.0, zoom: float = 0.0) -> list[Key]:
    """Look left, right and back while pitching up and down, within ± `yaw` and ± `pitch` degrees."""
    angles = [2 * math.pi * n / count for n in range(count)]
    return _rotating_keys(camera, [(yaw * math.sin(a), pitch * math.sin(2 * a)) for a in angles], zoom)


def lookdown(camera: Camera, count: int = 14, yaw: float = 30.0, pitch: float = -25.0, zoom: float = 0.0) -> list[Key]:
    """Turn from side to side by `yaw` degrees, first horizontally, then with the camera pitched by `pitch` degrees."""
    half = count // 2
    level = [(yaw * math.sin(2 * math.pi * n / half), 0.0) for n in range(half)]
    down = [(yaw * math.sin(2 * math.pi * n / (count - half)), pitch) for n in range(count - half)]
    return _rotating_keys(camera, level + down, zoom)


def back_and_forth(camera: Camera, count: int = 11, distance: float = 1.0, zoom: float = 0.0) -> list[Key]:
    """Move straight back by `distance`, in units of the gauge, and forward again."""
    return _moving_keys(camera, [(0, 0, -distance * math.sin(math.pi * n / (count - 1))) for n in range(count)], zoom)


def llff(camera: Camera, count: int = 21, radius: float = 0.3, zoom: float = 0.0) -> list[Key]:
    """A spiral in the image plane and slightly along the view direction, always looking at the focus."""
    angles = [4 * math.pi * n / count for n in range(count)]
    shifts = [(radius * math.cos(a) - radius, radius * math.sin(a), 0.3 * radius * math.sin(a / 2)) for a in angles]
    keys = _moving_keys(camera, shifts, zoom)
    return [replace(key, camera=_aimed(key.camera)) for key in keys]


def headbanging(camera: Camera, count: int = 12, radius: float = 0.3, zoom: float = 0.0) -> list[Key]:
    """Move up and down twice by `radius`, in units of the gauge, always looking at the focus."""
    shifts = [(0, radius * math.sin(4 * math.pi * n / count), 0) for n in range(count)]
    return [replace(key, camera=_aimed(key.camera)) for key in _moving_keys(camera, shifts, zoom)]


def translation(camera: Camera, shift, count: int = 11, zoom: float = 0.0) -> list[Key]:
    """Translate in a straight line by `shift` (right, down, forward in units of the gauge), without rotation."""
    return _moving_keys(camera, [tuple(np.asarray(shift, float) * n / (count - 1)) for n in range(count)], zoom)


PRESETS = {
    "rotate360": rotate360,
    "lookaround": lookaround,
    "lookdown": lookdown,
    "back_and_forth": back_and_forth,
    "llff": llff,
    "headbanging": headbanging,
}
"""Preset paths by name: functions of (camera, count=…, zoom=…) that return a list of keys."""
CLOSED = ("rotate360", "lookaround", "llff", "headbanging")
"""Presets whose last key is one step before the first, so that they can be closed."""


def ready_path(name: str, width: int, height: int, levels: int) -> list[Key]:
    """The keys of a preset, or of "straight", for a camera three units from the focus, tilted 40° from straight down.

    With more than one level, the zoom increases linearly from the first level to the last along the path.

    Args:
        name: Of `PRESETS`, or "straight".
        width, height: Image size in pixels.
        levels: Number of levels.
    """
    tilt = math.radians(40)
    pose = look_at((0, -3 * math.sin(tilt), 3 * math.cos(tilt)), (0, 0, 0))
    focal = 1.2 * max(width, height)
    camera = Camera(width, height, focal, focal, width / 2, height / 2, pose)
    if name == "straight":
        return straight(camera, levels)
    keys = PRESETS[name](camera)
    if name in CLOSED:
        keys.append(replace(keys[0], frame=len(keys) + 1))
    last = len(keys) - 1
    frames = max(FRAMES_PER_KEY, -(-FRAMES_PER_LEVEL * (levels - 1) // last))
    return [
        replace(key, frame=1 + number * frames, zoom=number / last * (levels - 1)) for number, key in enumerate(keys)
    ]


def _rotating_keys(camera: Camera, angles, zoom: float) -> list[Key]:
    """Keys of a camera that rotates about its centre by each of `angles`: (yaw to the right, pitch up) in degrees."""
    keys = []
    for number, (yaw, pitch) in enumerate(angles):
        pose = camera.camera_to_frame.copy()
        up = _rotation((0, 0, 1), -math.radians(yaw))
        pose[:3, :3] = up @ camera.rotation @ _rotation((1, 0, 0), math.radians(pitch))
        keys.append(Key(number + 1, zoom, replace(camera, camera_to_frame=pose)))
    return keys


def _moving_keys(camera: Camera, shifts, zoom: float) -> list[Key]:
    """Keys of a camera displaced by each of `shifts`: (right, down, forward) in camera axes, units of the gauge."""
    keys = []
    for number, shift in enumerate(shifts):
        pose = camera.camera_to_frame.copy()
        pose[:3, 3] = camera.centre + camera.rotation @ np.asarray(shift, float)
        keys.append(Key(number + 1, zoom, replace(camera, camera_to_frame=pose)))
    return keys


def _aimed(camera: Camera) -> Camera:
    """The camera rotated to look at the focus, with its up direction kept as far as possible."""
    return replace(camera, camera_to_frame=look_at(camera.centre, (0, 0, 0), -camera.rotation[:, 1]))

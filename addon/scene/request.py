"""The server's request: the levels of a rig as written, its camera and its zoom as Blender evaluates each frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import rig
from ..core.errors import DreamzoomError
from ..rig import cameras
from . import engine_options
from .time_slicing import RigReference, SlicedWork, TimeSlice, run_to_end

VERSION = 1


def build_request(root: bpy.types.Object, scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer) -> dict[str, Any]:
    """The whole request for a rig, over the scene's frame range.

    Raises:
        DreamzoomError: The camera or the zoom can't be used as they are.
    """
    return run_to_end(capture(RigReference(root, scene, view_layer), TimeSlice()))


def capture(reference: RigReference, time_slice: TimeSlice) -> SlicedWork[dict[str, Any]]:
    """`build_request` in time slices: the settings as they are at the beginning, the cameras frame by frame.

    Raises:
        DreamzoomError: As `build_request`, or the rig was removed meanwhile.
    """
    root, scene, _ = reference.resolve()
    settings = root.dreamzoom
    width, height = cameras.picture_size(scene.render, settings.size)
    loops = rig.loops(root)
    request = ({"loop": True} if loops else {}) | {
        "version": VERSION,
        "seed": settings.seed,
        "quality": settings.quality,
        "engine": engine_options.of_rig(settings),
        "zoom_factor": settings.zoom_factor,
        "levels": [_level(item, index) for index, item in enumerate(settings.levels)],
        "cameras": [],
        "width": width,
        "height": height,
    }
    keys = yield from camera_keys(reference, width, height, time_slice)
    levels = len(request["levels"])
    keys = _first_loop(keys, levels) if loops else keys
    _check_zooms(keys, levels)
    return request | {"cameras": keys}


def camera_keys(
    reference: RigReference, width: int, height: int, time_slice: TimeSlice
) -> SlicedWork[list[dict[str, Any]]]:
    """One evaluated camera per frame of the scene's range; after each slice the current frame is restored.

    Args:
        reference: The rig and its scene.
        width: Of the dreamed pictures, in pixels.
        height: Of the dreamed pictures, in pixels.
        time_slice: When to yield.

    Raises:
        DreamzoomError: There is no usable camera, or the rig was removed.
    """
    _, scene, _ = reference.resolve()
    frames = range(scene.frame_start, scene.frame_end + 1)
    keys: list[dict[str, Any]] = []
    while len(keys) < len(frames):
        root, scene, view_layer = reference.resolve()
        camera = root.dreamzoom.camera
        if camera is None or camera.type != "CAMERA" or camera.name not in view_layer.objects:
            raise DreamzoomError("The rig has no camera in this scene", "Choose one in the Flight panel")
        with _kept_frame(scene):
            for frame in frames[len(keys) :]:
                scene.frame_set(frame)
                graph = view_layer.depsgraph
                keys.append(_camera_key(root.evaluated_get(graph), camera.evaluated_get(graph), scene, width, height))
                if time_slice.is_over:
                    break
        yield len(keys) / len(frames)
    return keys


@contextmanager
def _kept_frame(scene: bpy.types.Scene) -> Iterator[None]:
    """Restore the scene's current frame afterwards."""
    before = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(before[0], subframe=before[1])


def _first_loop(keys: list[dict[str, Any]], levels: int) -> list[dict[str, Any]]:
    """The keys of a looping flight up to where it begins again, with zooms counted from its beginning."""
    passed = math.floor(min(key["zoom"] for key in keys) / levels + 1e-4) * levels
    kept = [key | {"zoom": key["zoom"] - passed} for key in keys]
    return [key for key in kept if key["zoom"] <= levels]


def _camera_key(root, camera, scene: bpy.types.Scene, width: int, height: int) -> dict[str, Any]:
    """The camera of the current frame; `root` and `camera` are evaluated."""
    own = cameras.intrinsics_of(camera.data, scene.render, width, height)
    view, pose = cameras.seen_in_gauge(own, np.array(camera.matrix_world), np.array(root.matrix_world))
    names = ("fx", "fy", "cx", "cy", "skew") if view.skew else ("fx", "fy", "cx", "cy")
    numbers = {name: float(getattr(view, name)) for name in names}
    return {
        "frame": scene.frame_current,
        "zoom": float(root["zoom"]),
        "camera_to_gauge": pose.tolist(),
        **numbers,
    }


def _check_zooms(keys: list[dict[str, Any]], levels: int) -> None:
    for key in keys:
        if not -1 <= key["zoom"] <= levels:
            raise DreamzoomError(
                f"The zoom is {key['zoom']:.2f} at frame {key['frame']}; it must be -1 to {levels}",
                "Add levels, or change the keys of the zoom",
            )


def _level(item, index: int) -> dict[str, Any]:
    """A level of the list as the request has it; what is not set is left out."""
    level: dict[str, Any] = {"prompt": item.prompt}
    if item.negative_prompt:
        level["negative_prompt"] = item.negative_prompt
    if item.image:
        image = Path(bpy.path.abspath(item.image))
        if not image.is_file():
            raise DreamzoomError(f"The picture of level {index} is missing: {image}", "Choose it again, or clear it")
        level["image"] = str(image)
    if item.key:
        level["key"] = item.key
    if item.use_seed:
        level["seed"] = item.seed
    if any(item.focus):
        level["focus"] = list(item.focus)
    return level

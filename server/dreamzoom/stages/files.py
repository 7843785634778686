"""The files that pass from step to step, and their exact round trips. The runner's folder does the writing itself."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
from PIL import Image

from core.camera import Camera
from core.colour import to_bytes
from dreamzoom.engines.base import View
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.job.folder import Folder
from dreamzoom.stages.dream import Dreamed


def write_picture(folder: Folder, name: str, rgb: np.ndarray) -> None:
    """Write (H, W, 3) sRGB in 0..1 as an 8-bit PNG."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(rgb)).save(buffer, "png", compress_level=4)
    folder.write(name, buffer.getvalue())


def read_picture(folder: Folder, name: str) -> np.ndarray:
    """Read what `write_picture` wrote: (H, W, 3) float32 sRGB in 0..1."""
    with Image.open(folder.path(name)) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / np.float32(255)


def write_arrays(folder: Folder, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as a compressed npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    folder.write(name, buffer.getvalue())


def read_arrays(folder: Folder, name: str) -> dict[str, np.ndarray]:
    """Read an npz; never unpickles."""
    with np.load(folder.path(name), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def write_points(folder: Folder, name: str, cloud: Cloud) -> None:
    """Write a cloud exactly."""
    write_arrays(folder, name, {field.name: getattr(cloud, field.name) for field in fields(Cloud)})


def read_points(folder: Folder, name: str) -> Cloud:
    """Read what `write_points` wrote."""
    return Cloud(**read_arrays(folder, name))


def write_views(folder: Folder, name: str, dreamed: list[Dreamed]) -> None:
    """Write a level's views with pictures (8 bit), depths and cameras."""
    arrays: dict[str, np.ndarray] = {}
    for index, item in enumerate(dreamed):
        camera = item.view.camera
        arrays |= {
            f"{index}/name": np.array(item.view.name),
            f"{index}/zoom": np.array([item.view.zoom, item.view.level]),
            f"{index}/rgb": to_bytes(item.rgb),
            f"{index}/depth": item.depth.astype(np.float32),
            f"{index}/fresh": item.fresh,
            f"{index}/intrinsics": np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            f"{index}/pose": camera.camera_to_frame,
        }
    write_arrays(folder, name, arrays)


def read_views(folder: Folder, name: str) -> list[Dreamed]:
    """Read what `write_views` wrote."""
    arrays = read_arrays(folder, name)
    found = []
    for index in range(sum(key.endswith("/name") for key in arrays)):
        part = {key.split("/")[1]: value for key, value in arrays.items() if key.startswith(f"{index}/")}
        height, width = part["depth"].shape
        fx, fy, cx, cy = map(float, part["intrinsics"])
        camera = Camera(width, height, fx, fy, cx, cy, part["pose"])
        view = View(str(part["name"]), int(part["zoom"][1]), float(part["zoom"][0]), camera)
        rgb = part["rgb"].astype(np.float32) / np.float32(255)
        found.append(Dreamed(view, rgb, part["depth"], part["fresh"]))
    return found

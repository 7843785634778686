"""Files of camera paths: COLMAP's text and binary models, nerfstudio's transforms.json, and 3DGS's cameras.json.

All cameras in memory are `core.camera.Camera`: OpenCV axes (x right, y down, z forward), pixel centres at +0.5, as in
COLMAP. The world is that of the file; which axis points up in it is for the caller to know (`USUAL_UP`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CameraFileError
from . import colmap, json_files
from .path import CameraPath, NamedCamera

__all__ = ["COLMAP", "KINDS", "SUFFIXES", "USUAL_UP", "CameraFileError", "CameraPath", "NamedCamera", "read", "write"]

COLMAP, TRANSFORMS, CAMERAS = KINDS = ("colmap", "transforms", "cameras")
"""A folder with cameras.txt, images.txt and points3D.txt; transforms.json; cameras.json."""

SUFFIXES = (".json", ".txt", ".bin")
"""Suffixes of the files by which a path is read: one of COLMAP's stands for its folder."""

USUAL_UP = {COLMAP: "-Y", TRANSFORMS: "Z", CAMERAS: "-Y"}
"""The axis that usually points up, by kind of file."""


def read(path: Path) -> CameraPath:
    """Read a path of cameras: a JSON file, or COLMAP's folder or one of its files.

    Raises:
        CameraFileError: The file is damaged, or its cameras are no pinhole cameras; the message says what is wrong.
        OSError: It can't be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".json" and not path.is_dir():
        found = json_files.read(path)
    else:
        found = colmap.read(path if path.is_dir() else path.parent)
    if not found.cameras:
        raise CameraFileError(f"{path.name} holds no cameras")
    return _numbered(found)


def write(
    path: Path,
    kind: str,
    cameras: Sequence[NamedCamera],
    positions: np.ndarray | None = None,
    rgb: np.ndarray | None = None,
) -> None:
    """Write a path of cameras.

    Args:
        path: The folder of COLMAP's files, which is created, else the JSON file.
        kind: One of `KINDS`.
        cameras: The cameras, in the file's world.
        positions: For COLMAP, points (N, 3) in the same world; none if None.
        rgb: Their sRGB colours (N, 3) in 0..1; grey if None.

    Raises:
        OSError: It can't be written.
    """
    if kind == COLMAP:
        colmap.write(Path(path), cameras, positions, rgb)
    elif kind == TRANSFORMS:
        json_files.write_transforms(Path(path), cameras)
    else:
        json_files.write_cameras(Path(path), cameras)


def _numbered(found: CameraPath) -> CameraPath:
    """The cameras in the order of the numbers in their names, with these as frames, where all have different ones."""
    numbers = [re.findall(r"\d+", Path(item.name).stem) for item in found.cameras]
    if not all(numbers):
        return found
    frames = [int(found_[-1][-9:]) for found_ in numbers]
    if len(set(frames)) < len(frames) or max(frames) > 1_048_574:
        return found
    order = np.argsort(frames)
    return CameraPath([found.cameras[n] for n in order], [frames[n] for n in order], found.kind, found.notes)

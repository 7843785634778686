"""COLMAP's sparse models: cameras, images and points3D, read as text or binary, written as text with PINHOLE cameras.

Formats as documented by COLMAP (Schönberger and Frahm 2016), https://colmap.github.io/format.html: an image's
quaternion wxyz and translation map the world to the camera.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from ..camera import Camera
from ..colour import to_bytes
from ..errors import CameraFileError
from ..quaternions import axes_of
from ..safety import limits
from ..safety.regular_files import read_regular
from .path import CameraPath, NamedCamera, checked_camera, pose_of

MODELS = {
    "SIMPLE_PINHOLE": (0, 3), "PINHOLE": (1, 4), "SIMPLE_RADIAL": (2, 4), "RADIAL": (3, 5), "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8), "FULL_OPENCV": (6, 12), "FOV": (7, 5), "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5), "THIN_PRISM_FISHEYE": (10, 12),
}  # fmt: skip
"""Camera models: number in binary files, and count of parameters."""

ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
"""Models with one focal length, followed by the principal point."""

PINHOLE = ("SIMPLE_PINHOLE", "PINHOLE")
FISHEYE = ("OPENCV_FISHEYE", "FOV", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE")


def write(folder: Path, cameras: Sequence[NamedCamera], positions: np.ndarray | None, rgb: np.ndarray | None) -> None:
    """Write cameras.txt, points3D.txt and images.txt into a folder, which is created. Raises OSError."""
    lenses = list(dict.fromkeys(_lens(item.camera) for item in cameras))
    images = []
    for number, item in enumerate(cameras, 1):
        to_camera = item.camera.rotation.T
        shift = -to_camera @ item.camera.centre
        values = " ".join(repr(float(value)) for value in (*_quaternion(to_camera), *shift))
        images.append(f"{number} {values} {lenses.index(_lens(item.camera)) + 1} {item.name}\n\n")
    lines = [f"{number} PINHOLE {lens}\n" for number, lens in enumerate(lenses, 1)]
    points = []
    if positions is not None and len(positions):
        colours = to_bytes(np.full((len(positions), 3), 0.5, np.float32) if rgb is None else rgb)
        points = [
            f"{number} {x:.9g} {y:.9g} {z:.9g} {r} {g} {b} 0\n"
            for number, ((x, y, z), (r, g, b)) in enumerate(zip(positions.tolist(), colours.tolist()), 1)
        ]
    folder.mkdir(parents=True, exist_ok=True)
    for name, head, rows in (
        ("cameras.txt", "# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy\n", lines),
        ("points3D.txt", "# POINT3D_ID X Y Z R G B ERROR TRACK[]\n", points),
        ("images.txt", "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of POINTS2D[]\n", images),
    ):
        with replacing(folder / name) as file:
            file.write((head + "".join(rows)).encode())


def read(folder: Path) -> CameraPath:
    """Read the cameras of a model, binary where there is one, else text; its points are not read.

    Raises:
        CameraFileError: Files are missing or damaged, or a camera is a fisheye.
        OSError: They can't be read.
    """
    binary = (folder / "images.bin").exists() and (folder / "cameras.bin").exists()
    suffix = ".bin" if binary else ".txt"
    for name in ("cameras", "images"):
        if not (folder / f"{name}{suffix}").exists():
            raise CameraFileError(f"{folder} holds no {name}{suffix}", "Choose the folder of COLMAP's model")
    texts = {name: read_regular(folder / f"{name}{suffix}", limits.REQUEST_BYTES) for name in ("cameras", "images")}
    try:
        lenses = dict(_binary_cameras(texts["cameras"]) if binary else _text_cameras(texts["cameras"]))
        images = list(_binary_images(texts["images"]) if binary else _text_images(texts["images"]))
    except (struct.error, ValueError, IndexError, KeyError, StopIteration) as error:
        raise CameraFileError(f"The COLMAP model in {folder} is damaged: {error}") from None
    distorted = any(model not in PINHOLE for model, _, _ in lenses.values())
    found = [
        NamedCamera(name, _camera(lenses, lens, quaternion, shift, name)) for name, quaternion, shift, lens in images
    ]
    found.sort(key=lambda item: item.name)
    return CameraPath(found, (), "colmap", ("lens distortion is left out",) if distorted else ())


def _lens(camera: Camera) -> str:
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    return f"{camera.width} {camera.height} {' '.join(repr(float(value)) for value in values)}"


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """The unit quaternion wxyz of a rotation matrix (3, 3), in double precision, w >= 0 (Shepperd 1978)."""
    m = rotation
    outer = np.array([
        1 + m[0, 0] + m[1, 1] + m[2, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2],
        1 - m[0, 0] + m[1, 1] - m[2, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2],
    ])  # fmt: skip
    rows = (
        (outer[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]),
        (m[2, 1] - m[1, 2], outer[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]),
        (m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], outer[2], m[1, 2] + m[2, 1]),
        (m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], outer[3]),
    )
    found = np.array(rows[int(np.argmax(outer))])
    return found / np.linalg.norm(found) * (1 if found[0] >= 0 else -1)


def _camera(lenses: dict, lens: int, quaternion: np.ndarray, shift: np.ndarray, name: str) -> Camera:
    if lens not in lenses:
        raise CameraFileError(f"{name[:80]} names camera {lens}, which the model does not have")
    model, size, values = lenses[lens]
    if model in FISHEYE:
        raise CameraFileError(
            f"{name[:80]} was taken with a fisheye lens ({model})", "Undistort the pictures in COLMAP first"
        )
    focal = (values[0], values[0], *values[1:3]) if model in ONE_FOCAL else values[:4]
    length = np.linalg.norm(quaternion)
    if not np.isfinite(length) or length < 1e-6:
        raise CameraFileError(f"The rotation of {name[:80]} is no unit quaternion")
    to_world = np.stack([axis[0] for axis in axes_of((quaternion / length)[None])])  # rows: the inverse's columns
    width, height = size
    return checked_camera(width, height, focal, pose_of(to_world, -to_world @ shift, name), name)


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "replace").splitlines() if not line.startswith("#")]


def _text_cameras(data: bytes) -> Iterator[tuple[int, tuple]]:
    for line in _lines(data):
        if not line.strip():
            continue
        number, model, width, height, *values = line.split()
        if model not in MODELS or len(values) != MODELS[model][1]:
            raise ValueError(f"camera {number} has the unknown model {model[:40]}")
        yield int(number), (model, (float(width), float(height)), [float(value) for value in values])


def _text_images(data: bytes) -> Iterator[tuple]:
    lines = iter(_lines(data))
    for line in lines:
        if not line.strip():
            continue
        parts = line.split(None, 9)
        numbers = [float(value) for value in parts[1:8]]
        yield parts[9].strip(), np.array(numbers[:4]), np.array(numbers[4:]), int(parts[8])
        next(lines, None)  # its points, which may be an empty line


def _taker(data: bytes) -> Callable[[str], tuple]:
    """A function that takes the next values of a layout (`struct`) from the data."""
    position = 0

    def take(layout: str) -> tuple:
        nonlocal position
        found = struct.unpack_from("<" + layout, data, position)
        position += struct.calcsize("<" + layout)
        return found

    return take


def _binary_cameras(data: bytes) -> Iterator[tuple[int, tuple]]:
    take = _taker(data)
    names = {number: (name, count) for name, (number, count) in MODELS.items()}
    (count,) = take("Q")
    for _ in range(count):
        number, model, width, height = take("iiQQ")
        name, parameters = names[model]
        yield number, (name, (width, height), take(f"{parameters}d"))


def _binary_images(data: bytes) -> Iterator[tuple]:
    (count,) = struct.unpack_from("<Q", data)
    position = 8
    for _ in range(count):
        _, *numbers, lens = struct.unpack_from("<i7di", data, position)
        position += struct.calcsize("<i7di")
        end = data.index(b"\0", position)
        name = data[position:end].decode("utf-8", "replace")
        (points,) = struct.unpack_from("<Q", data, end + 1)
        position = end + 9 + 24 * points
        if position > len(data):
            raise ValueError(f"images.bin ends inside {name[:80]}")
        yield name, np.array(numbers[:4]), np.array(numbers[4:]), lens

"""Formats of the files in a job's folder: each writes a value to a path and reads the same value back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from core.camera import Camera
from core.colour import to_bytes
from core.errors import RefusedFile
from core.formats.splat_ply import read_splats, write_splats
from core.safety import bounded_json, limits
from core.safety.bounded_arrays import read_npz
from core.safety.regular_files import open_regular
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.cloud_ply import read_cloud, write_cloud
from dreamzoom.geometry.view import View
from dreamzoom.stages.base.values import DreamedView, FinalPictures, FittedLevel, FittedView

T = TypeVar("T")


@dataclass(frozen=True)
class Format(Generic[T]):
    """The file format for one kind of value.

    Attributes:
        read: Reads the value from a path.
        write: Writes a value to a path. Deterministic: the same value gives the same bytes.
    """

    read: Callable[[Path], T]
    write: Callable[[Path, T], Any]


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) sRGB in 0..1 as an 8-bit PNG."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(rgb)).save(buffer, "png", compress_level=4)
    path.write_bytes(buffer.getvalue())


def read_picture(path: Path) -> np.ndarray:
    """Read what `write_picture` wrote: (H, W, 3) float32 sRGB in 0..1. Raises RefusedFile for anything else."""
    try:
        with open_regular(path, limits.PICTURE_BYTES) as file, Image.open(file, formats=("PNG",)) as picture:
            if picture.width * picture.height > limits.PICTURE_PIXELS or picture.mode != "RGB":
                raise RefusedFile(
                    f"{path.name} is no picture of a job: {picture.width}×{picture.height} {picture.mode}"
                )
            return _unit(np.asarray(picture))
    except RefusedFile:
        raise
    except (Image.DecompressionBombError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise RefusedFile(f"{path.name} is damaged: {error}") from None


def write_arrays(path: Path, arrays: dict[str, np.ndarray], *, compress: bool = True) -> None:
    """Write named arrays as an npz."""
    with path.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an npz; never unpickles. Raises RefusedFile for what is damaged or unpacks to more than is allowed."""
    return read_npz(path)


def write_points(path: Path, cloud: Cloud) -> None:
    """Write a cloud without loss."""
    write_arrays(path, {field.name: getattr(cloud, field.name) for field in fields(Cloud)})


def read_points(path: Path) -> Cloud:
    """Read what `write_points` wrote."""
    return Cloud(**read_arrays(path))


def write_views(path: Path, views: Sequence[DreamedView]) -> None:
    """Write a level's views: pictures (quantised to 8 bits), depths and cameras."""
    arrays: dict[str, np.ndarray] = {}
    for index, item in enumerate(views):
        arrays |= _placed(index, _view_arrays(item.view))
        arrays |= {
            f"{index}/rgb": to_bytes(item.rgb),
            f"{index}/depth": item.depth.astype(np.float32, copy=False),
            f"{index}/fresh": item.fresh,
        }
        arrays |= _placed(index, _camera_arrays(item.view.camera))
    write_arrays(path, arrays)


def read_views(path: Path) -> list[DreamedView]:
    """Read what `write_views` wrote."""
    return [
        DreamedView(_view(part), _unit(part["rgb"]), part["depth"], part["fresh"]) for part in _parts(read_arrays(path))
    ]


def write_fitted(path: Path, level: FittedLevel) -> None:
    """Write a level's fitted views without loss; uncompressed, because the file is read only once or twice."""
    arrays: dict[str, np.ndarray] = {"anchor_fixed": np.array(level.anchor_fixed)}
    for index, item in enumerate(level.views):
        arrays |= _placed(index, _view_arrays(item.dreamed.view) | _camera_arrays(item.dreamed.view.camera))
        arrays |= _placed(index, _fitted_arrays(item))
    write_arrays(path, arrays, compress=False)


def read_fitted(path: Path) -> FittedLevel:
    """Read what `write_fitted` wrote."""
    arrays = read_arrays(path)
    fixed = bool(arrays.pop("anchor_fixed"))
    return FittedLevel([_fitted(part) for part in _parts(arrays)], fixed)


def write_final_pictures(path: Path, final: FinalPictures) -> None:
    """Write the final pictures of a level's views, quantised to 8 bits."""
    arrays = {str(number): to_bytes(picture) for number, picture in enumerate(final.pictures)}
    write_arrays(path, arrays | {"by_difference": np.array(final.by_difference)})


def read_final_pictures(path: Path) -> FinalPictures:
    """Read what `write_final_pictures` wrote."""
    arrays = read_arrays(path)
    by_difference = bool(arrays.pop("by_difference"))
    return FinalPictures([_unit(arrays[str(number)]) for number in range(len(arrays))], by_difference)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON. Raises ValueError for NaN and infinities."""
    path.write_bytes((json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote. Raises ValueError for invalid JSON."""
    return bounded_json.read_json(path, limits.RESULT_BYTES)


PICTURES: Format[np.ndarray] = Format(read_picture, write_picture)
ARRAYS: Format[dict[str, np.ndarray]] = Format(read_arrays, write_arrays)
POINTS: Format[Cloud] = Format(read_points, write_points)
VIEWS: Format[list[DreamedView]] = Format(read_views, write_views)
FITTED: Format[FittedLevel] = Format(read_fitted, write_fitted)
FINAL_PICTURES: Format[FinalPictures] = Format(read_final_pictures, write_final_pictures)
SPLATS = Format(read_splats, write_splats)
CLOUDS = Format(read_cloud, write_cloud)
JSON: Format[Any] = Format(read_json, write_json)


def _unit(bytes_: np.ndarray) -> np.ndarray:
    """Convert 8-bit values to float32 in 0..1."""
    return bytes_.astype(np.float32) / np.float32(255)


def _placed(index: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of one view, their names prefixed with its index."""
    return {f"{index}/{name}": array for name, array in arrays.items()}


def _parts(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Split the arrays by view; the inverse of `_placed`."""
    count = sum(key.endswith("/name") for key in arrays)
    return [
        {key.split("/")[1]: value for key, value in arrays.items() if key.startswith(f"{index}/")}
        for index in range(count)
    ]


def _view_arrays(view: View) -> dict[str, np.ndarray]:
    return {"name": np.array(view.name), "zoom": np.array([view.zoom, view.level])}


def _camera_arrays(camera: Camera) -> dict[str, np.ndarray]:
    return {
        "intrinsics": np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        "pose": camera.camera_to_frame,
    }


def _view(part: dict[str, np.ndarray]) -> View:
    height, width = part["depth"].shape
    fx, fy, cx, cy = map(float, part["intrinsics"])
    camera = Camera(width, height, fx, fy, cx, cy, part["pose"])
    return View(str(part["name"]), int(part["zoom"][1]), float(part["zoom"][0]), camera)


def _fitted_arrays(item: FittedView) -> dict[str, np.ndarray]:
    rgb, exact = item.dreamed.rgb, to_bytes(item.dreamed.rgb)
    masks = [item.dreamed.fresh, item.covered, item.edges.right, item.edges.down, item.edges.mixed]
    masks += [np.zeros_like(item.covered) if mask is None else mask for mask in (item.given, item.measured)]
    return {
        "rgb": exact if np.array_equal(_unit(exact), rgb) else rgb.astype(np.float32, copy=False),
        "depth": item.dreamed.depth.astype(np.float32, copy=False),
        "correction": item.correction.astype(np.float32, copy=False),
        "confidence": item.confidence.astype(np.float32, copy=False),
        "masks": np.packbits(np.stack(masks)),
        "edges": np.array([item.edges.noise, item.edges.threshold]),
        "behind": np.array(item.behind),
    }


def _fitted(part: dict[str, np.ndarray]) -> FittedView:
    from dreamzoom.geometry.depth_edges import Edges  # imports numba, which takes a second

    shape = part["depth"].shape
    bits = np.unpackbits(part["masks"], count=7 * shape[0] * shape[1]).astype(bool)
    fresh, covered, right, down, mixed, *own = bits.reshape(7, *shape)
    given, measured = (mask if mask.any() else None for mask in own)
    noise, threshold = map(float, part["edges"])
    rgb = part["rgb"] if part["rgb"].dtype == np.float32 else _unit(part["rgb"])
    dreamed = DreamedView(_view(part), rgb, part["depth"], fresh)
    edges = Edges(right, down, mixed, noise, threshold)
    correction, confidence, behind = part["correction"], part["confidence"], bool(part["behind"])
    return FittedView(dreamed, covered, correction, confidence, edges, behind, given, measured)

"""Splats into GLB files, as KHR_gaussian_splatting demands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic_files import replacing
from ...colour import srgb_to_linear, to_bytes
from ...errors import SplatFileError
from ...gaussians import Gaussians
from ..format import About
from .container import CHUNK, HEADER, MAGIC
from .reading import EXTENSION

FLOAT, BYTE = 5126, 5121
MOST_BYTES = (1 << 32) - (1 << 24)
"""What the 32-bit sizes of a GLB allow for data."""


def write_splats(path: Path, splats: Gaussians, about: About = About()) -> None:  # noqa: B008
    """Write a GLB file: all values in single precision, harmonics to degree 3, the origin as the node's translation.

    Points of the mean colours stand in for the splats where the extension is not known. `extra` is lost.

    Args:
        path: The file.
        splats: With y up.
        about: Origin and anti-aliasing.

    Raises:
        SplatFileError: There are no splats, or more than a GLB can hold.
        OSError: The folder can't be written.
    """
    name = Path(path).name
    if not len(splats):
        raise SplatFileError(f"{name}: a GLB can't hold no splats at all")
    attributes = _attributes(splats)
    if sum(values.nbytes for values in attributes.values()) > MOST_BYTES:
        raise SplatFileError(f"{name}: {len(splats):,} splats are more than a GLB can hold", "write a PLY or SPZ")
    views, accessors, place = [], [], 0
    for values in attributes.values():
        views.append({"buffer": 0, "byteOffset": place, "byteLength": values.nbytes, "target": 34962})
        accessors.append(_accessor(len(views) - 1, values))
        place += values.nbytes
    accessors[0] |= {end: [float(x) for x in limit(attributes["POSITION"], 0)] for end, limit in _ENDS.items()}
    primitive: dict[str, Any] = {
        "attributes": {key: index for index, key in enumerate(attributes)},
        "mode": 0,
        "extensions": {EXTENSION: _DESCRIPTION},
    }
    if about.antialiased:
        primitive["extras"] = {"antialiased": True}
    node: dict[str, Any] = {"mesh": 0, "name": Path(path).stem}
    if about.is_far:
        node["translation"] = [float(x) for x in about.origin]
    document = {
        "asset": {"version": "2.0", "generator": "Dreamzoom"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": place}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    with replacing(path) as file:
        file.write(HEADER.pack(MAGIC, 2, HEADER.size + 2 * CHUNK.size + len(text) + place))
        file.write(CHUNK.pack(len(text), b"JSON") + text)
        file.write(CHUNK.pack(place, b"BIN\0"))
        for values in attributes.values():
            file.write(values.data)


_ENDS = {"min": np.min, "max": np.max}
_DESCRIPTION = {
    "kernel": "ellipse",
    "colorSpace": "srgb_rec709_display",
    "sortingMethod": "cameraDistance",
    "projection": "perspective",
}


def _attributes(splats: Gaussians) -> dict[str, np.ndarray]:
    """The values of each attribute, (N, width) contiguous."""
    linear = srgb_to_linear(np.clip(splats.rgb, 0, 1))
    colour = to_bytes(np.concatenate([linear, splats.opacities[:, None]], -1))
    found = {
        "POSITION": splats.means,
        "COLOR_0": colour,
        f"{EXTENSION}:ROTATION": splats.quaternions[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": np.exp(splats.log_scales),
        f"{EXTENSION}:OPACITY": splats.opacities[:, None],
    }
    for index in range(min(splats.sh.shape[1], 16)):
        degree = int(index**0.5)
        found[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index - degree * degree}"] = splats.sh[:, index]
    return {
        key: np.ascontiguousarray(values, np.uint8 if values.dtype == np.uint8 else "<f4")
        for key, values in found.items()
    }


def _accessor(view: int, values: np.ndarray) -> dict[str, Any]:
    kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
    accessor = {"bufferView": view, "componentType": FLOAT, "count": len(values), "type": kinds[values.shape[1]]}
    return accessor | ({"componentType": BYTE, "normalized": True} if values.dtype == np.uint8 else {})

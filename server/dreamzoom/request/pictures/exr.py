"""EXR files: the layer that is the picture or the depth, chosen by the names that renderers give their layers.

Names of channels are `layer.channel` or just `channel`; a layer's name may have parts (`ViewLayer.Combined.left`). In
files of several parts the layer's name may be the part's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.safety import limits
from dreamzoom.request.pictures.checks import check_ratio, check_size
from dreamzoom.request.pictures.decoded import Decoded, from_light
from dreamzoom.request.pictures.exr_header import Box, Channel, Part, read_header

_FINAL = ("composite.combined", "combined", "composite", "beauty", "rgba", "rgb", "finalimage", "final", "ci", "c")
_FINAL += ("main", "master", "color", "colour", "image", "default", "masterlayer")
"""Names of the layer that is the finished picture, best first: Blender, Arnold, RenderMan, Houdini, Unreal, Nuke."""

_OTHER = ("ao", "ambientocclusion", "normal", "position", "vector", "uv", "depth", "mist", "emit", "env", "shadow")
_OTHER += ("diff", "gloss", "trans", "volume", "sub", "crypto", "index", "albedo", "denois", "noisy", "light", "spec")
_OTHER += ("reflect", "refract", "gi", "motion", "material", "object", "id", "mask", "matte", "debug", "freestyle")
_OTHER += ("shading", "sss", "sheen", "coat", "direct", "indirect", "background", "variance", "bump")
"""Beginnings of the names of layers that are not the finished picture."""

_DEPTH = ("depth", "z", "zdepth", "vrayzdepth", "pz", "depthz", "worlddepth", "distance", "p_z", "zbuffer")
"""Names of a layer that is the depth."""

_DEPTH_CHANNELS = ("Z", "V", "DEPTH", "Y", "R", "X")
_VIEWS = ("left", "right")
_ERRORS = (RuntimeError, OSError, ValueError, TypeError, LookupError, MemoryError, OverflowError)


@dataclass(frozen=True)
class Layer:
    """Channels of one part that belong together.

    Attributes:
        name: The layer's full name, empty for channels without one.
        part: Index of the part.
        channels: By the last part of their name in capitals: "R", "Z".
    """

    name: str
    part: int
    channels: dict[str, Channel]

    @property
    def shown(self) -> str:
        """The name for messages."""
        return self.name or ", ".join(channel.name for channel in self.channels.values())

    @property
    def words(self) -> list[str]:
        """The parts of the name in small letters without punctuation, and without the view of a stereo picture."""
        words = ["".join(c for c in word.lower() if c.isalnum() or c == "_") for word in self.name.split(".")]
        return [word for word in words if word and word not in _VIEWS]


def read_exr(path: Path, field: str) -> Decoded:
    """The picture of an EXR file, in linear light.

    Raises:
        BadRequest: The file is damaged, cut off or too large, or has no picture.
    """
    parts = read_header(path, field)
    layers = _layers(parts)
    layer = _picture_layer(layers)
    if layer is None:
        chroma = any("RY" in one.channels for one in layers)
        wanted = "channels R, G, B, not luminance and chroma" if chroma else "channels R, G, B or Y"
        raise BadRequest(field, f"{path.name} must have {wanted}; it has {_names(layers)}")
    rgb = [layer.channels[name] for name in ("RGB" if "R" in layer.channels else "Y")]
    alpha = layer.channels.get("A")
    chosen = [*rgb, alpha] if alpha else rgb
    values = _read(path, field, parts, layer.part, chosen)
    window = _placed(parts[layer.part])
    values = [_in_window(value, parts[layer.part], window) for value in values]
    notes = _notes(layer, layers, "picture") + _window_notes(parts[layer.part], window)
    return from_light(values[: len(rgb)], values[-1] if alpha else None, notes=notes)


def exr_size(path: Path, field: str) -> tuple[int, int]:
    """Width and height of the picture of an EXR file. Raises BadRequest as `read_exr`."""
    picture = read_exr(path, field)
    return picture.width, picture.height


def read_exr_depth(path: Path, field: str) -> tuple[np.ndarray, list[str]]:
    """The depth of an EXR file as stored, (H, W) float32, and notes.

    Raises:
        BadRequest: The file is damaged, cut off or too large, or has no depth.
    """
    parts = read_header(path, field)
    layers = _layers(parts)
    found = _depth_layer(layers)
    if found is None:
        raise BadRequest(field, f"{path.name} must have a channel Z or a layer Depth; it has {_names(layers)}")
    layer, channel = found
    (values,) = _read(path, field, parts, layer.part, [channel])
    window = _placed(parts[layer.part])
    notes = _notes(layer, layers, "depth") + _window_notes(parts[layer.part], window)
    values = values.astype(np.float32)
    if channel.bytes == 2:
        values = np.where(values >= np.finfo(np.float16).max, np.float32(np.inf), values)
    return _in_window(values, parts[layer.part], window), notes


def _layers(parts: Sequence[Part]) -> list[Layer]:
    found: dict[tuple[int, str], dict[str, Channel]] = {}
    for index, part in enumerate(parts):
        for channel in part.channels:
            name, _, last = channel.name.rpartition(".")
            name = name or (part.name if len(parts) > 1 else "")
            found.setdefault((index, name), {})[last.upper()] = channel
    return [Layer(name, index, channels) for (index, name), channels in found.items()]


def _picture_layer(layers: Sequence[Layer]) -> Layer | None:
    """The finished picture among the layers: by name, then the unnamed channels, then any that is no known pass."""
    coloured = [layer for layer in layers if {"R", "G", "B"} <= layer.channels.keys()]
    grey = [layer for layer in layers if layer.channels.keys() <= {"Y", "A"} and "Y" in layer.channels]
    candidates = coloured or grey
    return min(candidates, key=_picture_rank) if candidates else None


def _picture_rank(layer: Layer) -> tuple[int, int]:
    words = layer.words
    if not words:
        return 0, 0
    for number, name in enumerate(_FINAL):
        if ".".join(words).endswith(name) and name.split(".") == words[-len(name.split(".")) :]:
            return 1, number
    passes = any(word.startswith(_OTHER) for word in words[-1:])
    return 3 if passes else 2, 0


def _depth_layer(layers: Sequence[Layer]) -> tuple[Layer, Channel] | None:
    """The depth among the layers: a layer named so, an unnamed Z, else the only channel or an unnamed picture's."""
    named = [layer for layer in layers if layer.words and layer.words[-1] in _DEPTH]
    for layer in sorted(named, key=lambda one: _DEPTH.index(one.words[-1])):
        channel = next((layer.channels[name] for name in _DEPTH_CHANNELS if name in layer.channels), None)
        if channel is not None or len(layer.channels) == 1:
            return layer, channel or next(iter(layer.channels.values()))
    plain = [layer for layer in layers if not layer.words]
    for layer in plain:
        if "Z" in layer.channels or "DEPTH" in layer.channels:
            return layer, layer.channels.get("Z") or layer.channels["DEPTH"]
    if sum(len(layer.channels) for layer in layers) == 1:
        return layers[0], next(iter(layers[0].channels.values()))
    for layer in plain if len(layers) == 1 else ():
        channel = next((layer.channels[name] for name in _DEPTH_CHANNELS if name in layer.channels), None)
        if channel is not None:
            return layer, channel
    return None


def _names(layers: Sequence[Layer]) -> str:
    names = [channel.name for layer in layers for channel in layer.channels.values()]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _notes(layer: Layer, layers: Sequence[Layer], what: str) -> list[str]:
    if len(layers) == 1:
        return []
    others = [one.shown for one in layers if one is not layer]
    listed = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "")
    return [f"the {what} is its layer {layer.shown}; it also has {listed}"]


def _read(path: Path, field: str, parts: Sequence[Part], index: int, channels: Sequence[Channel]) -> list[np.ndarray]:
    """The chosen channels of a part, each (H, W) over the data window."""
    part, name = parts[index], path.name
    width, height = part.size
    check_size(name, field, width, height, limits.PICTURE_FLOAT_PIXELS)
    everything = sum(channel.bytes for channel in part.channels) * width * height
    check_ratio(name, field, width * height, everything, path.stat().st_size)
    if any(channel.sampling != (1, 1) for channel in channels):
        raise BadRequest(field, f"{name} has channels of reduced resolution; save it as RGB first")
    try:
        if len(parts) == 1:
            return _read_single(path, part, channels)
        return _read_multipart(path, field, parts, index, channels)
    except _ERRORS as error:
        raise BadRequest(field, f"{name} can't be read as EXR: {_first_line(error)}") from None


def _read_single(path: Path, part: Part, channels: Sequence[Channel]) -> list[np.ndarray]:
    """Channels of a file of one part, without the others."""
    import OpenEXR

    width, height = part.size
    file = OpenEXR.InputFile(str(path))
    try:
        if not file.isComplete():
            raise ValueError("it is cut off")
        raw = file.channels([channel.name for channel in channels])
        types = file.header()["channels"]
    finally:
        file.close()
    kinds = {"HALF": np.float16, "FLOAT": np.float32, "UINT": np.uint32}
    return [
        np.frombuffer(data, kinds[str(types[channel.name].type)]).reshape(height, width)
        for channel, data in zip(channels, raw, strict=True)
    ]


def _read_multipart(path: Path, field: str, parts: Sequence[Part], index: int, channels: Sequence[Channel]):
    """Channels of a file of several parts. The library reads all parts at once, so their sum is limited too."""
    import OpenEXR

    total = sum(part.size[0] * part.size[1] * sum(channel.bytes for channel in part.channels) for part in parts)
    check_ratio(path.name, field, limits.PICTURE_BOMB_PIXELS + 1 if total > 2**27 else 0, total, path.stat().st_size)
    if total > limits.ARRAY_BYTES:
        raise BadRequest(field, f"{path.name} has {total / 1e9:.1f} GB in all its parts; save the picture alone")
    with OpenEXR.File(str(path), separate_channels=True) as file:
        found = file.parts[index].channels
        return [np.asarray(found[channel.name].pixels) for channel in channels]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _placed(part: Part) -> Box:
    """The window that the picture fills: the display window, if it is of sensible size and meets the data window."""
    left, top, right, bottom = part.display
    width, height = right - left + 1, bottom - top + 1
    meets = left <= part.data[2] and right >= part.data[0] and top <= part.data[3] and bottom >= part.data[1]
    sensible = 0 < width <= limits.PICTURE_SIDE and 0 < height <= limits.PICTURE_SIDE
    if not (meets and sensible and width * height <= limits.PICTURE_FLOAT_PIXELS):
        return part.data
    return part.display


def _in_window(values: np.ndarray, part: Part, window: Box) -> np.ndarray:
    """Values (h, w) of the data window placed in another one (H, W), NaN around them; cut where they lie outside."""
    if window == part.data:
        return values
    width, height = window[2] - window[0] + 1, window[3] - window[1] + 1
    kind = values.dtype if values.dtype.kind == "f" else np.float32
    wide = np.full((height, width), np.nan, kind)
    left, top = max(window[0], part.data[0]), max(window[1], part.data[1])
    right, bottom = min(window[2], part.data[2]) + 1, min(window[3], part.data[3]) + 1
    x, y = part.data[:2]
    wide[top - window[1] : bottom - window[1], left - window[0] : right - window[0]] = values[
        top - y : bottom - y, left - x : right - x
    ]
    return wide


def _window_notes(part: Part, window: Box) -> list[str]:
    if window == part.data:
        return []
    width, height = part.size
    return [
        f"its data window of {width}×{height} pixels was placed in its display window of "
        f"{window[2] - window[0] + 1}×{window[3] - window[1] + 1}; what it does not cover is unknown"
    ]

"""The request: its structure, its limits, and the errors that name a field. What passes here is safe to run."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from dreamzoom.camera import Camera
from dreamzoom.errors import BadRequest
from dreamzoom.path import Key, ZoomPath

VERSION = 1
MAX_REQUEST_BYTES = 64 << 20

Prompt = Annotated[str, Meta(max_length=4000, description="What this level shows, in any language.")]
Number = float
Row4 = Annotated[list[Number], Meta(min_length=4, max_length=4)]
Row3 = Annotated[list[Number], Meta(min_length=3, max_length=3)]
Size = Annotated[int, Meta(ge=16, le=8192)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


class Level(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One power of the zoom."""

    prompt: Prompt
    negative_prompt: Prompt = ""
    image: (
        Annotated[str, Meta(min_length=1, max_length=4096, description="Path of a picture of this level.")] | None
    ) = None
    depth: (
        Annotated[
            str,
            Meta(max_length=4096, description="Path of the picture's z-depth: 16-bit PNG, EXR or npy. Level 0 only."),
        ]
        | None
    ) = None
    seed: Seed | None = None
    focus: Annotated[Row3, Meta(description="Where the next level's centre lies, in this level's frame.")] | None = None


class CameraKey(Struct, forbid_unknown_fields=True):
    """A camera of the path, OpenCV axes (x right, y down, z forward), in the gauge; intrinsics in pixels."""

    frame: Annotated[int, Meta(ge=-1048574, le=1048574)]
    zoom: Number
    camera_to_gauge: Annotated[list[Row4], Meta(min_length=4, max_length=4, description="4×4, row-major, rigid.")]
    fx: Number
    fy: Number
    cx: Number
    cy: Number


class ProceduralEngine(Struct, forbid_unknown_fields=True, tag_field="name", tag="procedural"):
    """A world in closed form, steered by the words of the prompts."""

    distortion: Annotated[bool, Meta(description="Distort the depth as monocular depth models do.")] = True


Engine = ProceduralEngine


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """A job: what to dream along which path."""

    version: Literal[1] = 1
    seed: Seed = 0
    quality: Literal["draft", "preview", "final"] = "preview"
    engine: Engine = msgspec.field(default_factory=ProceduralEngine)
    zoom_factor: Annotated[float, Meta(description="p: how much larger the world appears per level, 1.25 to 16.")] = 2.0
    levels: Annotated[list[Level], Meta(min_length=1, max_length=64)]
    cameras: Annotated[list[CameraKey], Meta(min_length=1, max_length=100_000)]
    width: Size = 512
    height: Size = 512

    def path(self) -> ZoomPath:
        """The path in float64."""
        focuses = np.array([level.focus or (0.0, 0.0, 0.0) for level in self.levels], np.float64)
        keys = sorted(self.cameras, key=lambda key: key.frame)
        return ZoomPath(self.zoom_factor, focuses, tuple(Key(key.frame, key.zoom, self._camera(key)) for key in keys))

    def level_seed(self, level: int) -> int:
        """The level's own seed, or one drawn from the job's."""
        own = self.levels[level].seed
        return own if own is not None else (self.seed * 1_000_003 + level * 7919) % 2**32

    def _camera(self, key: CameraKey) -> Camera:
        pose = np.array(key.camera_to_gauge, np.float64)
        return Camera(self.width, self.height, key.fx, key.fy, key.cx, key.cy, pose)


def decode_request(data: bytes) -> Request:
    """Read and check a request.

    Raises:
        BadRequest: It names the field and what it must be.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise BadRequest("request", f"must be at most {MAX_REQUEST_BYTES >> 20} MB of JSON, got {len(data) >> 20} MB")
    try:
        raw = json.loads(data)  # it reads NaN and Infinity too, so that the check below can name the field
    except (ValueError, RecursionError) as error:
        raise BadRequest("request", f"must be valid JSON in UTF-8: {error}") from None
    return convert_request(raw)


def convert_request(raw: Any) -> Request:
    """Check a request that is already decoded from JSON. Raises BadRequest."""
    for name, value in _numbers(raw, ""):
        if not math.isfinite(value):
            raise BadRequest(name or "request", f"must be a finite number, got {value}")
    try:
        request = msgspec.convert(raw, Request)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    _check(request)
    return request


def request_schema() -> dict[str, Any]:
    """The request's JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(Request)


def _named(text: str) -> BadRequest:
    """Turn msgspec's message into the field and what it must be."""
    message, _, place = text.partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    found = re.search(r"(?:missing required|unknown) field `([^`]+)`", message)
    if found:
        place = f"{place}.{found[1]}" if place else found[1]
        message = "is required" if "missing" in message else "is not a field of the request; remove it"
    else:
        message = message.replace("Expected", "must be", 1) if message.startswith("Expected") else message
    return BadRequest(place or "request", message)


def _check(request: Request) -> None:
    """What types alone can't say: finite numbers, rigid cameras, sensible zooms."""
    if not 1.25 <= request.zoom_factor <= 16:
        raise BadRequest("zoom_factor", f"must be from 1.25 to 16, got {request.zoom_factor}")
    if request.width * request.height > 4096 * 4096:
        raise BadRequest(
            "width", f"times height must be at most 4096·4096 pixels, got {request.width}×{request.height}"
        )
    for index, level in enumerate(request.levels):
        if level.depth is not None and (index or level.image is None):
            raise BadRequest(f"levels[{index}].depth", "is only for level 0, beside its image")
        if level.focus is not None and max(map(abs, level.focus)) > 1:
            raise BadRequest(f"levels[{index}].focus", "must lie within 1 unit of this level's centre on each axis")
    frames = set()
    for index, key in enumerate(request.cameras):
        _check_camera(f"cameras[{index}]", key, request)
        if key.frame in frames:
            raise BadRequest(f"cameras[{index}].frame", f"must be there once, got {key.frame} twice")
        frames.add(key.frame)


def _check_camera(name: str, key: CameraKey, request: Request) -> None:
    if not -1 <= key.zoom <= len(request.levels):
        raise BadRequest(
            f"{name}.zoom", f"must be from -1 to {len(request.levels)}, the count of levels, got {key.zoom}"
        )
    for field in ("fx", "fy"):
        focal = getattr(key, field)
        if not 1 <= focal <= 1e6:
            raise BadRequest(f"{name}.{field}", f"must be a focal length from 1 to 1000000 pixels, got {focal}")
    for field, size in (("cx", request.width), ("cy", request.height)):
        if abs(getattr(key, field)) > 16 * size:
            raise BadRequest(f"{name}.{field}", f"must be within 16 picture sizes, got {getattr(key, field)}")
    pose = np.array(key.camera_to_gauge, np.float64)
    rotation = pose[:3, :3]
    if not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-9):
        raise BadRequest(f"{name}.camera_to_gauge", "must have the last row 0 0 0 1")
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise BadRequest(f"{name}.camera_to_gauge", "must be a rotation and a shift, without scale, shear or mirror")
    if np.abs(pose[:3, 3]).max() > 1e4:
        raise BadRequest(f"{name}.camera_to_gauge", "must keep the camera within 10000 units of the focus")


def _numbers(value: Any, name: str):
    """Every float below `value` with its path."""
    if isinstance(value, float):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{name}[{index}]")

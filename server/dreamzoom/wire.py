"""The request: its structure, its limits, and the errors that name a field. What passes here is safe to run."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from core.camera import Camera
from core.errors import BadRequest
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.refusal import got, refusal, spoken

VERSION = 1
MAX_REQUEST_BYTES = 64 << 20

Prompt = Annotated[str, Meta(max_length=4000, description="What this level shows, in any language.")]
Number = float
Row4 = Annotated[list[Number], Meta(min_length=4, max_length=4)]
Row3 = Annotated[list[Number], Meta(min_length=3, max_length=3)]
Size = Annotated[int, Meta(ge=16, le=8192)]
Focal = Annotated[float, Meta(ge=1, le=1e6, description="Focal length in pixels.")]
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
    assets: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=4096)]],
        Meta(max_length=16, description="Paths of 3DGS PLYs of the artist's own objects, in this level's frame."),
    ] = []
    focus: Annotated[Row3, Meta(description="Where the next level's centre lies, in this level's frame.")] | None = None


class CameraKey(Struct, forbid_unknown_fields=True):
    """A camera of the path, OpenCV axes (x right, y down, z forward), in the gauge; intrinsics in pixels."""

    frame: Annotated[int, Meta(ge=-1048574, le=1048574)]
    zoom: Number
    camera_to_gauge: Annotated[list[Row4], Meta(min_length=4, max_length=4, description="4×4, row-major, rigid.")]
    fx: Focal
    fy: Focal
    cx: Number
    cy: Number


class ProceduralEngine(Struct, forbid_unknown_fields=True, tag_field="name", tag="procedural"):
    """A world in closed form, steered by the words of the prompts."""

    distortion: Annotated[bool, Meta(description="Distort the depth as monocular depth models do.")] = True


Refine = Annotated[
    bool | None,
    Meta(
        description="Sample all levels and side views once more, agreeing through their depth; "
        "if absent, unless the quality is draft."
    ),
]


class SpectralEngine(Struct, forbid_unknown_fields=True, tag_field="name", tag="spectral"):
    """Textures as Gaussian fields in closed form, denoised exactly; needs no weights."""

    contrast: Annotated[float, Meta(ge=0, le=0.5, description="Standard deviation of a picture's colours.")] = 0.12
    relief: Annotated[float, Meta(ge=0, le=2, description="How high bright places stand, in units of a level.")] = 0.2
    steps: Annotated[int, Meta(ge=1, le=1000, description="Denoising steps a level.")] = 40
    refine: Refine = None


Place = Annotated[str, Meta(max_length=4096)]


class Lora(Struct, forbid_unknown_fields=True):
    """A change to a model's weights, in a file of its own."""

    file: Annotated[str, Meta(min_length=1, max_length=4096, description="Path of a .safetensors file.")]
    weight: Annotated[float, Meta(ge=-4, le=4, description="How much of it.")] = 1.0


class DiffusionEngine(Struct, forbid_unknown_fields=True, omit_defaults=True, tag_field="name", tag="diffusion"):
    """Diffusion models that lie on this machine: one paints, one tells depth."""

    model: Annotated[
        Place, Meta(description="Folder or owner/name of a picture model; empty for the best there is.")
    ] = ""
    depth_model: Annotated[Place, Meta(description="Folder or owner/name of a depth model; empty likewise.")] = ""
    loras: Annotated[list[Lora], Meta(max_length=8, description="Added to the picture model.")] = []
    style: Annotated[Prompt, Meta(description="Put behind every prompt.")] = ""
    steps: Annotated[int, Meta(ge=1, le=500, description="Denoising steps; the model's own if absent.")] | None = None
    guidance: Annotated[float, Meta(ge=0, le=50, description="How closely to follow the prompt.")] | None = None
    level_guidance: Annotated[
        list[Annotated[float, Meta(ge=0, le=50)] | None],
        Meta(max_length=64, description="Instead, one a level; null for `guidance`."),
    ] = []
    scheduler: Literal["auto", "ddpm", "ddim", "dpm++", "euler", "lcm"] = "auto"
    joint: Annotated[bool, Meta(description="Sample all levels together, where the model can.")] = True
    refine: Refine = None
    detail: Annotated[float, Meta(ge=0.05, le=1, description="How freely coarse pixels are painted anew.")] = 0.55
    blend_every: (
        Annotated[
            int,
            Meta(ge=1, le=50, description="Steps after which decoded levels agree; once an octave of noise if absent."),
        ]
        | None
    ) = None
    batch: Annotated[int, Meta(ge=1, le=32, description="Latents in one call of the network.")] = 2
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    offload: Annotated[
        Literal["auto", "none", "model", "sequential"], Meta(description="What stays in main memory while not used.")
    ] = "auto"


Engine = ProceduralEngine | SpectralEngine | DiffusionEngine


Preset = Literal["straight", "rotate360", "lookaround", "lookdown", "back_and_forth", "llff", "headbanging"]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """A job: what to dream along which path."""

    version: Literal[1] = 1
    seed: Seed = 0
    quality: Literal["draft", "preview", "final"] = "preview"
    engine: Engine = msgspec.field(default_factory=ProceduralEngine)
    zoom_factor: Annotated[
        float, Meta(ge=1.25, le=16, description="p: how much larger the world appears per level.")
    ] = 2.0
    levels: Annotated[list[Level], Meta(min_length=1, max_length=64)]
    loop: Annotated[bool, Meta(description="After the last level comes the first again; takes two or more.")] = False
    cameras: Annotated[list[CameraKey], Meta(max_length=100_000, description="The path; left out with a preset.")] = (
        msgspec.field(default_factory=list)
    )
    preset: Annotated[Preset | None, Meta(description="A ready path, in place of cameras.")] = None
    width: Size = 512
    height: Size = 512

    def path(self) -> ZoomPath:
        """The path in float64."""
        focuses = np.array([level.focus or (0.0, 0.0, 0.0) for level in self.levels], np.float64)
        if self.preset is not None:
            from dreamzoom.geometry.views import ready_path

            keys = ready_path(self.preset, self.width, self.height, len(self.levels))
            return ZoomPath(self.zoom_factor, focuses, tuple(keys), loop=self.loop)
        keys = sorted(self.cameras, key=lambda key: key.frame)
        placed = tuple(Key(key.frame, key.zoom, self._camera(key)) for key in keys)
        return ZoomPath(self.zoom_factor, focuses, placed, loop=self.loop)

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
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequest("request", f"must be valid JSON; {error.msg} at {place} of {len(data)} bytes") from None
    except RecursionError:
        raise BadRequest("request", "must be valid JSON; it is nested too deeply") from None
    except ValueError as error:
        raise BadRequest("request", f"must be valid JSON in UTF-8; {error}") from None
    return convert_request(raw)


def convert_request(raw: Any) -> Request:
    """Check a request that is already decoded from JSON. Raises BadRequest."""
    _check_values(raw)
    try:
        request = msgspec.convert(raw, Request)
    except msgspec.ValidationError as error:
        raise refusal(str(error), raw, request_schema()) from None
    _check(request)
    _check_cameras(request)
    return request


def encode_request(request: Request) -> bytes:
    """The request as JSON, in the one form that equal requests share."""
    return msgspec.json.format(msgspec.json.encode(request), indent=1) + b"\n"


def request_schema() -> dict[str, Any]:
    """The request's JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(Request)


def _check_values(raw: Any) -> None:
    """What types don't say: every number is finite, every text is Unicode. Walks any depth."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), [raw])]  # a path is (its parent's path, key)
    while waiting:
        path, holder = waiting.pop()
        deeper = []
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(value, (dict, list)):
                deeper.append(((path, key), value))
            elif isinstance(value, float) and not math.isfinite(value):
                raise BadRequest(_spoken((path, key)), f"must be a finite number; got {value}")
            elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
                raise BadRequest(_spoken((path, key)), "must be text in Unicode; it holds half of a surrogate pair")
        waiting += reversed(deeper)


def _spoken(path: tuple[Any, ...]) -> str:
    keys = []
    while path:
        path, key = path
        keys.append(key)
    return spoken(keys[:-1][::-1][:16])  # the outermost is the list around the request


def _check(request: Request) -> None:
    """What the types of single fields can't say."""
    width, height = request.width, request.height
    if width * height > 4096 * 4096:
        raise BadRequest("width", f"times height must be at most 4096·4096 pixels; got {width}×{height}")
    if not request.cameras and request.preset is None:
        raise BadRequest("cameras", "is required, with 1 to 100000 entries, unless `preset` names a ready path")
    if request.cameras and request.preset is not None:
        raise BadRequest("preset", "must be left out where there are cameras")
    if request.loop and len(request.levels) < 2:
        raise BadRequest("loop", "must be false: a loop takes two levels or more")
    for index, level in enumerate(request.levels):
        if level.depth is not None and (index or level.image is None):
            raise BadRequest(f"levels[{index}].depth", "must be left out: it is only for level 0, beside its image")
        if level.focus is not None and max(map(abs, level.focus)) > 1:
            raise BadRequest(
                f"levels[{index}].focus",
                f"must be 3 numbers from -1 to 1: it lies within its level's picture; got {_row(level.focus)}",
            )


def _check_cameras(request: Request) -> None:
    """Rigid poses, sensible zooms, each frame once. All cameras at a time: there may be 100 000."""
    keys = request.cameras
    if not keys:
        return
    poses = np.array([key.camera_to_gauge for key in keys], np.float64)
    rotations = poses[:, :3, :3]
    zooms = np.array([key.zoom for key in keys])
    count = len(request.levels)
    _refuse("zoom", (zooms < -1) | (zooms > count), f"must be from -1 to {count}, the count of levels", zooms)
    for field, size in (("cx", request.width), ("cy", request.height)):
        values = np.array([getattr(key, field) for key in keys])
        _refuse(field, np.abs(values) > 16 * size, "must be within 16 picture sizes of the picture", values)
    last = np.abs(poses[:, 3] - (0, 0, 0, 1)).max(1) > 1e-9
    _refuse("camera_to_gauge[3]", last, "must be 0, 0, 0, 1, as in every pose", poses[:, 3])
    far = np.abs(poses[:, :3, 3]).max(1)
    _refuse("camera_to_gauge", far > 1e4, "must keep the camera within 10000 units of the focus", far)
    with np.errstate(over="ignore", invalid="ignore"):
        skew = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
        wrong = ~(skew < 1e-4) | ~(np.linalg.det(rotations) > 0)
    _refuse("camera_to_gauge", wrong, "must be a rotation and a shift, without scale, shear or mirror")
    first: dict[int, int] = {}
    for index, key in enumerate(keys):
        before = first.setdefault(key.frame, index)
        if before != index:
            raise BadRequest(
                f"cameras[{index}].frame", f"must occur once; got {key.frame}, as in cameras[{before}] already"
            )


def _refuse(field: str, wrong: np.ndarray, message: str, values: np.ndarray | None = None) -> None:
    """Name the first camera for which `wrong` is true."""
    if not wrong.any():
        return
    index = int(np.argmax(wrong))
    if values is not None:
        value = values[index]
        message += f"; got {_row(value.tolist()) if value.ndim else got(float(value))}"
    raise BadRequest(f"cameras[{index}].{field}", message)


def _row(values: list[float]) -> str:
    """A short list of numbers, as it stands in a message."""
    return ", ".join(f"{value:g}" for value in values)

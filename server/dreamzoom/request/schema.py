"""The request: its structure and the limits of each field, from which the JSON Schema is generated."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from core.camera import Camera
from core.protocol.model_offers import is_for_outpainting
from dreamzoom.geometry.zoom_path import Key, ZoomPath

Prompt = Annotated[str, Meta(max_length=4000, description="What this level shows, in any language.")]
Row4 = Annotated[list[float], Meta(min_length=4, max_length=4)]
Row3 = Annotated[list[float], Meta(min_length=3, max_length=3)]
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
    splats: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=4096,
                description="Path of a scene of splats (PLY, SPZ, ...) in this level's frame, which is the level. "
                "Level 0 only.",
            ),
        ]
        | None
    ) = None
    seed: Seed | None = None
    assets: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=4096)]],
        Meta(max_length=16, description="Paths of files of splats of the artist's own objects, in this level's frame."),
    ] = []
    focus: Annotated[Row3, Meta(description="The next level's centre, in this level's frame.")] | None = None
    key: Annotated[
        int, Meta(ge=0, lt=2**31, description="The client's name for this level, which the result repeats; 0 for none.")
    ] = 0


class CameraKey(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A camera of the path, OpenCV axes (x right, y down, z forward), in the gauge; intrinsics in pixels."""

    frame: Annotated[int, Meta(ge=-1048574, le=1048574)]
    zoom: float
    camera_to_gauge: Annotated[list[Row4], Meta(min_length=4, max_length=4, description="4×4, row-major, rigid.")]
    fx: Focal
    fy: Focal
    cx: float
    cy: float
    skew: Annotated[float, Meta(ge=-1e6, le=1e6, description="Of the pixel axes: K[0][1], in pixels.")] = 0.0


class ProceduralEngine(Struct, forbid_unknown_fields=True, tag_field="name", tag="procedural"):
    """A procedural world, controlled by the words of the prompts."""

    distortion: Annotated[bool, Meta(description="Distort the depth as monocular depth models do.")] = True


Refine = Annotated[
    bool | None,
    Meta(
        description="Sample all levels and side views a second time, made consistent through their depth; "
        "if absent, true unless the quality is draft."
    ),
]


class SpectralEngine(Struct, forbid_unknown_fields=True, tag_field="name", tag="spectral"):
    """Textures as Gaussian fields in closed form, denoised exactly; needs no model weights."""

    contrast: Annotated[float, Meta(ge=0, le=0.5, description="Standard deviation of a picture's colours.")] = 0.12
    relief: Annotated[float, Meta(ge=0, le=2, description="Height of bright areas, in units of a level.")] = 0.2
    steps: Annotated[int, Meta(ge=1, le=1000, description="Denoising steps per level.")] = 40
    refine: Refine = None


ModelPath = Annotated[str, Meta(max_length=4096)]


class Lora(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A LoRA: low-rank changes to a model's weights, in a separate file."""

    file: Annotated[str, Meta(min_length=1, max_length=4096, description="Path of a .safetensors file.")]
    weight: Annotated[float, Meta(ge=-4, le=4, description="Weight of the LoRA.")] = 1.0
    outpaint: (
        Annotated[
            bool,
            Meta(description="Whether it teaches a model to continue pictures; if absent, its name says it: outpaint."),
        ]
        | None
    ) = None

    @property
    def for_outpainting(self) -> bool:
        """Whether the LoRA teaches a model to continue pictures whose unknown part is green."""
        return is_for_outpainting(self.file) if self.outpaint is None else self.outpaint


class DiffusionEngine(Struct, forbid_unknown_fields=True, omit_defaults=True, tag_field="name", tag="diffusion"):
    """Diffusion models installed on this machine: one paints pictures, one estimates depth."""

    model: Annotated[
        ModelPath, Meta(description="Folder or owner/name of a picture model; empty for the best installed.")
    ] = ""
    depth_model: Annotated[ModelPath, Meta(description="Folder or owner/name of a depth model; empty as above.")] = ""
    loras: Annotated[list[Lora], Meta(max_length=8, description="LoRAs for the picture model.")] = []
    style: Annotated[Prompt, Meta(description="Appended to every prompt.")] = ""
    steps: Annotated[int, Meta(ge=1, le=500, description="Denoising steps; if absent, the model's.")] | None = None
    guidance: Annotated[float, Meta(ge=0, le=50, description="How closely to follow the prompt.")] | None = None
    level_guidance: Annotated[
        list[Annotated[float, Meta(ge=0, le=50)] | None],
        Meta(max_length=64, description="Guidance of each level; null to use `guidance`."),
    ] = []
    scheduler: Literal["auto", "ddpm", "ddim", "dpm++", "euler", "lcm"] = "auto"
    joint: Annotated[bool, Meta(description="Sample all levels jointly if the model can.")] = True
    refine: Refine = None
    detail: Annotated[float, Meta(ge=0.05, le=1, description="How strongly coarse pixels are repainted.")] = 0.55
    blend_every: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=50,
                description="Steps between blends of decoded levels; if absent, one octave of noise.",
            ),
        ]
        | None
    ) = None
    batch: Annotated[int, Meta(ge=1, le=32, description="Latents in one call of the network.")] = 2
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    offload: Annotated[
        Literal["auto", "none", "model", "sequential"],
        Meta(description="What is moved to main memory while unused."),
    ] = "auto"


Engine = ProceduralEngine | SpectralEngine | DiffusionEngine


Preset = Literal["straight", "rotate360", "lookaround", "lookdown", "back_and_forth", "llff", "headbanging"]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """A job's request: prompts, camera path, engine and settings."""

    version: Literal[1] = 1
    seed: Seed = 0
    quality: Literal["draft", "preview", "final"] = "preview"
    engine: Engine = msgspec.field(default_factory=ProceduralEngine)
    zoom_factor: Annotated[float, Meta(ge=1.25, le=16, description="p: magnification of the world per level.")] = 2.0
    levels: Annotated[list[Level], Meta(min_length=1, max_length=64)]
    loop: Annotated[bool, Meta(description="The first level follows the last; needs two or more.")] = False
    cameras: Annotated[list[CameraKey], Meta(max_length=100_000, description="The path; omitted with a preset.")] = (
        msgspec.field(default_factory=list)
    )
    preset: Annotated[Preset | None, Meta(description="A preset path, instead of cameras.")] = None
    width: Size = 512
    height: Size = 512

    def path(self) -> ZoomPath:
        """The path in float64."""
        focuses = np.array([level.focus or (0.0, 0.0, 0.0) for level in self.levels], np.float64)
        if self.preset is not None:
            from dreamzoom.geometry.view_planning import ready_path

            keys = ready_path(self.preset, self.width, self.height, len(self.levels))
            return ZoomPath(self.zoom_factor, focuses, tuple(keys), loop=self.loop)
        keys = sorted(self.cameras, key=lambda key: key.frame)
        placed = tuple(Key(key.frame, key.zoom, self._camera(key), key.skew) for key in keys)
        return ZoomPath(self.zoom_factor, focuses, placed, loop=self.loop)

    def level_seed(self, level: int) -> int:
        """The level's own seed, or one derived from the job's seed."""
        own = self.levels[level].seed
        return own if own is not None else (self.seed * 1_000_003 + level * 7919) % 2**32

    def _camera(self, key: CameraKey) -> Camera:
        pose = np.array(key.camera_to_gauge, np.float64)
        return Camera(self.width, self.height, key.fx, key.fy, key.cx, key.cy, pose)

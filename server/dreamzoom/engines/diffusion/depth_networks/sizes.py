"""Sizes of MoGe-2 and Depth Anything 3, from headers and names alone: what `model_validation` looks at.

Names of tensors, and what can't be told from their shapes, are as in the authors' programs (microsoft/MoGe,
ByteDance-Seed/Depth-Anything-3).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion.depth_networks.shapes import Backbone, Header, backbone
from dreamzoom.engines.diffusion.model_files import reading
from dreamzoom.geometry.view import DepthKind

MOGE_BACKBONE = "encoder.backbone."
MOGE_PARTS = {"encoder", "neck", "points_head", "mask_head", "normal_head", "scale_head"}
MOGE_REMEDY = "choose moge_2_vitl_normal of Comfy-Org/MoGe"
MOGE_LAYERS = 4
"""So many blocks, evenly spaced, give features to MoGe-2."""
DA3_PREFIX = "model."
DA3_BACKBONE = "model.backbone.pretrained."


@dataclass(frozen=True)
class Stage:
    """One of the sizes of a map in a `ConvStack`, from coarse to fine.

    Attributes:
        takes: Channels that come in from outside.
        width: Channels.
        hidden: Channels within each residual block, so many blocks; whether each is normalised before its first and
            its second convolution.
        gives: Channels that go out; 0 where the map itself does.
        enlarged: How the map becomes that of the next stage: "transposed" or "bilinear"; empty at the last.
    """

    takes: int
    width: int
    hidden: tuple[int, ...]
    normed: tuple[bool, bool]
    gives: int
    enlarged: str


@dataclass(frozen=True)
class MogeSizes:
    """MoGe-2, without its normals.

    Attributes:
        backbone: Its transformer.
        layers: The blocks whose tokens it takes.
        features: Channels into which they are projected.
        neck, points, mask: Its stacks of convolutions.
        scale: Widths of the layers that give the scale, from first to last.
    """

    backbone: Backbone
    layers: tuple[int, ...]
    features: int
    neck: tuple[Stage, ...]
    points: tuple[Stage, ...]
    mask: tuple[Stage, ...]
    scale: tuple[int, ...]


@dataclass(frozen=True)
class HeadSizes:
    """The head of Depth Anything 3.

    Attributes:
        width: Numbers per token that come in.
        channels: Of the four feature maps.
        features: Of the fused map.
        hidden: Of the last layer but one.
        outputs: Channels of the answer: the logarithm of depth, and where there are two, of its confidence.
        places: Whether tokens are normalised and places embedded, as in the models for several views.
        sky: Whether there is an output for the sky.
    """

    width: int
    channels: tuple[int, ...]
    features: int
    hidden: int
    outputs: int
    places: bool
    sky: bool


@dataclass(frozen=True)
class Da3Preset:
    """What the name of a Depth Anything 3 says.

    Attributes:
        layers: The blocks whose tokens the head takes.
        views_from: The first block of those that look at several views; None for models of one view.
        kind: What the values mean. The models of several views give depth up to a factor; the one for single pictures
            was trained to give it up to a factor and a shift (section 4.1 of the paper).
    """

    layers: tuple[int, ...]
    views_from: int | None
    kind: DepthKind


DA3_PRESETS: dict[str, Da3Preset] = {
    "da3-small": Da3Preset((5, 7, 9, 11), 4, DepthKind.SCALE),
    "da3-base": Da3Preset((5, 7, 9, 11), 4, DepthKind.SCALE),
    "da3-large": Da3Preset((11, 15, 19, 23), 8, DepthKind.SCALE),
    "da3mono-large": Da3Preset((4, 11, 17, 23), None, DepthKind.AFFINE),
    "da3metric-large": Da3Preset((4, 11, 17, 23), None, DepthKind.METRIC),
}
"""By the `model_name` of `config.json`."""


@dataclass(frozen=True)
class Da3Sizes:
    """Depth Anything 3 for single pictures, without rays, cameras and splats."""

    preset: Da3Preset
    backbone: Backbone
    head: HeadSizes


def moge_file(folder: Path) -> Path | None:
    """The weights of a MoGe-2 in a folder that has no `config.json`: in it, or where ComfyUI has them.

    The hub's safetensors file (Comfy-Org/MoGe) lies in `geometry_estimation`, beside files of other versions.
    """
    for place in (folder, folder / "geometry_estimation"):
        for file in sorted(place.glob("*.safetensors")):
            try:
                if f"{MOGE_BACKBONE}pos_embed" in Header(file):
                    return file
            except EngineUnavailable:
                continue
    return None


def moge(file: Path) -> MogeSizes:
    """The sizes of a MoGe-2. Raises EngineUnavailable where the file holds something else, or another version."""
    header = Header(file)
    if {name.split(".")[0] for name in header.entries} - MOGE_PARTS or "scale_head.0.weight" not in header:
        raise EngineUnavailable(f"{file} is not a MoGe-2, but another version or model", MOGE_REMEDY)
    shape = backbone(header, MOGE_BACKBONE, 1e-6)
    layers = tuple(shape.depth // MOGE_LAYERS * (index + 1) - 1 for index in range(MOGE_LAYERS))
    features = header.shape("encoder.output_projections.0.weight", 4)[0]
    neck, points, mask = (_stages(header, name) for name in ("neck", "points_head", "mask_head"))
    linear = [header.shape(f"scale_head.{number}.weight", 2) for number in header.numbered("scale_head")]
    scale = (linear[0][1], *(out for out, _ in linear))
    taken = [features + 2] + [2] * (len(neck) - 1)
    given = [stage.gives or stage.width for stage in neck]
    fits = [stage.takes for stage in neck] == taken and scale[0] == shape.width and scale[-1] == 1
    for stages, channels in ((points, 3), (mask, 1)):
        fits = fits and [stage.takes for stage in stages] == given and stages[-1].gives == channels
    if not fits or shape.depth < MOGE_LAYERS:
        raise EngineUnavailable(f"{file} is not a MoGe-2, but another version or model", MOGE_REMEDY)
    return MogeSizes(shape, layers, features, neck, points, mask, scale)


def _stages(header: Header, name: str) -> tuple[Stage, ...]:
    """The stages of a `ConvStack`; they are counted by what enlarges each but the last."""
    last = header.count(f"{name}.resamplers")
    return tuple(_stage(header, name, index, index == last) for index in range(last + 1))


def _stage(header: Header, name: str, index: int, last: bool) -> Stage:
    width, takes = header.shape(f"{name}.input_blocks.{index}.weight", 4)[:2]
    block, out = f"{name}.res_blocks.{index}", f"{name}.output_blocks.{index}.weight"
    hidden = tuple(header.shape(f"{block}.{one}.layers.2.weight", 4)[0] for one in range(header.count(block)))
    kind = "" if last else "transposed" if f"{name}.resamplers.{index}.0.weight" in header else "bilinear"
    normed = (f"{block}.0.layers.0.weight" in header, f"{block}.0.layers.3.weight" in header)
    return Stage(takes, width, hidden, normed, header.shape(out, 4)[0] if out in header else 0, kind)


def da3(folder: Path, config: dict[str, Any]) -> tuple[Path, Da3Sizes]:
    """The weights and sizes of a Depth Anything 3 with its `config.json`. Raises EngineUnavailable."""
    name = config.get("model_name")
    preset = DA3_PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise EngineUnavailable(
            f"{folder} is a Depth Anything 3 of a kind that can't be loaded here ({reading.shown(name)})",
            f"choose one: {', '.join(DA3_PRESETS)}",
        )
    file = next((file for file in reading.whole_weights(folder) if file.name == "model.safetensors"), None)
    if file is None:
        raise EngineUnavailable(f"{folder} holds no weights", reading.AGAIN)
    header = Header(file)
    starts = {}
    if preset.views_from is not None:
        starts = dict.fromkeys(("camera_from", "normed_from", "rotated_from"), preset.views_from)
    shape = backbone(header, DA3_BACKBONE, 1e-5, **starts)
    if shape.depth <= preset.layers[-1]:
        raise header.unexpected(f"{DA3_BACKBONE}blocks")
    return file, Da3Sizes(preset, shape, _head(header, shape.width))


def _head(header: Header, own: int) -> HeadSizes:
    prefix = f"{DA3_PREFIX}head."
    projections = [header.shape(f"{prefix}projects.{index}.weight", 4) for index in range(4)]
    features = header.shape(f"{prefix}scratch.layer1_rn.weight", 4)[0]
    hidden = header.shape(f"{prefix}scratch.output_conv2.0.weight", 4)[0]
    outputs = header.shape(f"{prefix}scratch.output_conv2.2.weight", 4)[0]
    channels, width = tuple(shape[0] for shape in projections), projections[0][1]
    if any(count % 4 for count in (features, *channels)) or width not in (own, 2 * own):
        raise header.unexpected(f"{prefix}scratch")
    sky = f"{prefix}scratch.sky_output_conv2.0.weight" in header
    return HeadSizes(width, channels, features, hidden, outputs, f"{prefix}norm.weight" in header, sky)

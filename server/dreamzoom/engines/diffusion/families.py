"""The families of models that are known, as tables of concrete classes. What is not in these tables is never loaded.

A new family of picture models is an entry here and its name in `PICTURES`; a new family of depth models, of
`transformers`, is an entry in `DEPTHS`. Nothing else in the server asks for a family by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dreamzoom.geometry.view import DepthKind


@dataclass(frozen=True)
class Width:
    """Text encoders that must give as many numbers per word as a network takes.

    Attributes:
        wanted: The key of the network's config that says how many it takes.
        encoders: The components that give them, side by side.
        projected: Whether the encoders' projections are meant, else their hidden states.
        layers: So many hidden states of an encoder lie side by side.
    """

    wanted: str
    encoders: tuple[str, ...] = ("text_encoder",)
    projected: bool = False
    layers: int = 1


@dataclass(frozen=True)
class Edit:
    """How models of a family continue a picture by instruction (`editing.extend`).

    Attributes:
        pipeline: The `diffusers` class that edits. It has the components of the family's painter.
        lora_only: Whether it continues pictures only with a LoRA that was trained for that; else the painter does.
        scales: Whether the pipeline scales every picture to the native number of pixels.
        from_nothing: Whether it also paints without a picture.
    """

    pipeline: str
    lora_only: bool = False
    scales: bool = False
    from_nothing: bool = True


@dataclass(frozen=True)
class Family:
    """One family of picture models.

    Attributes:
        name: As it is told and recorded.
        classes: The classes that its `model_index.json` may name.
        painter: The `diffusers` class that paints within a mask.
        network: The component that is called at every step: "unet" or "transformer".
        multiple: Heights and widths that it paints are multiples of this.
        native: The side of the square it was trained on, pixels; where the network's config says, that counts.
        steps, guidance: What it is usually run with.
        prompts: How it takes prompts: "clip", as embeddings of CLIP; "pooled", as embeddings and one pooled over all
            tokens; "text", as text alone; "negative", as text beside a negative prompt.
        diffusers, transformers: The classes of its components that hold weights, by the package that they come from.
        tokenizers: The classes of its tokenizers, of `transformers`.
        needs: Components that it can't do without, beside those of every family.
        widths: What must fit between text encoders and network.
        guide: The argument of the painter that takes the guidance.
        joint: How its networks are sampled jointly over all levels, a key of `network_denoisers.DENOISERS`; empty: not.
        undistilled: Steps and guidance where `model_index.json` does not say `is_distilled`; None: as all.
        prompt_options: Further arguments where its pipeline encodes a prompt.
        extra: Further arguments of every call.
        edit: How it continues pictures by instruction; None: unknown pixels are painted within a mask.
        reads_files: Whether the painter takes its picture and mask as Pillow images only.
        area: The argument of every call that takes the number of pixels; empty: there is none.
    """

    name: str
    classes: tuple[str, ...]
    painter: str
    network: Literal["unet", "transformer"]
    multiple: int
    native: int
    steps: int
    guidance: float
    prompts: Literal["clip", "pooled", "text", "negative"]
    diffusers: tuple[str, ...]
    transformers: tuple[str, ...]
    tokenizers: tuple[str, ...]
    needs: tuple[str, ...] = ()
    widths: tuple[Width, ...] = ()
    guide: str = "guidance_scale"
    joint: Literal["", "unet", "flow"] = ""
    undistilled: tuple[int, float] | None = None
    prompt_options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    edit: Edit | None = None
    reads_files: bool = False
    area: str = ""


CLIP_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
QWEN_TOKENIZERS = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
T5_TOKENIZERS = ("T5Tokenizer", "T5TokenizerFast")
SECOND = ("tokenizer_2", "text_encoder_2")

SD = Family(
    "sd",
    (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "LatentConsistencyModelPipeline",
    ),
    "StableDiffusionInpaintPipeline",
    network="unet",
    multiple=8,
    native=512,
    steps=30,
    guidance=7.5,
    prompts="clip",
    diffusers=("AutoencoderKL", "UNet2DConditionModel"),
    transformers=("CLIPTextModel",),
    tokenizers=CLIP_TOKENIZERS,
    widths=(Width("cross_attention_dim"),),
    joint="unet",
)
SDXL = Family(
    "sdxl",
    ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    "StableDiffusionXLInpaintPipeline",
    network="unet",
    multiple=8,
    native=1024,
    steps=30,
    guidance=6.0,
    prompts="pooled",
    diffusers=("AutoencoderKL", "UNet2DConditionModel"),
    transformers=("CLIPTextModel", "CLIPTextModelWithProjection"),
    tokenizers=CLIP_TOKENIZERS,
    needs=SECOND,
    widths=(Width("cross_attention_dim", ("text_encoder", "text_encoder_2")),),
    joint="unet",
)
SD3 = Family(
    "sd3",
    ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    "StableDiffusion3InpaintPipeline",
    network="transformer",
    multiple=16,
    native=1024,
    steps=28,
    guidance=5.0,
    prompts="pooled",
    diffusers=("AutoencoderKL", "SD3Transformer2DModel"),
    transformers=("CLIPTextModelWithProjection", "T5EncoderModel"),
    tokenizers=CLIP_TOKENIZERS + T5_TOKENIZERS,
    needs=SECOND,
    widths=(
        Width("joint_attention_dim", ("text_encoder_3",)),
        Width("pooled_projection_dim", ("text_encoder", "text_encoder_2"), projected=True),
    ),
    joint="flow",
    prompt_options={"prompt_2": None, "prompt_3": None},
)
FLUX_FILL = Family(
    "flux-fill",
    ("FluxFillPipeline",),
    "FluxFillPipeline",
    network="transformer",
    multiple=16,
    native=1024,
    steps=30,
    guidance=30.0,
    prompts="text",
    diffusers=("AutoencoderKL", "FluxTransformer2DModel"),
    transformers=("CLIPTextModel", "T5EncoderModel"),
    tokenizers=CLIP_TOKENIZERS + T5_TOKENIZERS,
    needs=SECOND,
    widths=(Width("pooled_projection_dim"), Width("joint_attention_dim", ("text_encoder_2",))),
)
FLUX = replace(
    FLUX_FILL,
    name="flux",
    classes=("FluxPipeline", "FluxInpaintPipeline"),
    painter="FluxInpaintPipeline",
    steps=28,
    guidance=3.5,
)
KONTEXT = replace(
    FLUX_FILL,
    name="flux-kontext",
    classes=("FluxKontextPipeline", "FluxKontextInpaintPipeline"),
    painter="FluxKontextInpaintPipeline",
    steps=28,
    guidance=2.5,
    extra={"_auto_resize": False},
    edit=Edit("FluxKontextPipeline"),
    area="max_area",
)
KLEIN = Family(
    "flux2-klein",
    ("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
    "Flux2KleinInpaintPipeline",
    network="transformer",
    multiple=16,
    native=1024,
    steps=4,
    guidance=1.0,
    prompts="text",
    diffusers=("AutoencoderKLFlux2", "Flux2Transformer2DModel"),
    transformers=("Qwen3ForCausalLM",),
    tokenizers=QWEN_TOKENIZERS,
    widths=(Width("joint_attention_dim", layers=3),),
    undistilled=(28, 4.0),
    edit=Edit("Flux2KleinPipeline", lora_only=True),
)
QWEN = Family(
    "qwen-image",
    ("QwenImagePipeline", "QwenImageInpaintPipeline"),
    "QwenImageInpaintPipeline",
    network="transformer",
    multiple=16,
    native=1024,
    steps=30,
    guidance=4.0,
    prompts="negative",
    diffusers=("AutoencoderKLQwenImage", "QwenImageTransformer2DModel"),
    transformers=("Qwen2_5_VLForConditionalGeneration",),
    tokenizers=QWEN_TOKENIZERS,
    widths=(Width("joint_attention_dim"),),
    guide="true_cfg_scale",
)
QWEN_EDIT = replace(
    QWEN,
    name="qwen-image-edit",
    classes=("QwenImageEditPipeline", "QwenImageEditInpaintPipeline"),
    painter="QwenImageEditInpaintPipeline",
    steps=40,
    edit=Edit("QwenImageEditPipeline", scales=True, from_nothing=False),
    reads_files=True,
)
QWEN_EDIT_PLUS = replace(
    QWEN_EDIT,
    name="qwen-image-edit-plus",
    classes=("QwenImageEditPlusPipeline",),
    edit=Edit("QwenImageEditPlusPipeline", scales=True, from_nothing=False),
)
Z_IMAGE = Family(
    "z-image",
    ("ZImagePipeline", "ZImageInpaintPipeline"),
    "ZImageInpaintPipeline",
    network="transformer",
    multiple=16,
    native=1024,
    steps=9,
    guidance=0.0,
    prompts="negative",
    diffusers=("AutoencoderKL", "ZImageTransformer2DModel"),
    transformers=("Qwen3Model",),
    tokenizers=QWEN_TOKENIZERS,
    widths=(Width("cap_feat_dim"),),
)

PICTURES = (SD, SDXL, SD3, FLUX_FILL, FLUX, KONTEXT, KLEIN, QWEN, QWEN_EDIT, QWEN_EDIT_PLUS, Z_IMAGE)

FAMILIES: dict[str, Family] = {name: family for family in PICTURES for name in family.classes}
"""By the class that `model_index.json` names."""

NETWORKS: dict[str, set[str]] = {
    "diffusers": {name for family in PICTURES for name in family.diffusers},
    "transformers": {name for family in PICTURES for name in family.transformers},
}
"""Components that hold weights, by the package that they come from."""

TOKENIZERS = {name for family in PICTURES for name in family.tokenizers}

SCHEDULERS = {
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
}

LEFT_OUT = {"safety_checker", "feature_extractor", "image_encoder", "processor"}
"""Components that painting does without; they are not loaded. What "processor" does is done by `editing.pictures`."""


@dataclass(frozen=True)
class DepthFamily:
    """One family of depth models.

    Attributes:
        name: As it is told and recorded.
        model: The `transformers` class; for Marigold the `diffusers` pipeline; for the models that no library has, the
            class in `depth_networks`.
        kind: What its values mean. Metres say nothing of a level's units, so a metric model's values count as depth up
            to a factor (`depth.Depth`).
        variants: Whether some of its models give metres, which `depth_estimation_type` of their `config.json` says.
        mirrored: Whether it was trained on pictures that are continued by their mirror image at the borders; where
            `do_pad` of its `preprocessor_config.json` says no, it was not.
        focal: Whether it gives 1/z for a focal length of the picture's width.
        prompted: Whether it takes known depth, and answers in its unit. Its values are depth in the prompt's range;
            without a prompt, that range is unknown.
    """

    name: str
    model: str
    kind: DepthKind
    variants: bool = False
    mirrored: bool = False
    focal: bool = False
    prompted: bool = False


DEPTHS: dict[str, DepthFamily] = {
    "depth_anything": DepthFamily(
        "depth-anything", "DepthAnythingForDepthEstimation", DepthKind.DISPARITY, variants=True
    ),
    "zoedepth": DepthFamily("zoedepth", "ZoeDepthForDepthEstimation", DepthKind.METRIC, mirrored=True),
    "depth_pro": DepthFamily("depth-pro", "DepthProForDepthEstimation", DepthKind.METRIC, focal=True),
    "prompt_depth_anything": DepthFamily(
        "prompt-depth-anything", "PromptDepthAnythingForDepthEstimation", DepthKind.AFFINE, prompted=True
    ),
}
"""By the `model_type` that `config.json` names."""

MOGE = DepthFamily("moge-2", "Moge", DepthKind.METRIC)
DEPTH_ANYTHING_3 = DepthFamily("depth-anything-3", "DepthAnything3", DepthKind.SCALE)

MARIGOLD = DepthFamily("marigold", "MarigoldDepthPipeline", DepthKind.AFFINE)

SCHEDULES = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}
"""The schedulers that a request can choose, for models that predict noise."""

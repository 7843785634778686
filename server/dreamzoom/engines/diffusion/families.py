"""The families of models that are known, as tables of concrete classes. What is not in these tables is never loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dreamzoom.geometry.view import DepthKind


@dataclass(frozen=True)
class Family:
    """One family of picture models.

    Attributes:
        name: As it is told and recorded.
        painter: The `diffusers` class that paints within a mask.
        network: The component that is called at every step: "unet" or "transformer".
        multiple: Heights and widths that it paints are multiples of this.
        native: The side of the square it was trained on, pixels; where the network's config says, that counts.
        steps, guidance: What it is usually run with.
        prompts: How it takes prompts: "clip", as embeddings of CLIP; "pooled", as embeddings and one pooled over all
            tokens; "text", as text alone; "negative", as text beside a negative prompt.
        guide: The argument of the painter that takes the guidance.
        joint: Whether its networks can be sampled jointly over all levels.
        extra: Further arguments of every call.
    """

    name: str
    painter: str
    network: str
    multiple: int
    native: int
    steps: int
    guidance: float
    prompts: Literal["clip", "pooled", "text", "negative"]
    guide: str = "guidance_scale"
    joint: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


SD = Family("sd", "StableDiffusionInpaintPipeline", "unet", 8, 512, 30, 7.5, "clip", joint=True)
SDXL = Family("sdxl", "StableDiffusionXLInpaintPipeline", "unet", 8, 1024, 30, 6.0, "pooled", joint=True)
SD3 = Family("sd3", "StableDiffusion3InpaintPipeline", "transformer", 16, 1024, 28, 5.0, "pooled", joint=True)
FLUX_FILL = Family("flux-fill", "FluxFillPipeline", "transformer", 16, 1024, 30, 30.0, "text")
FLUX = Family("flux", "FluxInpaintPipeline", "transformer", 16, 1024, 28, 3.5, "text")
KLEIN = Family("flux2-klein", "Flux2KleinInpaintPipeline", "transformer", 16, 1024, 4, 1.0, "text")
QWEN = Family(
    "qwen-image", "QwenImageInpaintPipeline", "transformer", 16, 1024, 30, 4.0, "negative", guide="true_cfg_scale"
)
Z_IMAGE = Family("z-image", "ZImageInpaintPipeline", "transformer", 16, 1024, 9, 0.0, "negative")

FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": SD,
    "StableDiffusionImg2ImgPipeline": SD,
    "StableDiffusionInpaintPipeline": SD,
    "LatentConsistencyModelPipeline": SD,
    "StableDiffusionXLPipeline": SDXL,
    "StableDiffusionXLImg2ImgPipeline": SDXL,
    "StableDiffusionXLInpaintPipeline": SDXL,
    "StableDiffusion3Pipeline": SD3,
    "StableDiffusion3Img2ImgPipeline": SD3,
    "StableDiffusion3InpaintPipeline": SD3,
    "FluxFillPipeline": FLUX_FILL,
    "FluxPipeline": FLUX,
    "FluxInpaintPipeline": FLUX,
    "Flux2KleinPipeline": KLEIN,
    "Flux2KleinInpaintPipeline": KLEIN,
    "QwenImagePipeline": QWEN,
    "QwenImageInpaintPipeline": QWEN,
    "ZImagePipeline": Z_IMAGE,
    "ZImageInpaintPipeline": Z_IMAGE,
}
"""By the class that `model_index.json` names."""

NETWORKS = {
    "diffusers": {
        "AutoencoderKL",
        "AutoencoderKLFlux2",
        "AutoencoderKLQwenImage",
        "Flux2Transformer2DModel",
        "FluxTransformer2DModel",
        "QwenImageTransformer2DModel",
        "SD3Transformer2DModel",
        "UNet2DConditionModel",
        "ZImageTransformer2DModel",
    },
    "transformers": {
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3ForCausalLM",
        "Qwen3Model",
        "T5EncoderModel",
    },
}
"""Components that hold weights, by the package that they come from."""

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

TOKENIZERS = {
    "CLIPTokenizer",
    "CLIPTokenizerFast",
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
    "T5Tokenizer",
    "T5TokenizerFast",
}

LEFT_OUT = {"safety_checker", "feature_extractor", "image_encoder"}
"""Components that painting does without; they are not loaded."""


@dataclass(frozen=True)
class DepthFamily:
    """One family of depth models.

    Attributes:
        name: As it is told and recorded.
        model: The `transformers` class; for Marigold the `diffusers` pipeline.
        kind: What its values mean. Metres say nothing of a level's units, so a metric model's values count as depth up
            to a factor (`depth.Depth`).
    """

    name: str
    model: str
    kind: DepthKind


DEPTHS: dict[str, DepthFamily] = {
    "depth_anything": DepthFamily("depth-anything", "DepthAnythingForDepthEstimation", DepthKind.DISPARITY),
    "zoedepth": DepthFamily("zoedepth", "ZoeDepthForDepthEstimation", DepthKind.METRIC),
    "depth_pro": DepthFamily("depth-pro", "DepthProForDepthEstimation", DepthKind.METRIC),
}
"""By the `model_type` that `config.json` names."""

MARIGOLD = DepthFamily("marigold", "MarigoldDepthPipeline", DepthKind.AFFINE)

SCHEDULES = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}
"""The schedulers that a request can choose, for models that predict noise."""

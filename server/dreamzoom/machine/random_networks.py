"""Networks of real size with random weights, created directly on the device: to measure a model without its files."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from dreamzoom.engines.diffusion.loading import Placement

TOKENS = 77


@dataclass(frozen=True)
class Size:
    """One size of networks, and the workload for it.

    Attributes:
        name: The name in reports.
        side: Side of the pictures in pixels.
        levels, steps: Of the joint sampling.
        unet, vae, depth: The networks' configurations.
        texts: Widths of the two text encoders, and their numbers of layers.
    """

    name: str
    side: int
    levels: int
    steps: int
    unet: dict[str, Any]
    vae: dict[str, Any]
    depth: dict[str, Any]
    texts: tuple[tuple[int, int], tuple[int, int]]

    @property
    def pooled(self) -> int:
        """Width of the pooled embedding."""
        return self.texts[1][0]

    @property
    def context(self) -> int:
        """Width of the embeddings."""
        return self.texts[0][0] + self.texts[1][0]


SDXL = Size(
    "sdxl",
    side=1024,
    levels=8,
    steps=30,
    unet={
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
        "use_linear_projection": True,
        "addition_time_embed_dim": 256,
    },
    vae={"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
    depth={"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 518},
    texts=((768, 12), (1280, 32)),
)
"""Stable Diffusion XL: 2.6 billion parameters in its UNet; a depth model of Depth Anything V2 Base's size."""

SMALL = Size(
    "small",
    side=64,
    levels=3,
    steps=6,
    unet={
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "transformer_layers_per_block": 1,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        "addition_time_embed_dim": 8,
    },
    vae={"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
    depth={"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28},
    texts=((16, 1), (16, 1)),
)
"""Small networks of the same kind, for machines without a GPU."""

SIZES = {size.name: size for size in (SDXL, SMALL)}


def pipeline(size: Size, where: Placement) -> Any:
    """The inpainting pipeline. It has no tokenizers: `RandomPromptEncoder` provides its prompt embeddings."""
    diffusers: Any = importlib.import_module("diffusers")
    blocks = len(size.vae["block_out_channels"])
    with made_on(where):
        unet = diffusers.UNet2DConditionModel(
            **{"sample_size": size.side // 8, "in_channels": 4, "out_channels": 4, "addition_embed_type": "text_time",
               "cross_attention_dim": size.context,
               "projection_class_embeddings_input_dim": 6 * size.unet["addition_time_embed_dim"] + size.pooled}
            | size.unet
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            **{"down_block_types": ("DownEncoderBlock2D",) * blocks, "up_block_types": ("UpDecoderBlock2D",) * blocks,
               "latent_channels": 4, "sample_size": size.side, "scaling_factor": 0.13025, "force_upcast": True}
            | size.vae
        )  # fmt: skip
        encoders = _text_encoders(size)
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    pipe = diffusers.StableDiffusionXLInpaintPipeline(
        vae=vae.eval().requires_grad_(False),
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=None,
        tokenizer_2=None,
        unet=unet.eval().requires_grad_(False),
        scheduler=scheduler,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def depth_network(size: Size, where: Placement) -> Any:
    """A depth model with the architecture of Depth Anything V2."""
    transformers: Any = importlib.import_module("transformers")
    wide = size.depth["hidden_size"]
    necks = [wide // 8, wide // 4, wide // 2, wide] if wide > 100 else [4, 4, 8, 8]
    backbone = transformers.Dinov2Config(
        mlp_ratio=4, patch_size=14, out_features=_stages(size.depth["num_hidden_layers"]), reshape_hidden_states=False,
        **size.depth,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=wide, neck_hidden_sizes=necks,
        fusion_hidden_size=max(8, wide // 6), head_hidden_size=max(8, wide // 24),
    )  # fmt: skip
    with made_on(where):
        return transformers.DepthAnythingForDepthEstimation(config).eval().requires_grad_(False)


def _stages(layers: int) -> list[str]:
    return [f"stage{layers * part // 4}" for part in (1, 2, 3, 4)]


def _text_encoders(size: Size) -> list[Any]:
    """Two CLIP text encoders. They are not called; they only occupy memory."""
    import transformers

    made = []
    for (width, layers), kind in zip(
        size.texts, (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection)
    ):
        config = transformers.CLIPTextConfig(
            hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, projection_dim=width,
            num_attention_heads=max(1, width // 64), vocab_size=49408 if width > 100 else 64,
        )  # fmt: skip
        made.append(kind(config).eval().requires_grad_(False))
    return made


@contextmanager
def made_on(where: Placement) -> Iterator[None]:
    """Context in which modules are created directly on the given device and in its precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(where.dtype)
    try:
        torch.manual_seed(0)
        with torch.device(where.device):
            yield
    finally:
        torch.set_default_dtype(before)


class RandomPromptEncoder:
    """Random embeddings instead of encoded prompts; deterministic for each text. See `PromptEncoder`.

    Args:
        size: The size of the networks, which determines the embeddings' widths.
        where: Device and precision of the embeddings.
    """

    def __init__(self, size: Size, where: Placement):
        self.size, self.where = size, where
        self._kept: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def for_network(self, prompt, negative: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, L, C) and pooled (1, D)."""
        text = prompt[0][0]
        if text not in self._kept:
            generator = torch.Generator().manual_seed(sum(map(ord, text)) + negative)
            shapes = (1, TOKENS, self.size.context), (1, self.size.pooled)
            drawn = (
                torch.randn(shape, generator=generator).to(self.where.device, self.where.dtype) for shape in shapes
            )
            embeds, pooled = drawn
            self._kept[text] = embeds, pooled
        return self._kept[text]

    def for_painter(self, prompt, negative: str, guided: bool) -> dict[str, torch.Tensor]:
        """The pipeline's arguments."""
        embeds, pooled = self.for_network(prompt, False)
        found = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
        if guided:
            against, pooled = self.for_network(((negative, 1.0),), True)
            found |= {"negative_prompt_embeds": against, "negative_pooled_prompt_embeds": pooled}
        return found

    def left_out(self, text: str) -> int:
        """Nothing."""
        return 0

    def ignores_weights(self, text: str) -> bool:
        """False: the texts are not read."""
        return False
